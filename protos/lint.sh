#!/usr/bin/env bash
# Lints protos/ and finds what would break callers; says what it could not compare. Needs npm, for the pinned buf.
#   protos/lint.sh              all checks, and that each of them catches a planted fault
#   KERF_BREAKING_BASE=<ref>    what to compare with (default: origin/main, main, or the commit before this one)
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
work=build/buf
buf=$work/npm/node_modules/.bin/buf

# No lock file: the version in package.json is exact, buf has no dependencies but its own binaries of that version, and
# a lock file made behind a registry that lacks some platforms would refuse to install behind another one.
install_buf() {
    cmp -s .ci/buf/package.json "$work/npm/package.json" && "$buf" --version >/dev/null 2>&1 && return
    command -v npm >/dev/null || { echo "protos: npm is missing; make lint needs it for buf (apt-get install npm)" >&2; exit 1; }
    echo "protos: installing buf"
    rm -rf "$work/npm" && mkdir -p "$work/npm"
    cp .ci/buf/package.json "$work/npm/"
    (cd "$work/npm" && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
}

# workspace <protos folder> <target>: our protos and those that they import, which pip installed, side by side.
workspace() {
    rm -rf "$2" && mkdir -p "$2/deps/google/rpc"
    cp -R "$1" "$2/protos" && rm -f "$2/protos/buf.yaml" "$2/protos/"*.sh
    "$python" - "$1/buf.yaml" "$2" <<'PY'
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path

import yaml

config = yaml.safe_load(Path(sys.argv[1]).read_text())
target = Path(sys.argv[2])
for proto in files("google.rpc").iterdir():
    if proto.name.endswith(".proto"):
        with as_file(proto) as path:
            shutil.copy(path, target / "deps" / "google" / "rpc")
config["modules"] = [{"path": "protos"}, {"path": "deps", "lint": {"ignore": ["deps"]}, "breaking": {"ignore": ["deps"]}}]
config["lint"]["ignore"] = [f"protos/{folder}" for folder in config["lint"].get("ignore", [])]
# `path: .` names every lint rule once; a module without rules of its own takes those of the workspace.
config["modules"][1]["lint"]["use"] = ["MINIMAL"]
(target / "buf.yaml").write_text(yaml.safe_dump(config))
PY
}

# Must fail, or the gate before it is none.
must_fail() {
    local what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        echo "protos: the gate is broken: $what was not caught" >&2
        exit 1
    fi
}

breaking_base() {
    local head candidate
    head=$(git rev-parse --verify --quiet HEAD) || return 1
    for candidate in ${KERF_BREAKING_BASE:-origin/main main}; do
        candidate=$(git rev-parse --verify --quiet "$candidate^{commit}") || continue
        # On main itself the commit before is what callers have seen.
        if [ "$candidate" = "$head" ] && [ -z "${KERF_BREAKING_BASE:-}" ]; then
            candidate=$(git rev-parse --verify --quiet "HEAD~1^{commit}") || continue
        fi
        git cat-file -e "$candidate:protos/buf.yaml" 2>/dev/null || continue
        echo "$candidate"
        return
    done
    return 1
}

install_buf
workspace protos "$work/now"
"$buf" lint "$work/now"
echo "protos: buf lint is clean"

if base=$(breaking_base); then
    rm -rf "$work/base-tree" && mkdir -p "$work/base-tree"
    git archive "$base" protos | tar -x -C "$work/base-tree"
    workspace "$work/base-tree/protos" "$work/base"
    if "$buf" breaking "$work/now" --against "$work/base"; then
        echo "protos: nothing breaks callers of ${base:0:12}"
    elif git log --format=%B "$base..HEAD" | grep '^Breaks-Callers: '; then
        echo "protos: callers of ${base:0:12} break; a commit message accepts that, see above"
    else
        echo "protos: callers of ${base:0:12} would break. Keep the old way beside the new one; if nobody can depend on" >&2
        echo "protos: it yet, say so in the commit message with a line 'Breaks-Callers: <why>'" >&2
        exit 1
    fi
else
    echo "protos: buf breaking DID NOT RUN: no origin/main, other main or earlier commit here has protos"
fi

stale=$work/generated
rm -rf "$stale"
PYTHON="$python" ./protos/generate.sh "$stale"
if ! diff -r -x __pycache__ "$stale/kerf" libs/kerf_proto/src/kerf || ! diff -r -x __pycache__ "$stale/buf" libs/kerf_proto/src/buf; then
    echo "protos: libs/kerf_proto is stale: run \`make protos\` and commit it" >&2
    exit 1
fi
echo "protos: libs/kerf_proto is what protos/ generates"

planted=$work/planted
rm -rf "$planted" && cp -R protos "$planted"
printf '\nmessage Undocumented { string BadName = 1; }\n' >>"$planted/kerf/jobs/v1/job.proto"
workspace "$planted" "$work/planted-lint"
must_fail "an undocumented, misnamed field" "$buf" lint "$work/planted-lint"
rm -rf "$planted" && cp -R protos "$planted"
sed -i '0,/ = 1[ ;]/s/ = 1\([ ;]\)/ = 901\1/' "$planted/kerf/jobs/v1/event.proto"
workspace "$planted" "$work/planted-breaking"
"$buf" build "$work/planted-breaking" -o /dev/null
must_fail "a renumbered field" "$buf" breaking "$work/planted-breaking" --against "$work/now"
rm -rf "$planted" && cp -R "$stale" "$planted"
printf '\n# changed by hand\n' >>"$planted/kerf/jobs/v1/job_pb2.py"
must_fail "generated code changed by hand" diff -r -x __pycache__ "$planted/kerf" libs/kerf_proto/src/kerf
echo "protos: the gates catch their planted faults"
