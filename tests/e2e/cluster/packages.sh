#!/usr/bin/env bash
# Installs from Debian, as root, what a cluster of our own needs beside the built programs. Usage: packages.sh
# Docker and containerd are Debian 13's, as Debian 12's Docker fails where CAP_SYS_RESOURCE is missing; all else,
# libc before all, stays this machine's release. /etc/apt is not changed, and no package starts a server.
set -euo pipefail
# shellcheck source=tests/e2e/cluster/common.sh
. "$(dirname "$0")/common.sh"
folder=$cache/debian

recent_docker() {
    have dockerd containerd runc &&
        [ "$(dockerd --version | sed -n 's/^Docker version \([0-9]*\).*/\1/p')" -ge 26 ]
}

if recent_docker && have mmdebstrap iptables openssl; then
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "Docker and mmdebstrap have to be installed by root"
if ! have apt-get || [ ! -r "$keyring" ]; then fail "only Debian has the packages to install here"; fi

mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9
started=$SECONDS

# This machine's sources and Debian 13, in a configuration of our own.
mirror=$(debian_mirror)
rm -rf "$folder/apt"
mkdir -p "$folder/apt/sources" "$folder/apt/preferences" "$folder/apt/lists/partial"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    if [ -f "$file" ] && grep -q -i debian "$file"; then cp "$file" "$folder/apt/sources/"; fi
done
[ ! -f "$folder/apt/sources/sources.list" ] || mv "$folder/apt/sources/sources.list" "$folder/apt/sources/host.list"
echo "deb [signed-by=$keyring] $mirror trixie main" >"$folder/apt/sources/trixie.list"
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >"$folder/apt/preferences/trixie"
apt=(apt-get -qq -o APT::Sandbox::User=root -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$folder/apt/sources"
    -o "Dir::Etc::preferencesparts=$folder/apt/preferences" -o "Dir::State::Lists=$folder/apt/lists"
    -o DPkg::Lock::Timeout=300)

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
wanted=(mmdebstrap iptables openssl)
recent_docker || wanted+=(docker.io/trixie docker-cli/trixie containerd/trixie)
export DEBIAN_FRONTEND=noninteractive
install() {
    dpkg --configure -a || true # a run that was killed while it installed: apt-get would refuse for ever
    "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${wanted[@]}"
}
again install >"$folder/install.log" 2>&1 ||
    { tail -20 "$folder/install.log" >&2; exit 1; }
rm -rf "$folder/apt"
step "$started" "packages installed"
