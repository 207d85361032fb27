#!/usr/bin/env bash
# Builds the images gomatch-api, gomatch-matcher and gomatch-operator, or those of them that are named:
#     scripts/images.sh [api|matcher|operator]...
# BASE: the Python image they stand on; TAG: by default the version; PREFIX: what the names begin with, by default gomatch-.
# pip's index, its other settings, and the proxy of this machine are used for building; nothing of them stays in the images.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
tag=${TAG:-$version}
prefix=${PREFIX:-gomatch-}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# pip_setting NAME: from the environment, else from pip's files; empty if there is none.
pip_setting() {
    local variable
    variable=PIP_$(tr a-z- A-Z_ <<<"$1")
    echo "${!variable:-$(python3 -m pip config get "global.$1" 2>/dev/null || true)}"
}

write_pip_settings() {
    local name value authorities
    authorities=$(pip_setting cert)
    authorities=${authorities:-${SSL_CERT_FILE:-${REQUESTS_CA_BUNDLE:-${CURL_CA_BUNDLE:-}}}}
    echo "[global]"
    for name in index-url extra-index-url trusted-host proxy timeout default-timeout; do
        value=$(pip_setting "$name")
        [ -z "$value" ] || echo "$name = ${value//$'\n'/ }"
    done
    value=$(pip_setting retries)
    echo "retries = ${value:-8}" # an index may refuse for a minute
    [ -z "$authorities" ] || {
        cp "$authorities" "$context/images/builder/authorities.pem"
        echo "cert = /build/authorities.pem"
    }
}

tar --create --exclude __pycache__ LICENSE README.md pyproject.toml images operator src | tar --extract --directory "$context"
write_pip_settings >"$context/images/builder/pip.conf"

arguments=(--network host --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
[ -z "${BASE:-}" ] || arguments+=(--build-arg "BASE=$BASE")
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || arguments+=(--build-arg "$name")
done

[ $# -gt 0 ] || set -- api matcher operator
for image in "$@"; do
    case $image in
        api | matcher) folder=images/$image ;;
        operator) folder=operator ;;
        *) echo "there is no image $image: api, matcher, operator" >&2 && exit 2 ;;
    esac
    echo "$prefix$image:$tag"
    docker build "${arguments[@]}" --tag "$prefix$image:$tag" --file "$context/$folder/Dockerfile" "$context"
done
