# What the scripts here share; it is sourced, not run.
# shellcheck shell=bash disable=SC2034
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gomatch
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
repository=kube.local # of images made here; tests/fixtures/kind.py names it too

# step SECONDS-AT-ITS-START WHAT
step() { printf '%5ds  %s\n' $((SECONDS - $1)) "$2" >&2; }

fail() {
    echo "$1" >&2
    exit 1
}

# again COMMAND...: up to three times, as what it downloads may be refused for a moment.
again() {
    local pause
    for pause in 15 60; do
        ! "$@" || return 0
        echo "$1 failed; once more in $pause s" >&2
        sleep "$pause"
    done
    "$@"
}

# Whether all these programs are there.
have() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || return 1
    done
}

# Where this machine gets its Debian packages from.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | sort -u | sed -n 1p)
    [ -n "$mirror" ] || fail "this machine's package sources name no Debian mirror"
    echo "$mirror"
}

# digest FILES... : of what they hold
digest() { cat "$@" | sha256sum | cut -c1-16; }

# Whether the image NAME is there and was made from what DIGEST says.
image_is() { # NAME DIGEST
    [ "$(docker image inspect --format '{{index .Config.Labels "gomatch.inputs"}}' "$1" 2>/dev/null)" = "$2" ]
}
