#!/bin/sh
# The suite on real servers, which the fixtures start and stop; tests/e2e has a script of its own.
# Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tests/e2e/cluster/common.sh
. tests/e2e/cluster/common.sh
# Downloads and builds belong here: within a test they would count against its time.
install_openssl() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends openssl && return
    fi
    echo "The program openssl is missing: install it, then run this again." >&2
    exit 1
}
prepare() {
    again python -m gomatch.cli.servers
    tests/e2e/cluster/build.sh kubeall etcd helm >/dev/null
    command -v openssl >/dev/null || install_openssl
}
if [ $# -gt 0 ]; then
    case "$1" in
        tests/unit*) ;;
        *) prepare ;;
    esac
    exec pytest "$@"
fi
pytest -q tests/unit/engine --cov=gomatch.engine --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100
prepare
exec pytest -q tests --ignore=tests/unit/engine --ignore=tests/e2e
