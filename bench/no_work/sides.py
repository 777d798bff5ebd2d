"""What `bench.overhead` asks of each side, and the client process that it asks through."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from bench.no_work.client_loop import Load, Moments
from kerf_embedded.process import LAUNCHER

ROOT = Path(__file__).resolve().parents[2]
_MAX_LINE_BYTES = 1 << 24
_ANSWER_SECONDS = 120.0


class Driver:
    """Orders to a client process, and its answers."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def latency(self, jobs: int, variant: str = "") -> Moments:
        """Jobs one after another."""
        return cast(Moments, await self._ask({"do": "latency", "jobs": jobs, "variant": variant}))

    async def load(self, clients: int, seconds: float, variant: str = "") -> Load:
        """Jobs from many callers at once."""
        order = {"do": "load", "clients": clients, "seconds": seconds, "variant": variant}
        return cast(Load, await self._ask(order))

    async def _ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer = await asyncio.wait_for(self._process.stdout.readline(), _ANSWER_SECONDS)
        if not answer:
            raise RuntimeError(f"the client process ended (exit status {await self._process.wait()}); see above")
        return json.loads(answer)


@asynccontextmanager
async def client_process(python: str, module: str, where: Mapping[str, str]) -> AsyncIterator[Driver]:
    """Run `module` of this folder as a client of the server at `where`; it is gone after the body."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())),  # it dies with this process, whatever kills it
        *(python, "-m", f"bench.no_work.{module}"),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        limit=_MAX_LINE_BYTES,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(where).encode() + b"\n")
        yield Driver(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True)
class Side:
    """One system under test: its client, and the processes that serve it."""

    name: str
    driver: Driver
    processes: Callable[[], Mapping[str, Sequence[int]]]
    """Process ids by role; asked anew each time."""

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far, by role."""
        used = {}
        for role, pids in self.processes().items():
            times = [psutil.Process(pid).cpu_times() for pid in pids]
            used[role] = sum(time.user + time.system for time in times)
        return used


def family(pid: int | None) -> list[int]:
    """A process and everything below it."""
    if pid is None:
        return []
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
