#!/usr/bin/env bash
# Makes the image that our Dockerfiles are built on where the usual Python image cannot be pulled: Debian 13 with
# Python 3.13 as `python` and `python3`, venv and pip. Prints its name, which is for `docker build --build-arg BASE=`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/cluster/common.sh
. "$here/common.sh"
image=$repository/python-base:13
inputs=$(digest "$0" "$here/root-filesystem.sh")
if ! image_is "$image" "$inputs"; then
    tar=$("$here/root-filesystem.sh" trixie essential python3,python3-venv,python-is-python3,libstdc++6,ca-certificates,tzdata)
    started=$SECONDS
    docker import --change 'CMD ["python3"]' --change 'ENV LANG=C.UTF-8' --change "LABEL gomatch.inputs=$inputs" \
        "$tar" "$image" >/dev/null
    step "$started" "$image imported"
fi
echo "$image"
