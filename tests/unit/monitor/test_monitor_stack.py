"""The monitor as a process, beside a gateway and a worker on real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import nats
import pytest

from e2e_calls import Caller, noop_job, reason_of_call
from kerf.monitor.v1 import monitor_pb2 as api
from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceStub
from kerf_core.auth import new_api_key, store_api_key
from kerf_embedded.ports import LOOPBACK, draw
from stack_thread import QUICK, StackThread, running_stack, service

if TYPE_CHECKING:
    from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceAsyncStub

SOON = 20.0
POLL = 0.05


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    noop = service("noop", "kerf_core.noop", NODE="box.example")
    monitor = service("monitor", NODE="box.example", INTERVAL="0.3")
    with running_stack(tmp_path_factory.mktemp("monitor"), service("gateway"), noop, monitor) as running:
        yield running


@asynccontextmanager
async def monitor_of(stack: StackThread) -> AsyncIterator[MonitorServiceAsyncStub]:
    async with grpc.aio.insecure_channel(stack.info.targets["monitor"]) as channel:
        yield MonitorServiceStub(channel)


@pytest.fixture
async def monitor_elsewhere(stack: StackThread) -> AsyncIterator[str]:
    """The target of a monitor of another node in the same installation."""
    info, port = stack.info, draw()
    values = QUICK | {
        "NATS_URL": info.nats_url,
        "NATS_USER": info.nats_user,
        "NATS_PASSWORD": info.nats_password,
        "S3_ENDPOINT": info.s3_endpoint,
        "S3_ACCESS_KEY": info.s3_access_key,
        "S3_SECRET_KEY": info.s3_secret_key,
        "GRPC_PORT": str(port),
        "NODE": "far.example",
        "LOG_LEVEL": "WARNING",
    }
    environment = os.environ | {f"KERF_MONITOR_{name}": value for name, value in values.items()}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "kerf_monitor", env=environment)
    try:
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), SOON)
        yield f"{LOOPBACK}:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SOON) == 0


@pytest.fixture
async def caller(stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(stack.info.gateway_target, stack.info.api_key)
    yield caller
    await caller.channel.close()


async def sessions_of(
    monitor: MonitorServiceAsyncStub, job: str, metadata: tuple[tuple[str, str], ...]
) -> list[api.Session]:
    answer = await monitor.ListSessions(api.ListSessionsRequest(job=job), metadata=metadata)
    return list(answer.sessions)


async def test_attempts_on_this_node_become_sessions(stack: StackThread, caller: Caller) -> None:
    async with monitor_of(stack) as monitor:
        job = await caller.create(noop_job(2))
        await caller.watch(job.name)
        async with asyncio.timeout(SOON):
            while [each.outcome for each in await sessions_of(monitor, job.name, caller.metadata)] != ["completed"] * 2:
                await asyncio.sleep(POLL)
        second, first = await sessions_of(monitor, job.name, caller.metadata)
        assert (first.stage, second.stage) == ("s0", "s1")
        assert first.start_time.ToNanoseconds() <= first.end_time.ToNanoseconds() <= second.start_time.ToNanoseconds()
        assert first.device_seconds == api.Reading(availability=api.AVAILABILITY_MEASURED)  # it uses none, and says so
        assert await monitor.GetSession(api.GetSessionRequest(name=first.name), metadata=caller.metadata) == first


async def test_they_are_no_sessions_of_another_node(stack: StackThread, caller: Caller, monitor_elsewhere: str) -> None:
    job = await caller.create(noop_job())
    await caller.watch(job.name)
    async with monitor_of(stack) as monitor, asyncio.timeout(SOON):
        while not await sessions_of(monitor, job.name, caller.metadata):
            await asyncio.sleep(POLL)
    async with grpc.aio.insecure_channel(monitor_elsewhere) as channel:
        far = MonitorServiceStub(channel)
        assert (await far.GetNode(api.GetNodeRequest(), metadata=caller.metadata)).now.node == "far.example"
        assert await sessions_of(far, "", caller.metadata) == []


async def test_another_tenant_does_not_see_them(stack: StackThread, caller: Caller) -> None:
    client = await nats.connect(stack.info.nats_url, user=stack.info.nats_user, password=stack.info.nats_password)
    key = new_api_key()
    await store_api_key(client.jetstream(), key, "nosy")
    await client.close()
    nosy = (("authorization", f"Bearer {key}"),)
    async with monitor_of(stack) as monitor:
        job = await caller.create(noop_job())
        await caller.watch(job.name)
        async with asyncio.timeout(SOON):
            while not (own := await sessions_of(monitor, job.name, caller.metadata)):
                await asyncio.sleep(POLL)
        assert await sessions_of(monitor, "", nosy) == []
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await monitor.GetSession(api.GetSessionRequest(name=own[0].name), metadata=nosy)
        assert reason_of_call(refused.value) == "SESSION_NOT_FOUND"


async def test_every_reading_is_published_and_scraped(stack: StackThread) -> None:
    client = await nats.connect(stack.info.nats_url, user=stack.info.nats_user, password=stack.info.nats_password)
    try:
        subscription = await client.subscribe("kerf.v1.gpu.*")
        first = await subscription.next_msg(SOON)
        second = api.NodeSnapshot.FromString((await subscription.next_msg(SOON)).data)
    finally:
        await client.close()
    assert first.subject == "kerf.v1.gpu.box_example"
    assert second.node == "box.example"
    assert second.host.memory_total_bytes.value > 0
    assert second.gpu_support.state in (api.GPU_STATE_ABSENT, api.GPU_STATE_PRESENT)

    def scrape() -> str:
        with urllib.request.urlopen(stack.info.metrics["monitor"], timeout=SOON) as answer:
            return str(answer.read().decode())

    text = await asyncio.to_thread(scrape)
    assert "\nkerf_node_cpu_count " in text
    assert 'kerf_node_health{state="ok"}' in text


async def test_a_stream_gives_readings_and_ends_with_the_reason_when_the_monitor_stops(
    stack: StackThread, caller: Caller
) -> None:
    async with monitor_of(stack) as monitor:
        stream = monitor.WatchNode(api.WatchNodeRequest(), metadata=caller.metadata)
        times: list[int] = []

        async def follow() -> None:
            async for answer in stream:
                times.append(answer.snapshot.time.ToNanoseconds())
                if len(times) == 3:
                    await asyncio.to_thread(stack.kill, "monitor", signal.SIGTERM)

        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(follow(), SOON)
        assert times == sorted(set(times))
        assert reason_of_call(ended.value) == "DRAINING"
    await asyncio.to_thread(stack.wait_ready, "monitor")
