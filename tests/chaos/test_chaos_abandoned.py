"""Callers that leave without a word: no handler and no memory stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest

from e2e_calls import Caller
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from stack_thread import running_stack, service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
TESTS = Path(__file__).resolve().parents[1]
STREAMS = 100
"""Of each kind: as many are cancelled as belong to a process that is killed."""
ROUNDS = 6
WARM_ROUNDS = 2
"""Before them a process still grows into its work."""
GROWTH_MIB = 8
"""A handler that stays holds some 50 KiB at least, so that 800 of them would be five times as much."""


async def open_streams(target: str, api_key: str, name: str) -> tuple[Caller, list[object]]:
    """Streams that have shown their first event."""
    caller = Caller(target, api_key)
    request = api.WatchJobRequest(name=name)
    calls = [caller.jobs.WatchJob(request, metadata=caller.metadata) for _ in range(STREAMS)]
    first = await asyncio.gather(*(call.read() for call in calls))
    assert all(event is not grpc.aio.EOF for event in first)
    return caller, list(calls)


async def hold_streams(target: str, api_key: str, name: str) -> None:
    """What the process does that is killed."""
    held = await open_streams(target, api_key, name)
    print(len(held[1]), flush=True)
    await asyncio.Event().wait()


def running_watches(metrics_url: str) -> float:
    with urllib.request.urlopen(metrics_url, timeout=10) as page:
        lines = page.read().decode().splitlines()
    (line,) = [line for line in lines if line.startswith("kerf_grpc_server_running{") and "WatchJob" in line]
    return float(line.split()[-1])


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def abandon(target: str, api_key: str, name: str, metrics_url: str) -> None:
    """Open streams from here and from another process, and leave: by cancelling, and by SIGKILL."""
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, target, api_key, name),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert other.stdout is not None
    caller, calls = await open_streams(target, api_key, name)
    assert int(await asyncio.wait_for(other.stdout.readline(), 60)) == STREAMS
    assert await asyncio.to_thread(running_watches, metrics_url) == 2 * STREAMS
    other.send_signal(signal.SIGKILL)
    await other.wait()
    for call in calls:
        call.cancel()  # type: ignore[attr-defined]  # the stub's type of a call is private to grpc
    async with asyncio.timeout(30):
        while await asyncio.to_thread(running_watches, metrics_url):
            await asyncio.sleep(0.05)
    await caller.channel.close()


async def test_abandoned_streams_leave_nothing_behind(tmp_path: Path) -> None:
    with running_stack(tmp_path, service("gateway"), service("noop", "kerf_core.noop")) as stack:
        info = stack.info
        caller = Caller(info.gateway_target, info.api_key)
        job = await caller.create(Job(stages=[Stage(id="long", noop=NoopTask(seconds=200))]))
        sizes = []
        for _ in range(ROUNDS):
            await abandon(info.gateway_target, info.api_key, job.name, info.metrics["gateway"])
            sizes.append(resident_mib(stack.pid("gateway")))
        print("gateway's memory after each round, MiB:", *(f"{size:.1f}" for size in sizes))
        assert sizes[-1] - sizes[WARM_ROUNDS - 1] < GROWTH_MIB
        await caller.jobs.CancelJob(api.CancelJobRequest(name=job.name), metadata=caller.metadata)
        await caller.channel.close()


if __name__ == "__main__":
    asyncio.run(hold_streams(*sys.argv[1:]))
