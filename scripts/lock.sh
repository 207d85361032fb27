#!/bin/sh
# Resolves pyproject.toml into the lock files: one of everything for development, and its parts for the images.
set -eu
cd "$(dirname "$0")/.."

resolve() {
    uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --quiet \
        --custom-compile-command "make lock" "$@"
}

part() { # part FILE ARGUMENTS: with the versions that requirements.lock has
    file=$1
    shift
    resolve --constraints requirements.lock --no-annotate --output-file "$file" "$@"
}

resolve --all-extras --output-file requirements.lock pyproject.toml
python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" |
    part images/builder/requirements.lock -
part images/common/requirements.lock pyproject.toml
common=$(sed -n 's/^\([a-z0-9._-]*\).*==.*/--no-emit-package \1/p' images/common/requirements.lock)
# Unquoted: these are many arguments.
# shellcheck disable=SC2086
part images/api/requirements.lock --extra api --extra tracing $common pyproject.toml
# shellcheck disable=SC2086
part images/matcher/requirements.lock --extra matcher --extra tracing $common pyproject.toml
# shellcheck disable=SC2086
part operator/requirements.lock --extra operator $common pyproject.toml
