#!/usr/bin/env bash
# Installs what the tests need and runs all of them. `--long` adds what takes long; `--only STAGE` runs one stage.
source "$(dirname "$0")/common.sh"

STAGES=(fmt clippy rust docs web browser benches package)
LONG_STAGES=(dev verified testsuite)
LIBRARIES=(runner-core runner-host-config runner-host-fs runner-host-http runner-host-kv runner-host-logging runner-sdk-guest runner-sdk-guest-macros runner-test runner-workflow)
LONG=0 ONLY=
while [ $# -gt 0 ]; do
    case $1 in
        --long) LONG=1 ;;
        --only) ONLY=${2:-no stage}; shift $(($# > 1)) ;;
        *) fail "unknown argument \`$1\`: expected --long or --only STAGE" ;;
    esac
    shift
done
export RUST_BACKTRACE=${RUST_BACKTRACE:-0} CARGO_TERM_COLOR=never
# Tests that try a sample by default try all of it then.
if [ "$LONG" = 1 ]; then export RUNNER_LONG=1; fi
SUMMARY=()

# Runs one stage and notes its minutes.
stage() {
    local name=$1 start=$SECONDS
    echo
    echo "=== $name"
    "$name"
    SUMMARY+=("$(printf '%5.1f min  %s' "$(awk "BEGIN { print ($SECONDS - $start) / 60 }")" "$name")")
}

setup() {
    rust_toolchain
    rust_tools
    compiler
    debian chromium fonts-dejavu-core
    web_packages
    js_guests
    guest_programs
    own_targets
}

fmt() {
    cargo fmt --all --check
    (cd examples/guests && cargo fmt --all --check)
}

clippy() {
    cargo clippy --release --locked --workspace --all-targets -- -D warnings
    # The guests of every target are Rust that this one has, too.
    (cd examples/guests && CARGO_TARGET_DIR=$RUNNER_GUESTS_TARGET_DIR \
        cargo clippy --release --locked --workspace --target wasm32-wasip2 -- -D warnings)
    # The page runs the machine of workflows.
    CARGO_TARGET_DIR=$RUNNER_GUESTS_TARGET_DIR cargo clippy --release --locked -p runner-workflow --lib \
        --no-default-features --target wasm32-unknown-unknown -- -D warnings
    # Features add, and need no other: what guests are written with has each of them alone, and none.
    for feature in '' task http kv config fs log clock random; do
        CARGO_TARGET_DIR=$RUNNER_GUESTS_TARGET_DIR cargo clippy --release --locked -p runner-sdk-guest --lib \
            --no-default-features --features "$feature" --target wasm32-unknown-unknown -- -D warnings
    done
}

# Always the whole workspace: cargo builds third-party crates anew for each selection of packages whose features differ.
rust() {
    cargo test --release --locked --workspace --lib --bins --tests
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --workspace
    cargo test --release --locked --workspace --doc
}

web() {
    cd "$WEB"
    npm run --silent lint
    npm run --silent typecheck
    npm run --silent build
    npm test --silent
    cd "$ROOT"
}

# A real server, a real browser: the tests start servers of their own.
browser() {
    # The server that the Rust tests started: the same build.
    cargo test --quiet --release --locked --workspace --lib --bins --tests --no-run
    guests
    cd "$WEB"
    npm run --silent build
    RUNNER_SERVER_BIN=$CARGO_TARGET_DIR/release/runner-server RUNNER_GUESTS=$GUESTS npm run --silent e2e
    cd "$ROOT"
}

benches() {
    cargo test --release --locked --workspace --benches --no-run
}

# The crates as a registry would get them.
package() {
    cargo package --locked --allow-dirty --no-verify "${LIBRARIES[@]/#/--package=}"
}

# As a registry would build them, each from its package alone, in the profile that nothing else here builds.
verified() {
    # In a place of its own: a package of the same name, version and place is for cargo the one that it unpacked and built before.
    rm -rf "$CARGO_TARGET_DIR"/verified-*
    local fresh
    fresh=$(mktemp -d "$CARGO_TARGET_DIR/verified-XXXXXX")
    cargo package --locked --allow-dirty --target-dir "$fresh" "${LIBRARIES[@]/#/--package=}"
    rm -rf "$fresh"
}

# The programs of WebAssembly/wasi-testsuite, which is in no registry: `RUNNER_WASI_TESTSUITE` is the absolute path of a checkout
# with built programs. Where there is one, `rust` has run them as well.
testsuite() {
    if [ -z "${RUNNER_WASI_TESTSUITE:-}" ]; then
        [ "$ONLY" != testsuite ] || fail "\`RUNNER_WASI_TESTSUITE\` names no checkout of WebAssembly/wasi-testsuite"
        echo "SKIPPED: \`RUNNER_WASI_TESTSUITE\` names no checkout of WebAssembly/wasi-testsuite"
        return
    fi
    cargo test --release --locked --workspace --lib --bins --tests -- testsuite::
}

# What plain `cargo test` does.
dev() {
    cargo test --locked -p runner-core --lib --tests
}

if [ -n "$ONLY" ]; then
    [[ " ${STAGES[*]} ${LONG_STAGES[*]} " == *" $ONLY "* ]] ||
        fail "unknown stage \`$ONLY\`: expected one of ${STAGES[*]} ${LONG_STAGES[*]}"
    STAGES=("$ONLY")
elif [ "$LONG" = 1 ]; then
    STAGES+=("${LONG_STAGES[@]}")
fi
for name in setup "${STAGES[@]}"; do
    stage "$name"
done
echo
echo "=== minutes per stage"
printf '%s\n' "${SUMMARY[@]}"
