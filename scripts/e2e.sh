#!/usr/bin/env bash
# The tests that need a real cluster: `pytest tests/e2e` on a kind cluster of three nodes. Arguments go to pytest.
#     scripts/e2e.sh [--check | --bootstrap [--prepare]] [PYTEST-ARGUMENT]...
# Without --bootstrap Docker, kind, helm and kubectl are those of this machine, on which nothing is changed; --check
# says what of it is missing, and does no more. With --bootstrap what is needed is installed from Debian packages and
# built from Go modules, and a Docker daemon of our own runs meanwhile; with --prepare that is all, and no test is run.
# What was built and downloaded stays in ~/.cache/gomatch.
# KIND_IMAGE, BASE and SERVERS name images to use: of the nodes, the Python one that ours are built on, and one with
# RabbitMQ, PostgreSQL 17 and Valkey. One that is not given is made from Debian packages here.
# `--figures FILE` of pytest keeps what was measured: bench/results/cluster.md is made so.
set -euo pipefail
cd "$(dirname "$0")/.."
own=tests/e2e/cluster
# shellcheck source=tests/e2e/cluster/common.sh
. $own/common.sh
bootstrap='' prepare='' check=''
[ "${1:-}" != --check ] || { check=1; shift; }
[ "${1:-}" != --bootstrap ] || { bootstrap=1; shift; }
[ "${1:-}" != --prepare ] || { prepare=1; shift; }

what_is_missing() {
    local program name
    for program in docker kind helm kubectl; do have "$program" || echo "  the program $program"; done
    has_rabbitmq || echo "  RabbitMQ 3.10 or newer from Debian's package rabbitmq-server"
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ||
        echo "  Python's venv (Debian: python3-venv)"
    ! have docker || docker version >/dev/null 2>&1 || echo "  a Docker daemon that answers (docker version)"
    can_make_images || for name in KIND_IMAGE BASE SERVERS; do
        [ -n "${!name:-}" ] || echo "  $name, the name of an image; to make it here: root, Debian and mmdebstrap"
    done
}
# Where the tests of the images find it, or can unpack it within the checkout.
has_rabbitmq() {
    { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && have epmd; } || [ -e .tools/rabbitmq/complete ] ||
        { [ "$(id -u)" != 0 ] && have apt-get; }
}
can_make_images() { [ "$(id -u)" = 0 ] && have apt-get mmdebstrap && [ -r "$keyring" ]; }

if [ -n "$bootstrap" ]; then
    # One at a time, as the one that started the daemon stops it.
    mkdir -p "$cache"
    exec 7>"$cache/.e2e.lock"
    flock --nonblock 7 || echo "waiting for another run that has the cluster" >&2
    flock --timeout 3600 7 || fail "another run has had the cluster for an hour"
    $own/packages.sh
    # What a killed run left: its daemon, and nodes that would start again with the next one.
    unfinished=$cache/.e2e.unfinished killed=''
    [ ! -e "$unfinished" ] || { killed=1; $own/docker.sh stop; }
    [ -n "$($own/docker.sh running)" ] || { touch "$unfinished"; trap '$own/docker.sh stop; rm -f "$unfinished"' EXIT; }
    DOCKER_HOST=$($own/docker.sh start 7>&-) # else the daemon would hold the lock
    export DOCKER_HOST
    [ -z "$killed" ] || docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null || true
    programs=$($own/build.sh)
    export PATH=$programs:$PATH
else
    missing=$(what_is_missing)
    [ -z "$missing" ] || fail "the tests on a cluster lack:
$missing
\`make e2e BOOTSTRAP=1\` installs, builds and starts all of it, as root on Debian."
    [ -z "$check" ] || exit 0
fi
KIND_IMAGE=${KIND_IMAGE:-$($own/node-image.sh)}
BASE=${BASE:-$($own/base-image.sh)}
SERVERS=${SERVERS:-$($own/servers-image.sh)}
[ -z "$prepare" ] || exit 0

started=$SECONDS
status=0
pytest tests/e2e -q --kind-bin "$(command -v kind)" --kind-kubectl-bin "$(command -v kubectl)" \
    --kind-image "$KIND_IMAGE" --base-image "$BASE" --servers-image "$SERVERS" "$@" || status=$?
step "$started" "tests on the cluster"
exit $status
