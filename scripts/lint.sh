#!/bin/sh
# Format, lint, types, import layers, and that the generated protobuf is current.
set -eu
cd "$(dirname "$0")/.."
ruff format --check .
ruff check .
mypy
lint-imports --no-cache
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
scripts/proto.sh "$generated"
diff -r -x __pycache__ "$generated/gomatch/messages/v1" src/gomatch/messages/v1 ||
    { echo "src/gomatch/messages/v1 is not what proto/ gives: run make proto" >&2; exit 1; }
