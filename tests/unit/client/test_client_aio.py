"""The asynchronous client against a gateway that misbehaves."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

import kerf_client
from kerf.jobs.v1.job_pb2 import Job, JobState, NoopTask, Stage
from kerf_client import AsyncKerf, RetryPolicy
from unit.client.client_fake_gateway import API_KEY, FakeGateway

FAST = RetryPolicy(
    first_delay=timedelta(milliseconds=2),
    max_delay=timedelta(milliseconds=20),
    give_up_after=timedelta(seconds=3),
    call_timeout=timedelta(seconds=3),
)
NOOP = Job(stages=[Stage(id="one", noop=NoopTask()), Stage(id="two", noop=NoopTask())])
LAST_SEQUENCE = 9  # accepted, then twice started, two steps, completed


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


async def _sequences(client: AsyncKerf, name: str, **options: int) -> list[int]:
    async with aclosing(client.watch(name, **options)) as events:  # type: ignore[arg-type]  # one int option
        return [event.sequence async for event in events if event.sequence]


async def test_watch_gives_every_sequence_once(client: AsyncKerf) -> None:
    job = await client.create_job(NOOP)
    assert await _sequences(client, job.name) == list(range(1, LAST_SEQUENCE + 1))
    assert await _sequences(client, job.name, after_sequence=4) == list(range(5, LAST_SEQUENCE + 1))


async def test_watch_resumes_after_cuts_without_gap_or_duplicate(client: AsyncKerf, gateway: FakeGateway) -> None:
    job = await client.create_job(NOOP)
    gateway.faults.cut_watch_after = [0, 3, 0, 2, 1]
    gateway.faults.end_watch_after = [9, 9, 1]
    assert await _sequences(client, job.name) == list(range(1, LAST_SEQUENCE + 1))
    assert len(gateway.watch_requests) >= 6
    assert gateway.watch_requests == sorted(gateway.watch_requests)


async def test_watch_rides_out_a_restart_of_the_gateway(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.hang_stage = "two"
    job = await client.create_job(NOOP)
    seen: list[int] = []
    async with aclosing(client.watch(job.name)) as events:
        async for event in events:
            seen += [event.sequence] if event.sequence else []
            if event.sequence == LAST_SEQUENCE - 1:
                port = gateway.port
                await gateway.stop()
                await gateway.start(port)
                await client.cancel_job(job.name, "enough")
    assert seen == list(range(1, LAST_SEQUENCE + 1))


@pytest.mark.parametrize(
    "fault, text",
    [("skip_sequence", "gap"), ("repeat_sequence", "duplicate"), ("wrong_job_at", "jobs/another")],
)
async def test_a_broken_promise_is_raised(client: AsyncKerf, gateway: FakeGateway, fault: str, text: str) -> None:
    job = await client.create_job(NOOP)
    setattr(gateway.faults, fault, 4)
    with pytest.raises(kerf_client.ProtocolViolation, match=text):
        await _sequences(client, job.name)


async def test_a_gateway_that_falls_silent_and_away_is_given_up(gateway: FakeGateway) -> None:
    gateway.faults.hang_stage = "one"
    policy = RetryPolicy(
        first_delay=timedelta(milliseconds=1),
        give_up_after=timedelta(milliseconds=300),
        stall_after=timedelta(milliseconds=80),
        call_timeout=timedelta(milliseconds=200),
    )
    job = gateway.accept(NOOP)
    gateway.faults.mute = True
    async with AsyncKerf(gateway.target, API_KEY, policy=policy) as client:
        with pytest.raises(kerf_client.DeadlineExceeded):
            await _sequences(client, job.name, durable_only=True)
    assert {method for method, _ in gateway.calls} == {"WatchJob", "GetJob"}


async def test_leaving_a_stream_ends_it_at_the_server(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.hang_stage = "one"
    job = await client.create_job(NOOP)
    for _ in range(3):
        async with aclosing(client.watch(job.name)) as events:
            await anext(events)
    async with asyncio.timeout(5):
        while gateway.open_streams:
            await asyncio.sleep(0.01)


async def test_run_survives_a_lost_answer_with_one_job(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.lose_create_answers = 2
    async with aclosing(client.run(NOOP)) as events:
        bodies = [event.WhichOneof("body") async for event in events]
    assert bodies[0] == "accepted"
    assert bodies[-1] == "succeeded"
    assert len(gateway.jobs) == 1


async def test_calls_wait_for_a_draining_gateway(client: AsyncKerf, gateway: FakeGateway) -> None:
    gateway.faults.unavailable_calls = 3
    job = await client.create_job(NOOP)
    made = [sent for method, sent in gateway.calls if method == "CreateJob"]
    assert job.name == "jobs/j1"
    assert len(made) == 4
    assert len({sent["x-request-id"] for sent in made}) == 1
    traces = [sent["traceparent"].split("-") for sent in made]
    assert len({trace[1] for trace in traces}) == 1, "one trace"
    assert len({trace[2] for trace in traces}) == 4, "one span per attempt"


async def test_request_id_replays_or_refuses(client: AsyncKerf) -> None:
    first = await client.create_job(NOOP, request_id="r1")
    assert (await client.create_job(NOOP, request_id="r1")).name == first.name
    with pytest.raises(kerf_client.AlreadyExists) as caught:
        await client.create_job(Job(stages=[Stage(id="x", noop=NoopTask())]), request_id="r1")
    assert caught.value.reason == "REUSED"


async def test_violations_are_typed(client: AsyncKerf) -> None:
    with pytest.raises(kerf_client.InvalidRequest) as caught:
        await client.create_job(Job())
    assert caught.value.violations == (kerf_client.Violation("job.stages", "must have at least one stage"),)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.request_id


async def test_wrong_key_and_unknown_job(client: AsyncKerf, gateway: FakeGateway) -> None:
    with pytest.raises(kerf_client.NotFound):
        await _sequences(client, "jobs/none")
    async with AsyncKerf(gateway.target, "another-key", policy=FAST) as stranger:
        with pytest.raises(kerf_client.Unauthenticated):
            await stranger.get_job("jobs/j1")


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ümlaut", "x" * 513])
def test_a_key_that_cannot_travel_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        AsyncKerf("127.0.0.1:1", key)


async def test_nobody_there_is_said_plainly() -> None:
    policy = RetryPolicy(first_delay=timedelta(milliseconds=5), give_up_after=timedelta(milliseconds=50))
    async with AsyncKerf("127.0.0.1:1", API_KEY, policy=policy) as client:
        with pytest.raises(kerf_client.ServiceUnavailable, match=r"cannot be reached at 127\.0\.0\.1:1"):
            await client.get_job("jobs/j1")


async def test_wait_returns_or_raises_how_it_ended(client: AsyncKerf, gateway: FakeGateway) -> None:
    job = await client.create_job(NOOP)
    assert (await client.wait(job.name)).state == JobState.JOB_STATE_SUCCEEDED
    gateway.faults.fail_stage = "two"
    failing = await client.create_job(NOOP)
    with pytest.raises(kerf_client.JobFailed, match="not installed") as caught:
        await client.wait(failing.name)
    assert caught.value.reason == "NO_MODEL"
    gateway.faults = type(gateway.faults)(hang_stage="one")
    hanging = await client.create_job(NOOP)
    await client.cancel_job(hanging.name)
    with pytest.raises(kerf_client.JobCancelled):
        await client.wait(hanging.name)


async def test_lists_follow_their_pages(client: AsyncKerf, gateway: FakeGateway) -> None:
    names = [(await client.create_job(NOOP)).name for _ in range(5)]
    assert [job.name async for job in client.list_jobs(page_size=2)] == names[::-1]
    stored = sorted(gateway.put(bytes([number])).name for number in range(5))
    assert [artifact.name async for artifact in client.list_artifacts(page_size=2)] == stored


async def test_retry_names_the_old_job(client: AsyncKerf) -> None:
    job = await client.create_job(NOOP)
    await client.wait(job.name)
    assert (await client.retry_job(job.name)).retry_of == job.name


async def test_bytes_travel_both_ways_in_chunks(client: AsyncKerf, tmp_path: Path) -> None:
    data = bytes(range(256)) * 12_000  # 3 MB: more than two chunks up, twelve down
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    artifact = await client.upload(path)
    assert artifact.sha256 == hashlib.sha256(data).hexdigest()
    assert await client.download(artifact.name) == data
    assert (await client.get_artifact(artifact.name)).size_bytes == len(data)
    url = await client.create_download_url(artifact.name, expires_in=timedelta(minutes=2))
    assert url.url.endswith("for=120")
    await client.delete_artifact(artifact.name)
    with pytest.raises(kerf_client.NotFound):
        await client.get_artifact(artifact.name)


async def test_download_resumes_at_the_offset(client: AsyncKerf, gateway: FakeGateway) -> None:
    data = bytes(range(256)) * 8_000
    name = gateway.put(data).name
    gateway.faults.cut_download_after = [0, 2, 3]
    assert await client.download(name) == data
    assert gateway.download_offsets == [0, 0, 512 * 1024, 1280 * 1024]


async def test_download_refuses_other_bytes_and_too_many(client: AsyncKerf, gateway: FakeGateway) -> None:
    name = gateway.put(b"x" * 1000).name
    with pytest.raises(kerf_client.InvalidRequest, match="limit"):
        await client.download(name, max_bytes=999)
    gateway.faults.corrupt_download = True
    with pytest.raises(kerf_client.DataLoss):
        await client.download(name)


async def test_upload_refuses_what_cannot_be_read(client: AsyncKerf, tmp_path: Path) -> None:
    with pytest.raises(kerf_client.InvalidRequest, match="No such file"):
        await client.upload(tmp_path / "none.png")
    with pytest.raises(kerf_client.InvalidRequest, match="nothing in it"):
        await client.upload(b"")
    with pytest.raises(kerf_client.InvalidRequest, match="limit"):
        await client.upload(b"12345", max_bytes=4)


def test_delays_grow_with_jitter_to_a_bound() -> None:
    policy = RetryPolicy(first_delay=timedelta(seconds=1), max_delay=timedelta(seconds=4))
    delays = policy.delays_seconds()
    for bound in (1, 2, 4, 4, 4):
        assert bound * 0.1 <= next(delays) <= bound


@pytest.mark.parametrize(
    "of_async, of_sync", [(AsyncKerf, kerf_client.Kerf), (kerf_client.AsyncMonitor, kerf_client.Monitor)]
)
def test_both_kinds_of_client_offer_the_same(of_async: type, of_sync: type) -> None:
    def offered(kind: type) -> dict[str, list[str]]:
        methods = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(method).parameters) for name, method in methods.items()}

    assert offered(of_async) == offered(of_sync)
