#!/usr/bin/env bash
# Installs what the tests need and runs all of them. `--long` adds what takes long; `--only STAGE` runs one stage.
source "$(dirname "$0")/common.sh"

LONG=0 ONLY=
while [ $# -gt 0 ]; do
    case $1 in
        --long) LONG=1 ;;
        --only) ONLY=${2:?a stage}; shift ;;
        *) fail "unknown argument \`$1\`: expected --long or --only STAGE" ;;
    esac
    shift
done
export RUNNER_LONG=$LONG RUST_BACKTRACE=${RUST_BACKTRACE:-0} CARGO_TERM_COLOR=never
SUMMARY=()

# Runs one stage and notes its minutes.
stage() {
    local name=$1 start=$SECONDS
    [ -z "$ONLY" ] || [ "$ONLY" = "$name" ] || return 0
    echo
    echo "=== $name"
    shift
    "$@"
    SUMMARY+=("$(printf '%5.1f min  %s' "$(awk "BEGIN { print ($SECONDS - $start) / 60 }")" "$name")")
}

install() {
    wasm_targets
    compiler
    debian chromium fonts-dejavu-core
    web_packages
}

formatted() {
    cargo fmt --all --check
    (cd examples/guests && cargo fmt --all --check)
}

linted() {
    cargo clippy --release --locked --workspace --all-targets -- -D warnings
}

rust() {
    cargo test --release --locked --workspace --lib --bins --tests
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps -p runner-core
    cargo test --release --locked --doc -p runner-core
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
    cargo build --release --locked -p runner-server
    guests
    cd "$WEB"
    npm run --silent build
    RUNNER_SERVER_BIN=$CARGO_TARGET_DIR/release/runner-server RUNNER_GUESTS=$GUESTS npm run --silent e2e
    cd "$ROOT"
}

benches() {
    cargo bench --locked -p runner-benches --no-run
}

# The crate as a registry would build it, from its package alone.
packaged() {
    cargo package --locked --allow-dirty -p runner-core
}

stage install install
stage fmt formatted
stage clippy linted
stage rust rust
stage docs docs
stage web web
stage browser browser
stage benches benches
if [ "$LONG" = 1 ]; then
    stage package packaged
fi
echo
echo "=== minutes per stage"
printf '%s\n' "${SUMMARY[@]}"
