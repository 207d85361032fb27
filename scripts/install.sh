#!/bin/sh
# Makes .venv from requirements.lock on a machine that has Python 3.11 or newer and nothing else.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "gomatch needs Python 3.11 or newer; $python is $("$python" --version 2>&1)" >&2
    exit 1
fi

again() { # COMMAND...: up to three times, as an index may refuse for a moment
    for pause in 20 60; do
        "$@" && return
        echo "once more in $pause s, as an index may refuse for a moment" >&2
        sleep "$pause"
    done
    "$@"
}

apt_install() {
    $root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends "$@"
}

install_venv() {
    root=""
    [ "$(id -u)" = 0 ] || root="sudo"
    if command -v apt-get >/dev/null && { [ -z "$root" ] || command -v sudo >/dev/null; }; then
        echo "This Python has no venv module; installing Debian's python3-venv" >&2
        $root true && again apt_install python3-venv && return
    fi
    echo "This Python has no venv module, and this account cannot install it." >&2
    echo "As root run: apt-get install python3-venv (elsewhere: the package with Python's venv). Then run this again." >&2
    exit 1
}

# Of one that was killed meanwhile there may be a Python without pip.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1 && ! "$python" -m venv .venv 2>/dev/null; then
    rm -rf .venv
    install_venv
    "$python" -m venv .venv
fi
pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}
again pip_install --require-hashes -r requirements.lock
pip_install --no-deps --no-build-isolation -e .
touch .venv/.installed
