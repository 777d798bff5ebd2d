"""Bad input gets a clear typed error, and nothing is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import struct
import urllib.request
import zlib
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from google.protobuf.message import Message
from minio import Minio

from e2e_calls import Caller, noop_job, reason_of_call, violated_fields
from kerf.artifacts.v1 import artifacts_pb2 as artifacts
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest
from stack_thread import StackThread

NOWHERE = "artifacts/" + "0" * 64


def generate(**fields: object) -> Job:
    request = GenerateRequest(prompt="a fish")
    for name, value in fields.items():
        setattr(request, name, value)
    return Job(stages=[Stage(id="a", generate=request)])


def after(stage: str, **task: object) -> Job:
    source = StageInput(from_stage=StageOutputs(stage=stage))
    second = Stage(id="b", inputs=[source], **task)  # type: ignore[arg-type]  # as given
    return Job(stages=[*generate().stages, second])


def plan(**fields: object) -> Job:
    operation = {"input": 0, "kind": "OPERATION_KIND_CUT"}
    return after("a", plan={"material": "birch-3mm", "operations": [operation], **fields})


WRONG: list[tuple[str, Callable[[], Job], str]] = [
    ("no stages", Job, "job.stages"),
    ("no task", lambda: Job(stages=[Stage(id="a")]), "job.stages[0].task"),
    ("bad id", lambda: Job(stages=[Stage(id="A!", noop=NoopTask())]), "job.stages[0].id"),
    (
        "same id twice",
        lambda: Job(stages=[Stage(id="a", noop=NoopTask()), Stage(id="a", noop=NoopTask())]),
        "job.stages[1].id",
    ),
    ("unknown stage", lambda: after("zebra", optimize=OptimizeRequest()), "job.stages[1].inputs[0].from_stage.stage"),
    ("itself", lambda: after("b", optimize=OptimizeRequest()), "job.stages[1].inputs[0].from_stage.stage"),
    ("no inputs", lambda: Job(stages=[Stage(id="a", optimize=OptimizeRequest())]), "job.stages[0].inputs"),
    ("17 stages", lambda: noop_job(17), "job.stages"),
    ("long prompt", lambda: generate(prompt="x" * 5000), "job.stages[0].generate.prompt"),
    ("empty prompt", lambda: generate(prompt=""), "job.stages[0].generate.prompt"),
    ("odd width", lambda: generate(width_px=130), "job.stages[0].generate.width_px"),
    ("huge width", lambda: generate(width_px=8192), "job.stages[0].generate.width_px"),
    ("guidance", lambda: generate(guidance=float("nan")), "job.stages[0].generate.guidance"),
    ("negative seed", lambda: generate(seed=-1), "job.stages[0].generate.seed"),
    ("negative size", lambda: after("a", optimize={"size": {"width_mm": -5}}), "job.stages[1].optimize.size.width_mm"),
    (
        "nan size",
        lambda: after("a", optimize={"size": {"width_mm": float("nan")}}),
        "job.stages[1].optimize.size.width_mm",
    ),
    ("no operations", lambda: plan(operations=[]), "job.stages[1].plan.operations"),
    (
        "no such input",
        lambda: plan(operations=[{"input": 3, "kind": "OPERATION_KIND_CUT"}]),
        "job.stages[1].plan.operations[0].input",
    ),
    ("no kind", lambda: plan(operations=[{"input": 0}]), "job.stages[1].plan.operations[0].kind"),
    ("label", lambda: Job(stages=noop_job().stages, labels={"UPPER": "x"}), 'job.labels["UPPER"]'),
    ("labels", lambda: Job(stages=noop_job().stages, labels={f"k{n}": "v" * 100 for n in range(6)}), "job.labels"),
]


@pytest.mark.parametrize("make, field", [pytest.param(make, field, id=name) for name, make, field in WRONG])
async def test_every_wrong_field_is_named_and_no_job_is_made(
    make: Callable[[], Job], field: str, caller: Caller
) -> None:
    before = await names(caller)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.create(make(), "bad-input")
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of_call(refusal.value) == "INVALID_FIELD"
    assert field in {name.replace("[UPPER]", '["UPPER"]') for name in violated_fields(refusal.value)}
    assert await names(caller) == before
    assert (
        await caller.watch(
            (
                await caller.create(noop_job(), f"ok-{field}"[:40].replace("[", ".").replace("]", ".").replace('"', ""))
            ).name
        )
    )[-1].HasField("succeeded")


async def test_all_wrong_fields_are_named_at_once(caller: Caller) -> None:
    job = Job(stages=[Stage(id="A!", generate=GenerateRequest(prompt="", width_px=9000, steps=1000))])
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.create(job)
    assert len(violated_fields(refusal.value)) == 4


async def names(caller: Caller) -> set[str]:
    listed = await caller.jobs.ListJobs(api.ListJobsRequest(page_size=1000), metadata=caller.metadata)
    return {job.name for job in listed.jobs}


@pytest.mark.parametrize("key", ["", "kerf_wrong", "Basic abc"])
async def test_without_a_good_key_nothing_is_said(key: str, caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.jobs.GetJob(api.GetJobRequest(name="jobs/x"), metadata=(("authorization", f"Bearer {key}"),))
    assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_message_over_4_mib_is_refused(caller: Caller) -> None:
    async def parts() -> AsyncIterator[artifacts.UploadArtifactRequest]:
        yield artifacts.UploadArtifactRequest(header=artifacts.UploadHeader())
        yield artifacts.UploadArtifactRequest(chunk=bytes(5 << 20))

    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.artifacts.UploadArtifact(parts(), metadata=caller.metadata)
    assert refusal.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT)


def png(width: int, height: int) -> bytes:
    """A PNG whose header says width × height; its pixels are one line only."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress(b"\0" + bytes(min(width, 64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "INVALID_FIELD"),
        (png(30_000, 30_000), "PICTURE_TOO_LARGE"),
        (png(64, 1)[:-20], "PICTURE_DAMAGED"),
        (png(0, 1), "PICTURE_DAMAGED"),
    ],
)
async def test_a_picture_that_nobody_could_decode_is_not_stored(data: bytes, reason: str, caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.upload(data)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of_call(refusal.value) == reason
    name = "artifacts/" + hashlib.sha256(data).hexdigest()
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await caller.artifacts.GetArtifact(artifacts.GetArtifactRequest(name=name), metadata=caller.metadata)
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


async def test_text_is_no_picture_and_a_missing_artifact_is_named(caller: Caller) -> None:
    text = await caller.upload(b"hello, this is no picture\n")
    for name, reason in ((text.name, "NOT_A_PICTURE"), (NOWHERE, "ARTIFACT_NOT_FOUND")):
        job = Job(stages=[Stage(id="a", inputs=[StageInput(artifact=name)], optimize=OptimizeRequest())])
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await caller.create(job)
        assert reason_of_call(refusal.value) == reason
        assert violated_fields(refusal.value) == {"job.stages[0].inputs[0].artifact"}


@pytest.mark.parametrize("header", [artifacts.UploadHeader(size_bytes=7), artifacts.UploadHeader(sha256="0" * 64)])
async def test_an_upload_that_is_not_what_its_header_says_is_refused(header: Message, caller: Caller) -> None:
    assert isinstance(header, artifacts.UploadHeader)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.upload(b"nine bytes", header)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_artifacts_come_back_whole_from_any_offset_and_only_to_their_tenant(
    caller: Caller, stranger: Caller
) -> None:
    data = bytes(range(256)) * 10_000
    artifact = await caller.upload(data)
    assert artifact.sha256 == hashlib.sha256(data).hexdigest()
    assert await caller.upload(data) == artifact
    for offset in (0, 1, 1 << 20, len(data) - 1, len(data)):
        request = artifacts.DownloadArtifactRequest(name=artifact.name, offset=offset)
        parts = [part.chunk async for part in caller.artifacts.DownloadArtifact(request, metadata=caller.metadata)]
        assert b"".join(parts) == data[offset:]
    listed = await caller.artifacts.ListArtifacts(artifacts.ListArtifactsRequest(), metadata=caller.metadata)
    assert artifact.name in {found.name for found in listed.artifacts}
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stranger.artifacts.GetArtifact(
            artifacts.GetArtifactRequest(name=artifact.name), metadata=stranger.metadata
        )
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    await caller.artifacts.DeleteArtifact(artifacts.DeleteArtifactRequest(name=artifact.name), metadata=caller.metadata)
    with pytest.raises(grpc.aio.AioRpcError):
        await caller.artifacts.GetArtifact(artifacts.GetArtifactRequest(name=artifact.name), metadata=caller.metadata)


async def test_presigned_urls_carry_bytes_without_kerf(caller: Caller) -> None:
    data = b"carried by HTTP alone" * 1000
    url = await caller.artifacts.CreateUploadUrl(artifacts.CreateUploadUrlRequest(), metadata=caller.metadata)
    put = urllib.request.Request(url.url, data=data, method="PUT")
    await asyncio.to_thread(lambda: urllib.request.urlopen(put, timeout=10).read())

    async def adopt() -> AsyncIterator[artifacts.UploadArtifactRequest]:
        yield artifacts.UploadArtifactRequest(upload=url.upload)

    artifact = await caller.artifacts.UploadArtifact(adopt(), metadata=caller.metadata)
    got = await caller.artifacts.CreateDownloadUrl(
        artifacts.CreateDownloadUrlRequest(name=artifact.name), metadata=caller.metadata
    )
    assert await asyncio.to_thread(lambda: urllib.request.urlopen(got.url, timeout=10).read()) == data
    with pytest.raises(grpc.aio.AioRpcError):
        await caller.artifacts.UploadArtifact(adopt(), metadata=caller.metadata)


async def test_a_large_artifact_goes_in_parts_and_comes_back_whole(caller: Caller) -> None:
    data = random.Random(5).randbytes(20 << 20)  # more than one part of 16 MiB
    artifact = await caller.upload(data)
    request = artifacts.DownloadArtifactRequest(name=artifact.name)
    parts = [part.chunk async for part in caller.artifacts.DownloadArtifact(request, metadata=caller.metadata)]
    assert max(len(part) for part in parts) <= 1 << 20
    assert hashlib.sha256(b"".join(parts)).hexdigest() == artifact.sha256


async def test_stored_bytes_that_changed_are_data_loss_never_other_bytes(
    caller: Caller, noop_stack: StackThread
) -> None:
    artifact = await caller.upload(b"as it was")
    info = noop_stack.info
    s3 = Minio(
        info.s3_endpoint.removeprefix("http://"),
        access_key=info.s3_access_key,
        secret_key=info.s3_secret_key,
        secure=False,
        region="us-east-1",
    )
    key = f"artifacts/local/{artifact.sha256}"
    await asyncio.to_thread(s3.put_object, info.s3_bucket, key, io.BytesIO(b"tampered!"), 9)
    request = artifacts.DownloadArtifactRequest(name=artifact.name)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        _ = [part async for part in caller.artifacts.DownloadArtifact(request, metadata=caller.metadata)]
    assert refusal.value.code() is grpc.StatusCode.DATA_LOSS
    assert reason_of_call(refusal.value) == "ARTIFACT_CORRUPT"
    assert (await caller.upload(b"as it was")).sha256 == artifact.sha256
    _ = [part async for part in caller.artifacts.DownloadArtifact(request, metadata=caller.metadata)]
