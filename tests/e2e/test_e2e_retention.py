"""Old logs go to the archive and stay readable; what nobody needs is removed; what runs is left alone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlparse

import grpc
import pytest
from minio import Minio

from e2e_calls import Caller, noop_job
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf.jobs.v1.job_service_pb2 import ListJobsRequest
from stack_thread import StackThread, running_stack, service


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    """A stack that archives after three seconds."""
    gateway = service(
        "gateway",
        JOB_RETENTION="3",
        REQUEST_TTL="2",
        CLIENT_RETRY_HORIZON="1",
        RETENTION_INTERVAL="0.5",
        UPLOAD_TTL="1",
        CHECKPOINT_TTL="1",
    )
    noop = service("noop", "kerf_core.noop", REQUEST_TTL="2", CLIENT_RETRY_HORIZON="1")
    with running_stack(tmp_path_factory.mktemp("stack"), gateway, noop) as stack:
        yield stack


@pytest.fixture
async def owner(forgetful: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(forgetful.info.gateway_target, forgetful.info.api_key)
    yield caller
    await caller.channel.close()


async def listed(caller: Caller) -> set[str]:
    return {job.name for job in (await caller.jobs.ListJobs(ListJobsRequest(), metadata=caller.metadata)).jobs}


async def test_many_old_logs_are_archived_together_and_none_is_missed(owner: Caller) -> None:
    ended = await asyncio.gather(*(owner.run(noop_job(1)) for _ in range(40)))
    old = [await owner.get(events[0].job) for events in ended]
    async with asyncio.timeout(40):
        while {job.name for job in old} & await listed(owner):
            await asyncio.sleep(0.2)
    assert [await owner.get(job.name) for job in old] == old


async def test_an_old_log_is_archived_and_can_still_be_read(owner: Caller) -> None:
    old = await owner.get((await owner.run(noop_job(2)))[0].job)
    waiting = Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish"))])  # nobody draws in this stack
    open_job = await owner.create(waiting)
    assert {old.name, open_job.name} <= await listed(owner)
    async with asyncio.timeout(30):
        while old.name in await listed(owner):
            await asyncio.sleep(0.2)
    assert await owner.get(old.name) == old
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await owner.watch(old.name)
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND
    assert open_job.name in await listed(owner)
    assert (await owner.get(open_job.name)).state == JobState.JOB_STATE_QUEUED


async def test_stale_uploads_and_checkpoints_are_removed(forgetful: StackThread, owner: Caller) -> None:
    info = forgetful.info
    host = urlparse(info.s3_endpoint).netloc
    store = Minio(host, access_key=info.s3_access_key, secret_key=info.s3_secret_key, secure=False)
    open_job = await owner.create(Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish"))]))
    job = open_job.name.removeprefix("jobs/")
    kept = f"checkpoints/local/{job}/draw/000000001.2"
    stale = ["uploads/local/forgotten", "checkpoints/local/nobody/train/000000001.2"]
    for key in [kept, *stale]:
        await asyncio.to_thread(store.put_object, info.s3_bucket, key, io.BytesIO(b"x"), 1)

    def present() -> set[str]:
        return {str(item.object_name) for item in store.list_objects(info.s3_bucket, recursive=True)}

    async with asyncio.timeout(30):
        while set(stale) & await asyncio.to_thread(present):
            await asyncio.sleep(0.2)
    assert kept in await asyncio.to_thread(present)
