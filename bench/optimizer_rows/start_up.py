"""Start-up: what compiling costs where nothing was compiled before, and where it was; and that no request pays for it.

Each side is a process of its own (`first_request`); both share a cache folder that is empty at first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench._report import Result

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 1200
DELAY_S = 1
"""Kernels may delay a start by so much where they were compiled before."""


@dataclass(frozen=True)
class Start:
    """Seconds of the first rehearsal, of a second one in the same process, and what was compiled: by the rehearsal, and
    by requests after it.
    """

    rehearsal: float
    again: float
    requests: float
    before: tuple[str, ...]
    compiled: tuple[str, ...]

    @property
    def delay(self) -> float:
        """Seconds that kernels cost: the second rehearsal finds them ready."""
        return self.rehearsal - self.again


def started(cache: str, *arguments: str) -> Start:
    """One process that starts with this cache folder."""
    command = [
        "env",
        f"NUMBA_CACHE_DIR={cache}",
        sys.executable,
        "-m",
        "bench.optimizer_rows.first_request",
        *arguments,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Start(
        found["rehearsal"], found["again"], found["requests"], tuple(found["before"]), tuple(found["compiled"])
    )


def measure() -> list[Result]:
    """Cold, then warm, then where nothing can be written, as in an image."""
    with tempfile.TemporaryDirectory(prefix="kerf-bench-") as cache:
        return rows(started(cache), started(cache), started(cache, "--sealed"))


def rows(cold: Start, warm: Start, sealed: Start) -> list[Result]:
    """The table."""
    once = "only shown: once per installation, by make setup or the image's build"
    again = f"compiled again: {', '.join(warm.before + sealed.before) or 'none'}"
    named = ", ".join(cold.compiled + warm.compiled + sealed.compiled) or "none"
    late = float(len(cold.compiled) + len(warm.compiled) + len(sealed.compiled))
    target = f"<= {DELAY_S}"
    return [
        Result("start with kernels compiled before: their delay", warm.delay, "s", True, target=target, why=again),
        Result("start on a read-only root: their delay", sealed.delay, "s", True, target=target, why=again),
        Result("start with an empty cache: their delay", cold.delay, "s", True, why=once),
        Result("kernels compiled by requests after the start", late, "", True, target="<= 0", why=f"late: {named}"),
    ]
