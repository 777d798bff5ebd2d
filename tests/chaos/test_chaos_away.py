"""NATS or S3 silent, or the disk full: a typed error that says what to do, and nothing half-done afterwards."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from e2e_calls import Caller, noop_job, reason_of_call, status_of_call
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from stack_thread import StackThread, running_stack, service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]
QUICK_S3 = {"S3_TIMEOUT": "1", "S3_RETRY_FOR": "2", "ACCEPT_RETRY_FOR": "2"}
MIB = 1 << 20
T = TypeVar("T")
REFUSED = 5
FULL_FOR_S = 6


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    services = [service("gateway", **QUICK_S3), service("noop", "kerf_core.noop")]
    with running_stack(tmp_path_factory.mktemp("stack"), *services) as running:
        yield running


@asynccontextmanager
async def caller_of(stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(stack.info.gateway_target, stack.info.api_key)
    try:
        yield caller
    finally:
        await caller.channel.close()


def has_retry_info(error: grpc.aio.AioRpcError) -> bool:
    info = RetryInfo()
    return any(detail.Unpack(info) and info.HasField("retry_delay") for detail in status_of_call(error).details)


@pytest.mark.parametrize("victim, reason", [("nats", "NATS_UNAVAILABLE"), ("s3", "S3_UNAVAILABLE")])
async def test_a_silent_server_is_named_and_the_same_request_works_later(
    victim: str, reason: str, stack: StackThread
) -> None:
    async with caller_of(stack) as caller:
        assert (await caller.run(noop_job()))[-1].HasField("succeeded")
        before = (await caller.upload(b"before")).sha256
        await asyncio.to_thread(stack.kill, victim, signal.SIGSTOP)
        try:
            began = time.monotonic()
            call = caller.create(noop_job(), "while-away") if victim == "nats" else caller.upload(b"while away")
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call
            assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
            assert reason_of_call(refusal.value) == reason
            assert has_retry_info(refusal.value)
            assert time.monotonic() - began < 20
        finally:
            await asyncio.to_thread(stack.kill, victim, signal.SIGCONT)
        job = await until_it_works(lambda: caller.create(noop_job(), "while-away"))
        events = await until_it_works(lambda: caller.watch(job.name))
        assert events[-1].HasField("succeeded")
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert (await until_it_works(lambda: caller.upload(b"before"))).sha256 == before


async def until_it_works(call: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(40):
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.3)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return hog


@pytest.mark.root
async def test_a_full_disk_refuses_and_loses_nothing_that_was_accepted(small_disk: Path) -> None:
    services = [service("gateway", **QUICK_S3), service("noop", "kerf_core.noop")]
    with running_stack(small_disk / "root", *services) as stack:
        async with caller_of(stack) as caller:
            done = (await caller.run(noop_job(2)))[0].job
            kept = await caller.upload(b"kept" * 1000)
            runs = await caller.create(Job(stages=[Stage(id="runs", noop=NoopTask(seconds=8))]))
            waits = await caller.create(Job(stages=[Stage(id="waits", noop=NoopTask(seconds=1))]))
            hog = await asyncio.to_thread(fill, small_disk)
            refusals = [error async for error in refused(caller)]
            assert len(refusals) == 2 * REFUSED
            assert {reason_of_call(error) for error in refusals} == {"STORAGE_FULL"}
            assert {error.code() for error in refusals} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            assert all(has_retry_info(error) for error in refusals)
            # The hog has left nothing: whatever a server writes now fails, and NATS stops to answer appends.
            await asyncio.to_thread(time.sleep, FULL_FOR_S)
            hog.unlink()
            async with asyncio.timeout(20):
                while not (stack.restarts("nats") and stack.restarts("s3")):  # nobody but the stack itself does that
                    await asyncio.sleep(0.1)
            for job in (runs, waits):
                assert (await until_it_works(lambda job=job: caller.watch(job.name)))[-1].HasField("succeeded")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            assert (await until_it_works(lambda: caller.watch(done)))[-1].HasField("succeeded")
            assert (await until_it_works(lambda: caller.upload(b"kept" * 1000))).sha256 == kept.sha256
            job = await until_it_works(lambda: caller.create(noop_job(), "after"))
            assert (await until_it_works(lambda: caller.watch(job.name)))[-1].HasField("succeeded")


async def refused(caller: Caller) -> AsyncIterator[grpc.aio.AioRpcError]:
    """What a caller is told while the disk is full."""
    for number in range(REFUSED):
        for call in (caller.upload(bytes([number]) * MIB), caller.create(noop_job(), f"full-{number}")):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call
            yield refusal.value
