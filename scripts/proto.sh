#!/bin/sh
# Generates the protobuf modules; `scripts/proto.sh DIR` writes them under DIR instead of src.
set -eu
cd "$(dirname "$0")/.."
target=${1:-src}
mkdir -p "$target/gomatch/messages/v1"
python -m grpc_tools.protoc -I gomatch/messages/v1=proto/gomatch/v1 \
    --python_out="$target" --grpc_python_out="$target" --mypy_out=quiet:"$target" \
    --mypy_grpc_out=quiet:"$target" gomatch/messages/v1/callback.proto
touch "$target/gomatch/messages/v1/__init__.py"
