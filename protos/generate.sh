#!/usr/bin/env bash
# Writes libs/kerf_proto/src from protos/. The result is committed; `make lint` fails if it is stale.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=${1:-libs/kerf_proto/src}
rm -rf "$out"/kerf "$out"/buf
mkdir -p "$out"
include=$("$python" -c 'import importlib.resources as r; print(r.files("google.rpc").joinpath("../.."))')
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc -I protos -I "$include" \
    --python_out="$out" --mypy_out="quiet:$out" --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" \
    $(find protos -name '*.proto' | sort)
# Messages without a service need no gRPC module.
grep -L 'rpc_method_handlers' $(find "$out" -name '*_pb2_grpc.py') | while read -r file; do rm -f "$file" "${file}i"; done
find "$out"/kerf "$out"/buf -type d -exec touch {}/__init__.py {}/py.typed \;
find "$out"/kerf "$out"/buf -mindepth 1 -name py.typed -path '*/*/*/py.typed' -delete
touch "$out"/kerf/py.typed "$out"/buf/py.typed
