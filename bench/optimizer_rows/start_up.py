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
    """Seconds of the first rehearsal, of a second one in the same process, and what requests had to compile."""

    rehearsal: float
    again: float
    requests: float
    compiled: tuple[str, ...]

    @property
    def delay(self) -> float:
        """Seconds that kernels cost: the second rehearsal finds them ready."""
        return self.rehearsal - self.again


def started(cache: str) -> Start:
    """One process that starts with this cache folder."""
    command = ["env", f"NUMBA_CACHE_DIR={cache}", sys.executable, "-m", "bench.optimizer_rows.first_request"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Start(found["rehearsal"], found["again"], found["requests"], tuple(found["compiled"]))


def measure() -> list[Result]:
    """Cold, then warm."""
    with tempfile.TemporaryDirectory(prefix="kerf-bench-") as cache:
        return rows(started(cache), started(cache))


def rows(cold: Start, warm: Start) -> list[Result]:
    """The table."""
    once = "only shown: once per installation, in the background of a start, or before by the rehearsal module"
    named = ", ".join(cold.compiled + warm.compiled) or "none"
    late = float(len(cold.compiled) + len(warm.compiled))
    return [
        Result("start with kernels compiled before: their delay", warm.delay, "s", True, target=f"<= {DELAY_S}"),
        Result("start with an empty cache: their delay", cold.delay, "s", True, why=once),
        Result("kernels compiled by requests after the start", late, "", True, target="<= 0", why=f"late: {named}"),
    ]
