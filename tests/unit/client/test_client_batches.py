"""Batches, estimates, the queue and dead letters through the SDK, against a gateway that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import pytest

import kerf_client
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.batch_pb2 import Batch
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf_client import AsyncKerf, RetryPolicy
from unit.client.client_fake_gateway import API_KEY, FakeGateway
from unit.client.client_fake_queue import TENANT

FAST = RetryPolicy(
    first_delay=timedelta(milliseconds=2),
    max_delay=timedelta(milliseconds=20),
    give_up_after=timedelta(seconds=3),
    call_timeout=timedelta(seconds=3),
)
NOOP = Job(stages=[Stage(id="one", noop=NoopTask())])


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[AsyncKerf]:
    async with AsyncKerf(gateway.target, API_KEY, policy=FAST) as connected:
        yield connected


async def _states(client: AsyncKerf, name: str) -> list[Batch]:
    async with aclosing(client.watch_batch(name)) as states:
        return [state async for state in states]


async def test_a_batch_is_followed_to_its_end_through_cuts(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.hang_stage = "slow"
    jobs = [*[NOOP] * 4, Job(stages=[Stage(id="slow", noop=NoopTask())])]
    batch = await client.create_batch(jobs, request_id="b")
    assert (batch.size, len(set(batch.jobs))) == (5, 5)
    assert (await client.create_batch(jobs, request_id="b")).name == batch.name
    async with asyncio.timeout(10):
        while (await client.get_batch(batch.name)).succeeded < 4:
            await asyncio.sleep(0.01)
    gateway.queue_faults.cut_batch_after = [1, 0, 1]
    gateway.queue_faults.lag_behind = True
    seen = []
    async with aclosing(client.watch_batch(batch.name)) as states:
        async for state in states:
            seen.append((state.succeeded, state.cancelled, state.HasField("end_time")))
            if len(seen) == 3:  # after the third stream was opened
                await client.cancel_batch(batch.name, "enough")
    assert seen[0] == (4, 0, False)
    assert seen[-1] == (4, 1, True)
    assert (0, 0, False) not in seen, "a gateway that lags behind is not believed"
    assert gateway.batch_watches == 4


async def test_a_lost_answer_does_not_make_a_second_batch(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.unavailable_calls = 2
    await client.create_batch([NOOP])
    assert len(gateway.batches) == 1


async def test_a_batch_that_is_not_known_everywhere_yet_is_followed(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.queue_faults.unheard_batches = 3
    batch = await client.create_batch([NOOP])
    assert (await _states(client, batch.name))[-1].succeeded == 1
    assert gateway.batch_watches == 4


async def test_another_batch_in_the_stream_breaks_the_promise(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.queue_faults.wrong_batch = True
    batch = await client.create_batch([NOOP])
    with pytest.raises(kerf_client.ProtocolViolation, match="batches/other"):
        await _states(client, batch.name)
    with pytest.raises(kerf_client.NotFound):
        await _states(client, "batches/none")


@pytest.mark.parametrize("watching", ["job", "batch"])
async def test_silence_of_a_job_that_waits_is_no_absence(gateway: FakeGateway, watching: str) -> None:
    gateway.faults.hang_stage = "one"
    policy = RetryPolicy(
        first_delay=timedelta(milliseconds=1),
        give_up_after=timedelta(milliseconds=100),
        stall_after=timedelta(milliseconds=80),
    )

    async def follow(by: AsyncKerf, name: str) -> None:
        stream = by.watch(name, durable_only=True) if watching == "job" else by.watch_batch(name)
        async with aclosing(stream) as states:
            async for _ in states:
                pass

    async with AsyncKerf(gateway.target, API_KEY, policy=policy) as client:
        batch = await client.create_batch([NOOP])
        following = asyncio.ensure_future(follow(client, batch.jobs[0] if watching == "job" else batch.name))
        try:
            async with asyncio.timeout(10):
                while len(gateway.watch_requests) + gateway.batch_watches < 4:
                    assert not following.done(), following
                    await asyncio.sleep(0.01)
            await client.cancel_batch(batch.name, "enough")
            async with asyncio.timeout(10):
                await following
        finally:
            following.cancel()
    assert gateway.logs[batch.jobs[0]][-1].cancelled.reason == "enough"


@pytest.mark.parametrize(
    "jobs, text",
    [
        ([], "0 jobs"),
        ([NOOP] * 1001, "1001 jobs"),
        ([Job(stages=[Stage(id="s", generate=GenerateRequest(prompt="x" * 200_000))])] * 21, "do not fit"),
    ],
)
async def test_a_batch_that_cannot_be_sent_is_not(
    client: AsyncKerf, gateway: FakeGateway, jobs: list[Job], text: str
) -> None:
    with pytest.raises(kerf_client.InvalidRequest, match=text):
        await client.create_batch(jobs)
    assert gateway.calls == []


async def test_what_was_never_measured_is_unset_in_an_estimate(client: AsyncKerf, gateway: FakeGateway) -> None:
    known = await client.estimate_job(NOOP)
    assert known.total_seconds.expected == 2
    gateway.queue_faults.never_measured = "noop"
    unknown = await client.estimate_job(NOOP)
    assert not unknown.HasField("total_seconds")
    assert unknown.stages[0].samples == 2
    assert gateway.jobs == {}
    with pytest.raises(kerf_client.InvalidRequest):
        await client.estimate_job(Job())


async def test_the_queue_is_watched_through_cuts(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.queue_faults.cut_batch_after = [1, 2]
    seen = []
    async with aclosing(client.watch_queue(interval=timedelta(milliseconds=10))) as states:
        async for stats in states:
            seen.append(stats.total.waiting)
            if len(seen) == 6:
                break
    assert seen == [3] * 6
    assert gateway.queue_intervals == [0.01] * 3
    assert (await client.get_queue_stats()).free_slots["optimizer"] == 2


async def test_dead_letters_are_listed_by_pages_and_tried_again(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.fail_stage = "one"
    batch = await client.create_batch([NOOP] * 5)
    await _states(client, batch.name)
    letters = [letter async for letter in client.list_dead_letters(page_size=2)]
    assert [letter.job.name for letter in letters] == list(batch.jobs)[::-1]
    gateway.faults.fail_stage = ""
    again = await client.retry_dead_letter(TENANT, batch.jobs[0])
    assert again.retry_of == batch.jobs[0]
    await client.wait(again.name)
    with pytest.raises(kerf_client.NotFound, match="no dead letter"):
        await client.retry_dead_letter(TENANT, again.name)
