#!/usr/bin/env bash
# Makes a Debian root file system and prints the tar file that holds it; one made before is used again.
# Usage: root-filesystem.sh SUITE VARIANT PACKAGES [SUITE-2]   SUITE as in bookworm, VARIANT of mmdebstrap
# PACKAGES have commas between them; one that is to come from SUITE-2 ends with /SUITE-2.
set -euo pipefail
# shellcheck source=tests/e2e/cluster/common.sh
. "$(dirname "$0")/common.sh"
suite=$1 variant=$2 packages=$3 second=${4:-}
folder=$cache/debian/roots
tar=$folder/$suite-$(printf '%s ' "$@" | digest "$0" -).tar
mkdir -p "$folder"
exec 9>"$tar.lock"
flock 9
if [ ! -f "$tar" ]; then
    started=$SECONDS
    options=(--quiet --format=tar "--variant=$variant" "--include=$packages" "--keyring=$keyring")
    for path in /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info /usr/share/lintian; do
        options+=("--dpkgopt=path-exclude=$path/*")
    done
    mirror=$(debian_mirror)
    sources=("deb $mirror $suite main")
    if [ -n "$second" ]; then
        sources+=("deb $mirror $second main")
        options+=("--aptopt=APT::Default-Release \"$suite\"")
    fi
    again mmdebstrap "${options[@]}" --dpkgopt='path-include=/usr/share/doc/*/copyright' "$suite" "$tar.part" "${sources[@]}" \
        >"$tar.log" 2>&1 || { tail -20 "$tar.log" >&2; exit 1; }
    mv "$tar.part" "$tar"
    step "$started" "Debian $suite with ${packages%%,*} and others unpacked"
fi
echo "$tar"
