#!/usr/bin/env bash
# The page alone, with hot reload on port 5173, against the server named by RUNNER_SERVER (http://127.0.0.1:8080).
source "$(dirname "$0")/common.sh"

web_packages
export RUNNER_SERVER=${RUNNER_SERVER:-http://127.0.0.1:8080}
echo "the page on http://127.0.0.1:5173 speaks to $RUNNER_SERVER"
cd "$WEB" && exec npm run --silent dev
