# What the scripts share: where things are, and how what is missing gets installed. Sourced, not run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$(pwd)

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/runner
# Outside the clone, so that the next clone starts warm. A help, never required.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
# One build of the guests for every profile and tool.
export RUNNER_GUESTS_TARGET_DIR=${RUNNER_GUESTS_TARGET_DIR:-$CACHE/guests}
WEB=$ROOT/examples/web

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "\`$1\` is not here: $2"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else need sudo "install it, or run as root"; sudo "$@"; fi
}

# Debian packages, only those that are missing.
debian() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    need apt-get "install ${missing[*]} with your system's own tools"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

wasm_targets() {
    need cargo "install Rust with rustup, https://rustup.rs"
    local have missing=()
    have=$(rustup target list --installed 2>/dev/null || true)
    for target in wasm32-unknown-unknown wasm32-wasip1 wasm32-wasip2; do
        grep -qx "$target" <<<"$have" || missing+=("$target")
    done
    [ ${#missing[@]} -eq 0 ] && return
    need rustup "it installs the wasm targets ${missing[*]}"
    rustup target add "${missing[@]}"
}

# Every guest in one folder, for the server's examples.
GUESTS=$CACHE/built-guests
guests() {
    cargo run --quiet --release --locked -p runner-guests -- "$GUESTS"
}

compiler() {
    command -v cc >/dev/null 2>&1 || debian gcc libc6-dev
}

# The page's packages, exactly those of the lock file, again only when it changed.
web_packages() {
    need npm "install Node.js 20 or newer"
    local stamp=$WEB/node_modules/.runner-lock
    if ! cmp -s "$WEB/package-lock.json" "$stamp"; then
        (cd "$WEB" && npm ci --no-audit --no-fund --loglevel=error)
        cp "$WEB/package-lock.json" "$stamp"
    fi
}
