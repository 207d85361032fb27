#!/usr/bin/env bash
# Makes the kind node image from Debian packages and the built programs, as root. Prints its name.
# Its parts: Debian 12, as systemd 256 and newer refuse cgroup v1; Debian 13's containerd; kind's own entrypoint and
# units; one image for each component of the control plane, imported into the node's containerd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/cluster/common.sh
. "$here/common.sh"

programs=$("$here/build.sh")
version=$(cat "$programs/VERSION")
image=$repository/node:$version
inputs=$(printf %s "$programs" | digest "$0" "$here/root-filesystem.sh" -)
exec 9>"$cache/.node-image.lock"
flock 9
if image_is "$image" "$inputs"; then
    echo "$image"
    exit 0
fi

packages=systemd,conntrack,iptables,nftables,iproute2,ipset,ethtool,util-linux,mount,kmod,libseccomp2,bash
packages+=,ca-certificates,jq,procps,hostname,runc,containernetworking-plugins,containerd/trixie
tar=$("$here/root-filesystem.sh" bookworm minbase "$packages" trixie)

work=$(mktemp -d)
container=
cleanup() {
    [ -z "$container" ] || docker rm --force "$container" >/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
chmod 755 "$work"
root=$work/root
mkdir "$root"
tar -C "$root" -xf "$tar"

# The names that kubeadm will ask for; without a newer patch release looked up, it says nothing on the network.
declare -A component_image
while read -r name; do
    component=${name#"$repository/"}
    component_image[${component%%:*}]=$name
done < <("$programs/kubeadm" config images list --kubernetes-version "$version" --image-repository "$repository")

started=$SECONDS
cp -r --no-preserve=mode,ownership "$programs/kind-files/." "$root/"
install -m 755 "$programs/kubeall" "$programs/kubeadm" "$root/usr/local/bin/"
# No capability CAP_SYS_RESOURCE may be there: nothing can ask for a lower out-of-memory score. kind makes the runtime
# specification and the snapshotter plugin that its containerd configuration names in a build of its own.
sed -i -e '/base_runtime_spec/d' -e '/proxy_plugins/,+3d' \
    -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
    -e "s#sandbox_image = .*#sandbox_image = \"${component_image[pause]}\"#" "$root/etc/containerd/config.toml"
printf '[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "/usr/lib/cni"\n' >>"$root/etc/containerd/config.toml"
chroot "$root" bash -eu <<'C'
for program in containerd containerd-shim-runc-v2 ctr; do ln -s ../../bin/$program /usr/local/bin/$program; done
chmod 755 /usr/local/bin/{entrypoint,clean-install} /kind/bin/*
for program in kubelet kubectl; do ln -sf /usr/local/bin/kubeall /usr/bin/$program; done
ln -sf /usr/local/bin/kubeadm /usr/bin/kubeadm
mkdir -p /etc/kubernetes/manifests /etc/cni/net.d /opt/cni
ln -sfn /usr/lib/cni /opt/cni/bin
cd /lib/systemd/system
rm -f sysinit.target.wants/systemd-tmpfiles-setup.service multi-user.target.wants/* local-fs.target.wants/* \
    sockets.target.wants/*udev* sockets.target.wants/*initctl* basic.target.wants/* containerd.service
cd /etc/systemd/system
rm -f ./*.wants/* containerd-fuse-overlayfs.service
sed -i /OOMScoreAdjust/d containerd.service
echo ReadKMsg=no >>/etc/systemd/journald.conf
ln -sf /lib/systemd/systemd /sbin/init
systemctl -q enable kubelet.service containerd.service undo-mount-hacks.service
systemctl -q mask systemd-binfmt.service
echo KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service >/etc/default/kubelet
containerd config default >/dev/null
C
echo "$version" >"$root/kind/version"
entrypoint='ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
tar -C "$root" -c . | docker import --change "$entrypoint" --change 'ENV container=docker' \
    --change 'STOPSIGNAL SIGRTMIN+3' - "$image-base" >/dev/null
step "$started" "$image-base imported"

started=$SECONDS
layer=$work/layer
new_layer() {
    rm -rf "$layer"
    mkdir -p "$layer"/usr/local/bin "$layer"/usr/sbin "$layer"/usr/bin "$layer"/tmp "$layer"/run
}
component() { # NAME [PROGRAM]
    tar -C "$layer" -c . | docker import --change "ENTRYPOINT [\"/usr/local/bin/${2:-$1}\"]" - "${component_image[$1]}" >/dev/null
}
for name in pause etcd coredns; do
    new_layer
    cp "$programs/$name" "$layer/usr/local/bin/"
    component "$name"
done

# One layer for the rest. kube-proxy runs iptables and conntrack with all they load; links are resolved inside of the
# root, where the absolute ones mean what they say.
new_layer
chroot "$root" bash -eu <<'C'
mkdir /tmp/proxy
programs="/usr/sbin/xtables-nft-multi /usr/sbin/conntrack /usr/sbin/ipset /usr/sbin/nft /usr/bin/dash"
extensions=$(echo /usr/lib/*-linux-gnu/xtables/*.so)
libraries=$(ldd $programs $extensions | grep -o '/[^ :]*\.so[^ :]*')
cp -L --parents $programs $(printf '%s\n' $extensions $libraries | sort -u) /tmp/proxy/
cd /tmp/proxy/usr
ln -s dash bin/sh
for program in {ip,ip6}tables{,-save,-restore}; do ln -s xtables-nft-multi sbin/$program; done
C
cp -a "$root/tmp/proxy/." "$layer/"
ln -s usr/bin "$layer/bin"
ln -s usr/sbin "$layer/sbin"
cp "$programs/kubeall" "$layer/usr/local/bin/"
parts=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy)
for name in "${parts[@]}"; do ln -s kubeall "$layer/usr/local/bin/$name"; done
for name in "${parts[@]}"; do component "$name"; done
step "$started" "images of the components imported"

started=$SECONDS
docker save "${component_image[@]}" --output "$work/images.tar"
container=$(docker run --detach --privileged --entrypoint containerd "$image-base")
docker exec "$container" sh -c 'for try in $(seq 100); do ctr version >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1' ||
    { docker logs --tail 20 "$container" >&2; fail "the node's containerd does not start"; }
docker exec --interactive "$container" ctr --namespace k8s.io images import --no-unpack - <"$work/images.tar" >/dev/null
docker stop "$container" >/dev/null
docker commit --change "$entrypoint" --change "LABEL gomatch.inputs=$inputs" "$container" "$image" >/dev/null
step "$started" "$image made"
echo "$image"
