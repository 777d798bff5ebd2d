"""`python -m kerf_embedded backup FOLDER` and `… restore FOLDER`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerf_core.errors import FailedPrecondition, InvalidArgument, KerfError, Unavailable
from kerf_embedded.backup import back_up, restore
from kerf_embedded.state import ROOT_VARIABLE, default_root, read_state

_DONE, _FAILED, _USAGE, _AWAY = 0, 1, 2, 3
_EXIT_CODES = "exit codes: 0 done, 1 it failed, 2 wrong usage or refused, 3 the stack or one of its servers is away"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        manifest = asyncio.run(_run(given))
    except KerfError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        if given.json:
            print(json.dumps({"error": {"reason": error.reason, "message": error.message}}))
        if isinstance(error, InvalidArgument | FailedPrecondition):
            return _USAGE
        return _AWAY if isinstance(error, Unavailable) else _FAILED
    summary = _summary(manifest)
    if given.json:
        print(json.dumps({"folder": str(given.folder), **summary}))
    else:
        verb = "saved to" if given.command == "backup" else "restored from"
        entries, objects = summary["streams"], summary["objects"]
        messages = ", ".join(f"{name} {count}" for name, count in entries.items())
        print(f"{verb} {given.folder}: {messages}; {objects['count']} objects, {objects['size_bytes']:,} bytes")
    return _DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kerf_embedded", description=__doc__, epilog=_EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    texts = {
        "backup": "save the running stack (jobs, results, uploads, keys) into a new folder, while work goes on",
        "restore": "make a stack that has no data yet from a backup; then start it as always",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text, epilog=_EXIT_CODES)
        command.add_argument("folder", type=Path, help="of the backup")
        command.add_argument("--root", type=Path, help=f"of the stack (default: ${ROOT_VARIABLE}, else the user's)")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


async def _run(given: argparse.Namespace) -> dict[str, Any]:
    root = (given.root or default_root()).absolute()
    folder = given.folder.absolute()
    if given.command == "restore":
        return await restore(folder, root)
    info = read_state(root)
    if info is None:
        raise Unavailable("STACK_NOT_RUNNING", f"no stack runs in {root}: start it (kerf up), then save it")
    return await back_up(info, folder)


def _summary(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        "began": manifest["began"],
        "streams": {name: about["state"]["messages"] for name, about in manifest["streams"].items()},
        "objects": manifest["objects"],
    }


if __name__ == "__main__":
    sys.exit(main())
