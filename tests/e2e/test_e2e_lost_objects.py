"""S3 loses what a job or a caller needs: what can be made again comes again with the same bytes, the rest is told."""

from __future__ import annotations

import asyncio
import hashlib
import io
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from urllib.parse import urlparse

import grpc
import pytest
from minio import Minio
from PIL import Image
from pydantic import SecretStr

from e2e_calls import Caller, reason_of_call
from kerf.artifacts.v1.artifacts_pb2 import DownloadArtifactRequest
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize
from kerf_client.aio import AsyncKerf
from kerf_client.connection import RetryPolicy
from kerf_core.blobs import artifact_key
from kerf_core.bus import Bus
from kerf_core.jobs.acceptance import accepted_entry, fulfil, promise
from kerf_core.jobs.log import JobLog
from kerf_core.jobs.rebuild import REBUILD_LABEL
from kerf_core.rpc_status import reason_of
from kerf_core.settings import ServiceSettings
from kerf_core.stages import TenantId
from kerf_embedded.bootstrap import TENANT
from stack_thread import StackThread

Lose = Callable[[Minio, str, str], None]


@pytest.fixture
async def owner(full_stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(full_stack.info.gateway_target, full_stack.info.api_key)
    yield caller
    await caller.channel.close()


@pytest.fixture
def store(full_stack: StackThread) -> Minio:
    info = full_stack.info
    host = urlparse(info.s3_endpoint).netloc
    return Minio(host, access_key=info.s3_access_key, secret_key=info.s3_secret_key, secure=False)


def remove(store: Minio, bucket: str, key: str) -> None:
    store.remove_object(bucket, key)


def damage(store: Minio, bucket: str, key: str) -> None:
    store.put_object(bucket, key, io.BytesIO(b"other bytes"), 11, content_type="image/png")


def optimize(stage: str) -> Stage:
    source = StageInput(from_stage=StageOutputs(stage=stage))
    return Stage(id="burn", inputs=[source], optimize=OptimizeRequest(size=PhysicalSize(width_mm=20)))


def drawn_and_burnt(seed: int) -> Job:
    draw = GenerateRequest(prompt="a silhouette of a heart", seed=seed, steps=4)
    return Job(stages=[Stage(id="draw", generate=draw), optimize("draw")])


async def run_while(stack: StackThread, owner: Caller, job: Job, after_draw: Callable[[str], None]) -> list[JobEvent]:
    """Run the job; the optimizer stands still from the start until `after_draw(sha256)` has done its harm."""
    await asyncio.to_thread(stack.kill, "optimizer", signal.SIGSTOP)
    try:
        created = await owner.create(job)
        async with asyncio.timeout(60):
            while not (now := await owner.get(created.name)).stages[0].outputs:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(after_draw, now.stages[0].outputs[0].sha256)
    finally:
        await asyncio.to_thread(stack.kill, "optimizer", signal.SIGCONT)
    async with asyncio.timeout(90):
        return await owner.watch(created.name)


def key_of(sha256: str) -> str:
    return artifact_key(TenantId(TENANT), sha256)


@pytest.mark.parametrize("lose, seed", [(remove, 101), (damage, 102)], ids=["gone", "damaged"])
async def test_a_lost_output_is_made_again_with_the_same_bytes(
    lose: Lose, seed: int, full_stack: StackThread, owner: Caller, store: Minio
) -> None:
    expected = (await owner.run(drawn_and_burnt(seed)))[-1].succeeded.last_stage.outputs[0].sha256
    lost: list[str] = []

    def after_draw(sha256: str) -> None:
        lost.append(sha256)
        lose(store, full_stack.info.s3_bucket, key_of(sha256))

    for times in (1, 2):  # the second loss comes while the first rebuild is remembered
        events = await run_while(full_stack, owner, drawn_and_burnt(seed), after_draw)
        assert events[-1].succeeded.last_stage.outputs[0].sha256 == expected
        waits = [event.attempt_lost for event in events if event.HasField("attempt_lost")]
        assert {wait.reason for wait in waits} == {"INPUT_LOST"}
        assert events[-1].attempt == 1, "waiting for a rebuild costs no attempt"
        rebuilds = await rebuilds_of(owner, lost[-1])
        assert len(rebuilds) == times
        assert rebuilds[0].retry_of == events[0].job
        assert [stage.id for stage in rebuilds[0].stages] == ["draw"]
        data = await asyncio.to_thread(store.get_object, full_stack.info.s3_bucket, key_of(lost[-1]))
        assert hashlib.sha256(data.read()).hexdigest() == lost[-1]
        data.close()
        data.release_conn()


async def rebuilds_of(owner: Caller, sha256: str) -> list[Job]:
    """Newest first."""
    wanted = api.JobFilter(labels={REBUILD_LABEL: sha256})
    listed = await owner.jobs.ListJobs(api.ListJobsRequest(filter=wanted), metadata=owner.metadata)
    return [await owner.get(job.name) for job in listed.jobs]


async def test_a_rebuild_with_other_bytes_is_a_loss_and_never_taken(
    full_stack: StackThread, owner: Caller, store: Minio
) -> None:
    def after_draw(sha256: str) -> None:
        asyncio.run(claim(full_stack, f"rebuild/{sha256}"))
        remove(store, full_stack.info.s3_bucket, key_of(sha256))

    events = await run_while(full_stack, owner, drawn_and_burnt(103), after_draw)
    assert reason_of(events[-1].failed.error) == "ARTIFACT_LOST"
    assert "bytes were others" in events[-1].failed.error.message


async def claim(stack: StackThread, request_id: str) -> None:
    """Let the request id of the rebuild, which no caller can use, stand for a job that drew something else."""
    other = drawn_and_burnt(104)
    del other.stages[1:]
    info = stack.info
    settings = ServiceSettings(
        nats_url=info.nats_url, nats_user=info.nats_user, nats_password=SecretStr(info.nats_password)
    )
    bus = await Bus.connect(settings, "test")
    promised = await promise(bus, TenantId(TENANT), request_id, other, accepted_entry(other, ["diffusion"]))
    log = JobLog(bus, promised.ref, append_timeout=timedelta(seconds=2), retry_for=timedelta(seconds=10))
    await fulfil(log, promised.accepted)
    await bus.close()
    caller = Caller(info.gateway_target, info.api_key)
    assert (await caller.watch(promised.ref.name))[-1].HasField("succeeded")
    await caller.channel.close()


async def test_a_lost_upload_is_told_as_a_loss(full_stack: StackThread, owner: Caller, store: Minio) -> None:
    picture = io.BytesIO()
    Image.linear_gradient("L").rotate(7).save(picture, "PNG")
    upload = await owner.upload(picture.getvalue())
    job = drawn_and_burnt(105)
    job.stages[1].inputs[0].CopyFrom(StageInput(artifact=upload.name))
    events = await run_while(
        full_stack,
        owner,
        job,
        lambda _: remove(store, full_stack.info.s3_bucket, key_of(upload.sha256)),
    )
    assert reason_of(events[-1].failed.error) == "ARTIFACT_LOST"
    assert "upload it again" in events[-1].failed.error.message


@pytest.mark.parametrize("lose, seed", [(remove, 106), (damage, 107)], ids=["gone", "damaged"])
async def test_a_download_of_a_lost_output_brings_it_back(
    lose: Lose, seed: int, full_stack: StackThread, owner: Caller, store: Minio
) -> None:
    ended = (await owner.run(drawn_and_burnt(seed)))[-1]
    output = ended.succeeded.last_stage.outputs[0]
    lose(store, full_stack.info.s3_bucket, key_of(output.sha256))
    request = DownloadArtifactRequest(name=output.name)
    assert await reason_of_download(owner, request) in ("ARTIFACT_NOT_FOUND", "ARTIFACT_CORRUPT"), "nobody said whose"
    request.job = ended.job
    assert await reason_of_download(owner, request) == "ARTIFACT_BEING_REBUILT"
    info = full_stack.info
    async with AsyncKerf(
        info.gateway_target, info.api_key, policy=RetryPolicy(give_up_after=timedelta(seconds=90))
    ) as kerf:
        data = await kerf.download(output.name, job=ended.job)
    assert hashlib.sha256(data).hexdigest() == output.sha256
    assert len(await rebuilds_of(owner, output.sha256)) == 1


async def test_no_download_brings_back_what_was_never_there_or_is_another_tenants(owner: Caller) -> None:
    ended = (await owner.run(drawn_and_burnt(106)))[-1]
    nothing = DownloadArtifactRequest(name="artifacts/" + "0" * 64, job=ended.job)
    assert await reason_of_download(owner, nothing) == "ARTIFACT_NOT_FOUND"
    nothing.job = "jobs/no-such-job"
    assert await reason_of_download(owner, nothing) == "ARTIFACT_NOT_FOUND"


async def reason_of_download(owner: Caller, request: DownloadArtifactRequest) -> str:
    """Why there are no bytes; empty if they came, and are those that were asked for."""
    stream = owner.artifacts.DownloadArtifact(request, metadata=owner.metadata)
    try:
        data = b"".join([part.chunk async for part in stream])
    except grpc.aio.AioRpcError as error:
        return reason_of_call(error)
    assert f"artifacts/{hashlib.sha256(data).hexdigest()}" == request.name
    return ""
