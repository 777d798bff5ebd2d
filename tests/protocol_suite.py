"""The job protocol through a real gateway, a real NATS and a worker that does nothing.

Tests to be imported by a module that is collected; its folder says what `caller`, `stranger` and `second_gateway` are:
one server (`tests/e2e`) or a cluster of three with three copies of every stream (`tests/chaos/cluster`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
import pytest

from e2e_calls import Caller, noop_job, reason_of_call
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage


def bodies(events: list[JobEvent]) -> list[str]:
    return [str(event.WhichOneof("body")) for event in events]


async def test_a_job_runs_its_stages_in_order_and_every_event_comes_once(caller: Caller) -> None:
    events = await caller.run(noop_job(3))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert bodies(events) == [
        "accepted",
        *["stage_started", "stage_completed"] * 2,
        "stage_started",
        "succeeded",
    ]
    job = await caller.get(events[0].job)
    assert job.state == JobState.JOB_STATE_SUCCEEDED
    assert [stage.state for stage in job.stages] == [JobState.JOB_STATE_SUCCEEDED] * 3
    assert all(stage.timing.queued_seconds >= 0 and stage.attempts == 1 for stage in job.stages)


async def test_a_stream_resumes_from_any_sequence_without_gap_or_duplicate(caller: Caller) -> None:
    events = await caller.run(noop_job(4))
    for after in range(len(events) + 2):
        assert await caller.watch(events[0].job, after) == events[after:]


async def test_two_watchers_of_a_running_job_see_the_same(caller: Caller, second_gateway: Caller) -> None:
    job = await caller.create(noop_job(8))
    one, two = await asyncio.gather(caller.watch(job.name), second_gateway.watch(job.name))
    assert one == two
    assert one[-1].HasField("succeeded")


async def test_one_request_id_is_one_job_at_two_gateways_at_once(caller: Caller, second_gateway: Caller) -> None:
    job = noop_job(2)
    created = await asyncio.gather(*(gateway.create(job, "same-id") for gateway in [caller, second_gateway] * 10))
    assert len({answer.name for answer in created}) == 1
    listed = await caller.jobs.ListJobs(api.ListJobsRequest(page_size=1000), metadata=caller.metadata)
    assert sum(found.name == created[0].name for found in listed.jobs) == 1
    assert bodies(await caller.watch(created[0].name)).count("accepted") == 1
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await second_gateway.create(noop_job(1), "same-id")
    assert refusal.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of_call(refusal.value) == "REQUEST_ID_REUSED"


async def test_what_was_accepted_stays_so_when_its_request_comes_again_after_its_deadline(
    caller: Caller, second_gateway: Caller
) -> None:
    job = noop_job(1)
    job.deadline.FromNanoseconds(time.time_ns() + 1_500_000_000)
    created = await caller.create(job, "late-again")
    events = await caller.watch(created.name)
    await asyncio.sleep(max(0.0, job.deadline.ToNanoseconds() / 1e9 - time.time()))
    again = await second_gateway.create(job, "late-again")
    assert again.name == created.name
    assert bodies(await caller.watch(created.name)) == bodies(events)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.create(job, "late-anew")
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_task_that_always_fails_ends_as_a_dead_letter_and_disturbs_nobody(
    caller: Caller, stranger: Caller
) -> None:
    bad = await caller.create(noop_job(1, fail_with="the mirror is dirty"))
    good = await asyncio.gather(*(caller.run(noop_job(2)) for _ in range(5)))
    assert all(events[-1].HasField("succeeded") for events in good)
    events = await caller.watch(bad.name)
    assert bodies(events) == ["accepted", *["stage_started", "attempt_lost"] * 2, "stage_started", "failed"]
    job = await caller.get(bad.name)
    assert job.state == JobState.JOB_STATE_FAILED
    assert "the mirror is dirty" in job.error.message
    assert job.stages[0].attempts == 3
    letters = await caller.jobs.ListDeadLetters(api.ListDeadLettersRequest(), metadata=caller.metadata)
    assert bad.name in {letter.job.name for letter in letters.dead_letters}
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stranger.jobs.ListDeadLetters(api.ListDeadLettersRequest(), metadata=stranger.metadata)
    assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_operator_tries_a_dead_letter_again_for_its_tenant(caller: Caller, stranger: Caller) -> None:
    dead = (await stranger.run(noop_job(1, fail_with="the mirror is dirty")))[0].job
    request = api.RetryDeadLetterRequest(tenant="stranger", name=dead, request_id="again")
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stranger.jobs.RetryDeadLetter(request, metadata=stranger.metadata)
    assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED
    again = await caller.jobs.RetryDeadLetter(request, metadata=caller.metadata)
    assert (await caller.jobs.RetryDeadLetter(request, metadata=caller.metadata)).name == again.name
    assert (await stranger.get(again.name)).retry_of == dead
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.get(again.name)
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    well = (await stranger.run(noop_job()))[0].job
    request = api.RetryDeadLetterRequest(tenant="stranger", name=well)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.jobs.RetryDeadLetter(request, metadata=caller.metadata)
    assert reason_of_call(refusal.value) == "DEAD_LETTER_NOT_FOUND"


async def test_the_first_terminal_entry_stands(caller: Caller) -> None:
    ended = (await caller.run(noop_job()))[0].job
    cancelled = await caller.jobs.CancelJob(api.CancelJobRequest(name=ended), metadata=caller.metadata)
    assert cancelled.state == JobState.JOB_STATE_SUCCEEDED
    failing = await caller.create(noop_job(1, fail_with="x"))
    answer = await caller.jobs.CancelJob(
        api.CancelJobRequest(name=failing.name, reason="changed my mind"), metadata=caller.metadata
    )
    assert answer.state == JobState.JOB_STATE_CANCELLED
    events = await caller.watch(failing.name)
    assert events[-1].cancelled.reason == "changed my mind"
    await asyncio.sleep(1)  # long enough for another attempt, had the cancellation not ended it
    assert await caller.watch(failing.name) == events


async def test_a_retry_is_a_new_job_that_names_the_old_one(caller: Caller) -> None:
    ended = (await caller.run(noop_job(2)))[0].job
    again = await caller.jobs.RetryJob(api.RetryJobRequest(name=ended), metadata=caller.metadata)
    assert again.retry_of == ended != again.name
    assert (await caller.watch(again.name))[-1].HasField("succeeded")
    waiting = await caller.create(
        Job(stages=[Stage(id="a", generate=GenerateRequest(prompt="a fish"))])
    )  # nobody draws here
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.jobs.RetryJob(api.RetryJobRequest(name=waiting.name), metadata=caller.metadata)
    assert reason_of_call(refusal.value) == "JOB_NOT_ENDED"
    await caller.jobs.CancelJob(api.CancelJobRequest(name=waiting.name), metadata=caller.metadata)


async def test_another_tenants_job_is_not_found(caller: Caller, stranger: Caller) -> None:
    job = await caller.create(noop_job())
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: stranger.get(job.name),
        lambda: stranger.watch(job.name),
        lambda: stranger.jobs.CancelJob(api.CancelJobRequest(name=job.name), metadata=stranger.metadata),
        lambda: stranger.jobs.RetryJob(api.RetryJobRequest(name=job.name), metadata=stranger.metadata),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call()
        assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    listed = await stranger.jobs.ListJobs(api.ListJobsRequest(), metadata=stranger.metadata)
    assert job.name not in {found.name for found in listed.jobs}
    assert (await caller.watch(job.name))[-1].HasField("succeeded")


async def test_deadlines_end_jobs_that_nobody_takes_when_they_come(caller: Caller) -> None:
    late_seconds = []
    for number in range(3):  # at any distance from the sweep, which comes every 1.5 s here
        job = Job(stages=[Stage(id="a", generate=GenerateRequest(prompt="a fish"))])
        job.deadline.FromNanoseconds(time.time_ns() + 1_000_000_000 + number * 350_000_000)
        created = await caller.create(job)
        events = await asyncio.wait_for(caller.watch(created.name), 15)
        assert events[-1].head.reason == "JOB_DEADLINE_EXCEEDED"
        late_seconds.append((events[-1].time.ToNanoseconds() - job.deadline.ToNanoseconds()) / 1e9)
    assert all(late >= 0 for late in late_seconds)
    assert max(late_seconds) < 0.75, "it is a timer, not the sweep"


async def test_lists_are_paged_newest_first_and_filtered(caller: Caller) -> None:
    made = []
    for number in range(5):
        job = noop_job()
        job.labels["batch"] = "paged"
        job.labels["number"] = str(number)
        made.append((await caller.run(job))[0].job)
    found: list[str] = []
    token = ""
    while True:
        request = api.ListJobsRequest(
            page_size=2, page_token=token, filter=api.JobFilter(labels={"batch": "paged"}, kind="noop")
        )
        page = await caller.jobs.ListJobs(request, metadata=caller.metadata)
        found += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
        assert len(page.jobs) == 2
    assert found == list(reversed(made))
    failed = api.JobFilter(labels={"batch": "paged"}, states=[JobState.JOB_STATE_FAILED])
    page = await caller.jobs.ListJobs(api.ListJobsRequest(filter=failed), metadata=caller.metadata)
    assert not page.jobs


async def test_leaving_run_job_cancels_only_if_asked_to(caller: Caller) -> None:
    for cancel, expected in ((True, JobState.JOB_STATE_CANCELLED), (False, JobState.JOB_STATE_QUEUED)):
        job = Job(stages=[Stage(id="a", generate=GenerateRequest(prompt="a fish"))])
        stream = caller.jobs.RunJob(
            api.CreateJobRequest(job=job, cancel_on_disconnect=cancel), metadata=caller.metadata
        )
        first = await anext(aiter(stream))
        stream.cancel()
        async with asyncio.timeout(5):
            while (state := (await caller.get(first.job)).state) != expected:
                await asyncio.sleep(0.05)
        assert state == expected
        await caller.jobs.CancelJob(api.CancelJobRequest(name=first.job), metadata=caller.metadata)
