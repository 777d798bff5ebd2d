"""Runs the `kerf` command as people do: a process of its own, against a real stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stack_thread import StackThread

LIMIT_S = 120


class Shell:
    """Runs `kerf` in a folder."""

    def __init__(self, stack: StackThread, folder: Path) -> None:
        given = {
            "KERF_CLIENT_GATEWAY": stack.info.gateway_target,
            "KERF_CLIENT_API_KEY": stack.info.api_key,
            "KERF_CLIENT_OPTIMIZER": stack.info.targets.get("optimizer", ""),
        }
        self.folder = folder
        self.environment = os.environ | given

    def start(self, *words: str, stdin: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kerf_client", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self, *words: str, code: int = 0) -> Any:
        """The JSON value that the command prints."""
        with self.start(*words, "--json") as process:
            out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code, f"{words}\n{out}\n{err}"
        return json.loads(out)

    def file(self, name: str, *lines: object) -> str:
        (self.folder / name).write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return name
