#!/usr/bin/env bash
# Installs what is missing, builds guests, page and server, and serves on 127.0.0.1:8080. Arguments go to the server:
#   ./scripts/run_runner_server.sh --listen 127.0.0.1:9000
source "$(dirname "$0")/common.sh"

wasm_targets
compiler
web_packages
(cd "$WEB" && npm run --silent build)
cargo build --release --locked -p runner-server
guests
exec "$CARGO_TARGET_DIR/release/runner-server" --page "$WEB/dist" --guests "$GUESTS" "$@"
