"""What a process holds: memory, handlers, tasks, threads, open files. Linux only."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KIB_PER_MIB = 1024
_POLL_S = 0.02
_ANSWER_S = 30.0
_METRICS_S = 10


@dataclass(frozen=True)
class Memory:
    """MiB of a process, or of several together."""

    own: float
    """What nobody but it has and what nothing can take back from it: written private pages, and what is swapped out."""
    resident: float
    """RSS; the pages of its programs and libraries too, whoever else has them."""


def memory_of(pids: Sequence[int]) -> Memory:
    """Of these processes together. Raises OSError where one is gone."""
    own = resident = 0
    for pid in pids:
        fields = _rollup(pid)
        own += fields["Private_Dirty"] + fields["Swap"]
        resident += fields["Rss"]
    return Memory(own / _KIB_PER_MIB, resident / _KIB_PER_MIB)


def _rollup(pid: int) -> dict[str, int]:
    """KiB by name."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    rows = [line.split() for line in text.splitlines()[1:]]
    return {row[0].removesuffix(":"): int(row[1]) for row in rows}


@dataclass(frozen=True)
class Held:
    """What a service has while nobody asks it for anything."""

    handlers: int
    """gRPC calls in progress."""
    tasks: Mapping[str, int]
    """asyncio tasks by the function that they run."""
    threads: int
    files: int
    """Open files and connections."""

    @property
    def calls(self) -> int:
        """Handlers and tasks."""
        return self.handlers + sum(self.tasks.values())

    def above(self, before: Held) -> Held:
        """What is there now and was not there before; 0 where there is less."""
        return Held(
            max(0, self.handlers - before.handlers),
            dict(Counter(self.tasks) - Counter(before.tasks)),
            max(0, self.threads - before.threads),
            max(0, self.files - before.files),
        )


def held(pid: int, metrics_url: str, report: Path) -> Held:
    """Look at a service that `counted` runs; blocks. Raises TimeoutError where it does not answer."""
    tasks = _asked(pid, report)
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    return Held(_running_calls(metrics_url), tasks, threads, len(os.listdir(f"/proc/{pid}/fd")))


def _asked(pid: int, report: Path) -> Mapping[str, int]:
    report.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    until = time.monotonic() + _ANSWER_S
    while not report.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"process {pid} did not say which tasks it has within {_ANSWER_S:g} s")
        time.sleep(_POLL_S)
    return dict(json.loads(report.read_text(encoding="utf-8")))


def _running_calls(metrics_url: str) -> int:
    with urllib.request.urlopen(metrics_url, timeout=_METRICS_S) as page:  # noqa: S310 - the stack's own loopback address
        lines = page.read().decode().splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("kerf_grpc_server_running{")))
