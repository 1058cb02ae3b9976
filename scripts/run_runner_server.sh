#!/usr/bin/env bash
# Installs what is missing, builds guests, page and server, and serves on 127.0.0.1:8080. Arguments go to the server:
#   ./scripts/run_runner_server.sh --listen 127.0.0.1:9000
source "$(dirname "$0")/common.sh"

rust_toolchain
compiler
web_packages
own_targets
(cd "$WEB" && npm run --silent build)
cargo build --release --locked -p runner-server
guests
# A copy: the server starts its program again for each compilation, and another clone may have built meanwhile.
install -D -m 755 "$CARGO_TARGET_DIR/release/runner-server" "$ROOT/.runner/runner-server"
exec "$ROOT/.runner/runner-server" --page "$WEB/dist" --guests "$GUESTS" "$@" 9>&-
