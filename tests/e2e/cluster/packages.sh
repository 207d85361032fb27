#!/usr/bin/env bash
# Installs from Debian, as root, what a cluster of our own needs beside the built programs. Usage: packages.sh
# Docker and containerd are Debian 13's, as Debian 12's Docker fails where CAP_SYS_RESOURCE is missing; all else,
# libc before all, stays this machine's release. /etc/apt is not changed, and no package starts a server.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gomatch/debian
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

recent_docker() {
    command -v dockerd containerd runc >/dev/null &&
        [ "$(dockerd --version | sed -n 's/^Docker version \([0-9]*\).*/\1/p')" -ge 26 ]
}

if recent_docker && command -v mmdebstrap iptables openssl >/dev/null && [ -x "$cache/containerd/usr/bin/containerd" ]; then
    exit 0
fi
[ "$(id -u)" = 0 ] || { echo "Docker and mmdebstrap have to be installed by root" >&2; exit 1; }
command -v apt-get >/dev/null && [ -r "$keyring" ] || { echo "only Debian has the packages to install here" >&2; exit 1; }

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
started=$SECONDS

# This machine's sources and Debian 13, in a configuration of our own.
[ -n "$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian')" ] || apt-get update -qq
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v -e security -e snapshot | sort -u | head -1)
[ -n "$mirror" ] || { echo "this machine has no Debian mirror in its package sources" >&2; exit 1; }
rm -rf "$cache/apt"
mkdir -p "$cache/apt/sources" "$cache/apt/preferences" "$cache/apt/lists/partial"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    if [ -f "$file" ] && grep -q -i debian "$file"; then cp "$file" "$cache/apt/sources/"; fi
done
[ ! -f "$cache/apt/sources/sources.list" ] || mv "$cache/apt/sources/sources.list" "$cache/apt/sources/host.list"
echo "deb [signed-by=$keyring] $mirror trixie main" >"$cache/apt/sources/trixie.list"
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >"$cache/apt/preferences/trixie"
apt=(apt-get -qq -o APT::Sandbox::User=root -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$cache/apt/sources"
    -o "Dir::Etc::preferencesparts=$cache/apt/preferences" -o "Dir::State::Lists=$cache/apt/lists")
"${apt[@]}" update

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
wanted=(mmdebstrap iptables openssl)
recent_docker || wanted+=(docker.io/trixie docker-cli/trixie containerd/trixie)
DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" >"$cache/install.log" 2>&1 ||
    { tail -20 "$cache/install.log" >&2; exit 1; }

# The nodes' containerd, as this machine's may be another.
mkdir -p "$cache/download"
(cd "$cache/download" && rm -f ./*.deb && "${apt[@]}" download containerd/trixie)
rm -rf "$cache/containerd.part" "$cache/containerd"
dpkg -x "$cache"/download/containerd_*.deb "$cache/containerd.part"
mv "$cache/containerd.part" "$cache/containerd"
rm -rf "$cache/download"
printf '%5ds  packages installed\n' $((SECONDS - started)) >&2
