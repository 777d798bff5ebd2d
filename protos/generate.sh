#!/usr/bin/env bash
# Writes libs/kerf_proto/src from protos/. The result is committed; `make lint` fails if it is stale.
# What is there is replaced only once everything has been generated: a fault in a proto changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=${1:-libs/kerf_proto/src}
mkdir -p "$out"
new=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$new"' EXIT
include=$("$python" -c 'import importlib.resources as r; print(r.files("google.rpc").joinpath("../.."))')
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc -I protos -I "$include" \
    --python_out="$new" --mypy_out="quiet:$new" --grpc_python_out="$new" --mypy_grpc_out="quiet:$new" \
    $(find protos -name '*.proto' | sort)
# Messages without a service need no gRPC module.
grep -L 'rpc_method_handlers' $(find "$new" -name '*_pb2_grpc.py') | while read -r file; do rm -f "$file" "${file}i"; done
find "$new"/kerf "$new"/buf -type d -exec touch {}/__init__.py {}/py.typed \;
find "$new"/kerf "$new"/buf -mindepth 1 -name py.typed -path '*/*/*/py.typed' -delete
touch "$new"/kerf/py.typed "$new"/buf/py.typed
rm -rf "$out"/kerf "$out"/buf
mv "$new"/kerf "$new"/buf "$out"
