"""Batches through a real gateway: all jobs are accepted or none, and they are followed together."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from e2e_calls import Caller, noop_job, reason_of_call, violated_fields
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1 import batch_pb2 as api
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf.jobs.v1.job_service_pb2 import JobFilter, ListJobsRequest


async def create(caller: Caller, jobs: list[Job], request_id: str = "") -> api.Batch:
    request = api.CreateBatchRequest(request_id=request_id, jobs=jobs)
    return await caller.jobs.CreateBatch(request, metadata=caller.metadata)


async def follow(caller: Caller, name: str) -> list[api.Batch]:
    async with asyncio.timeout(60):
        stream = caller.jobs.WatchBatch(api.WatchBatchRequest(name=name), metadata=caller.metadata)
        return [answer.batch async for answer in stream]


async def refusal(caller: Caller, jobs: list[Job], request_id: str = "") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(caller, jobs, request_id)
    return refused.value


async def count(caller: Caller, test: str) -> int:
    wanted = ListJobsRequest(page_size=1000, filter=JobFilter(labels={"test": test}))
    return len((await caller.jobs.ListJobs(wanted, metadata=caller.metadata)).jobs)


def labelled(job: Job, test: str) -> Job:
    job.labels["test"] = test
    return job


async def test_a_thousand_jobs_are_accepted_in_one_call_and_followed_in_one_stream(caller: Caller) -> None:
    batch = await create(caller, [noop_job() for _ in range(1000)])
    assert (batch.size, len(set(batch.jobs)), batch.queued) == (1000, 1000, 1000)
    seen = await follow(caller, batch.name)
    assert seen[-1].succeeded == 1000
    assert seen[-1].HasField("end_time")
    for state in seen:
        assert state.queued + state.running + state.succeeded == 1000
    assert [state.succeeded for state in seen] == sorted(state.succeeded for state in seen)
    assert list(seen[-1].jobs) == list(batch.jobs)
    wanted = ListJobsRequest(page_size=1000, filter=JobFilter(batch=batch.name))
    assert len((await caller.jobs.ListJobs(wanted, metadata=caller.metadata)).jobs) == 1000


async def test_one_wrong_job_refuses_the_whole_batch(caller: Caller) -> None:
    wrong = Job(stages=[Stage(id="a", noop={}), Stage(id="a", noop={})])  # type: ignore[arg-type]  # empty messages
    refused = await refusal(caller, [labelled(noop_job(), "wrong"), wrong, labelled(noop_job(), "wrong")])
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violated_fields(refused) == {"jobs[1].stages[1].id"}
    assert await count(caller, "wrong") == 0


async def test_the_same_request_at_once_at_two_gateways_is_one_batch(caller: Caller, second_gateway: Caller) -> None:
    jobs = [labelled(noop_job(2), "same") for _ in range(20)]
    made = await asyncio.gather(*(create(gateway, jobs, "one-batch") for gateway in [caller, second_gateway] * 6))
    assert len({batch.name for batch in made}) == 1
    assert len({tuple(batch.jobs) for batch in made}) == 1
    assert (await follow(second_gateway, made[0].name))[-1].succeeded == 20
    assert await count(caller, "same") == 20
    refused = await refusal(caller, jobs[1:], "one-batch")
    assert refused.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of_call(refused) == "REQUEST_ID_REUSED"


async def test_choices_are_made_once_for_all_tries(caller: Caller) -> None:
    jobs = [Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish"))]) for _ in range(3)]
    batch = await create(caller, jobs, "with-seeds")
    again = await create(caller, jobs, "with-seeds")
    assert again.jobs == batch.jobs
    seeds = [(await caller.get(name)).stages[0].generate.seed for name in batch.jobs]
    assert len(set(seeds)) == 3
    await caller.jobs.CancelBatch(api.CancelBatchRequest(name=batch.name), metadata=caller.metadata)


async def test_a_cancelled_batch_ends_every_job_that_has_not_ended(caller: Caller, stranger: Caller) -> None:
    waits = Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish"))])  # nobody draws in this stack
    batch = await create(caller, [noop_job(), waits, waits])
    async with asyncio.timeout(20):
        while (await caller.get(batch.jobs[0])).state != JobState.JOB_STATE_SUCCEEDED:
            await asyncio.sleep(0.05)
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await stranger.jobs.CancelBatch(api.CancelBatchRequest(name=batch.name), metadata=stranger.metadata)
    assert foreign.value.code() is grpc.StatusCode.NOT_FOUND
    request = api.CancelBatchRequest(name=batch.name, reason="enough")
    await caller.jobs.CancelBatch(request, metadata=caller.metadata)
    last = (await follow(caller, batch.name))[-1]
    assert (last.succeeded, last.cancelled) == (1, 2)
    assert (await caller.watch(batch.jobs[2]))[-1].cancelled.reason == "enough"
