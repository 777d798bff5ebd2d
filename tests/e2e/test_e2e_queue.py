"""The queue's statistics through a real gateway."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from e2e_calls import Caller, noop_job
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Priority, Stage
from kerf.jobs.v1.job_service_pb2 import CancelJobRequest, CreateJobRequest, WatchJobRequest
from kerf.jobs.v1.queue_pb2 import GetQueueStatsRequest, QueueGroup, QueueStats, WatchQueueRequest


async def stats_of(caller: Caller) -> QueueStats:
    return await caller.jobs.GetQueueStats(GetQueueStatsRequest(), metadata=caller.metadata)


def group(groups: list[QueueGroup], key: str) -> QueueGroup:
    return next((group for group in groups if group.key == key), QueueGroup())


async def test_what_waits_and_what_ran_is_counted_for_whom_it_belongs_to(caller: Caller, stranger: Caller) -> None:
    waiting = Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish"))], priority=Priority.PRIORITY_HIGH)
    created = await stranger.create(waiting)  # nobody draws in this stack
    await stranger.run(noop_job(2))
    try:
        async with asyncio.timeout(10):
            while True:  # the gateway hears of it on its feed
                own = await stats_of(stranger)
                if group(list(own.kinds), "noop").completed_last_minute >= 2 and own.total.oldest_wait_seconds > 0.05:
                    break
                await asyncio.sleep(0.05)
        drawing = group(list(own.kinds), "diffusion")
        assert (drawing.waiting, drawing.running, drawing.mean_wait_seconds) == (1, 0, -1)
        assert group(list(own.priorities), "high").waiting == 1
        assert [one.key for one in own.tenants] == ["stranger"]
        ran = group(list(own.kinds), "noop")
        assert ran.started_last_minute >= 2
        assert ran.mean_wait_seconds >= 0
        assert own.free_slots["noop"] > 0
        assert "diffusion" not in own.free_slots
        everything = await stats_of(caller)  # an operator
        assert "stranger" in [one.key for one in everything.tenants]
        assert everything.total.waiting >= own.total.waiting
    finally:
        await stranger.jobs.CancelJob(CancelJobRequest(name=created.name), metadata=stranger.metadata)


async def test_the_queue_can_be_watched(caller: Caller) -> None:
    stream = caller.jobs.WatchQueue(WatchQueueRequest(interval_seconds=0.2), metadata=caller.metadata)
    times = []
    async with asyncio.timeout(10):
        async for answer in stream:
            times.append(answer.stats.time.ToNanoseconds())
            if len(times) == 3:
                break
    stream.cancel()
    assert times == sorted(set(times))


async def test_an_estimate_is_what_was_measured_or_not_known(caller: Caller) -> None:
    job = noop_job(2)
    names = [(await caller.run(job))[0].job for _ in range(3)]
    request = CreateJobRequest(job=job)
    async with asyncio.timeout(10):
        while True:  # the gateway hears of them on its feed
            known = await caller.jobs.EstimateJob(request, metadata=caller.metadata)
            if known.HasField("total_seconds"):
                break
            await asyncio.sleep(0.05)
    assert known.stages[0].samples >= 3
    total = known.total_seconds
    assert 0 <= total.low <= total.expected <= total.high < 5
    took = [
        (job.end_time.ToNanoseconds() - job.create_time.ToNanoseconds()) / 1e9
        for job in [await caller.get(name) for name in names]
    ]
    assert total.low <= max(took)
    assert not known.HasField("cost")
    assert not known.HasField("peak_memory_bytes")
    unknown = Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish", model="never-asked-before"))])
    answer = await caller.jobs.EstimateJob(CreateJobRequest(job=unknown), metadata=caller.metadata)
    assert not answer.stages[0].HasField("computed_seconds")
    assert not answer.HasField("total_seconds")
    wrong = Job(stages=[Stage(id="a", noop={}), Stage(id="a", noop={})])  # type: ignore[arg-type]  # empty messages
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.jobs.EstimateJob(CreateJobRequest(job=wrong), metadata=caller.metadata)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_job_that_waits_hears_how_many_go_before_it_and_how_long_that_takes(caller: Caller) -> None:
    await caller.run(noop_job())  # so that the time of such a stage is known
    slow = Job(stages=[Stage(id="hold", noop=NoopTask(seconds=60))])
    created = [await caller.create(slow) for _ in range(24)]  # more than there are slots
    try:
        watched = caller.jobs.WatchJob(WatchJobRequest(name=created[-1].name), metadata=caller.metadata)
        async with asyncio.timeout(20):
            async for event in watched:
                if event.HasField("queued"):
                    break
        watched.cancel()
        assert 0 < event.queued.position < 24
        assert event.queued.HasField("eta_seconds")
        assert 0 < event.queued.eta_seconds < 60
        last = created.pop()
        await caller.jobs.CancelJob(CancelJobRequest(name=last.name), metadata=caller.metadata)
        async with asyncio.timeout(10):
            while True:  # the gateway hears on its feed that it waits no longer
                again = await caller.watch(last.name, durable_only=False)
                if [event.WhichOneof("body") for event in again] == ["accepted", "cancelled"]:
                    break
    finally:
        for job in created:
            await caller.jobs.CancelJob(CancelJobRequest(name=job.name), metadata=caller.metadata)
