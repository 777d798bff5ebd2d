"""Captioner, trainer and monitor through a real stack: as stages of jobs, and by their own doors."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import grpc
import nats
import pytest
from google.rpc.error_details_pb2 import BadRequest
from PIL import Image, ImageDraw

from e2e_calls import Caller, reason_of_call
from kerf.captioner.v1.captioner_pb2 import CaptionRequest, Picture
from kerf.captioner.v1.captioner_pb2_grpc import CaptionerServiceStub
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest, LoraWeight
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.monitor.v1 import monitor_pb2 as monitor
from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceStub
from kerf.optimizer.v1.plan_pb2 import Operation, OperationKind, PlanRequest
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize
from kerf.optimizer.v1.vector_pb2 import VectorizeRequest
from kerf.trainer.v1.dataset_pb2 import Dataset, DatasetFile, DatasetFiles
from kerf.trainer.v1.trainer_pb2 import TrainingParameters, TrainRequest
from kerf_core.auth import new_api_key, store_api_key
from kerf_core.rpc_status import reason_of
from stack_thread import StackThread

if TYPE_CHECKING:
    from kerf.captioner.v1.captioner_pb2_grpc import CaptionerServiceAsyncStub
    from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceAsyncStub

DRAW = GenerateRequest(prompt="a silhouette of a heart", seed=5)


@pytest.fixture
async def owner(full_stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(full_stack.info.gateway_target, full_stack.info.api_key)
    yield caller
    await caller.channel.close()


@pytest.fixture
async def outsider(full_stack: StackThread) -> AsyncIterator[Caller]:
    """Another tenant, no operator."""
    info = full_stack.info
    client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
    key = new_api_key()
    await store_api_key(client.jetstream(), key, "outsider")
    await client.close()
    caller = Caller(info.gateway_target, key)
    yield caller
    await caller.channel.close()


def after(stage: str) -> StageInput:
    return StageInput(from_stage=StageOutputs(stage=stage))


def dataset(more: Mapping[str, bytes], pictures: int = 4) -> Dataset:
    files = []
    for number in range(pictures):
        canvas = Image.new("RGB", (128, 128), "white")
        ImageDraw.Draw(canvas).ellipse((20 + 8 * number, 20, 70 + 8 * number, 100), outline="black", width=5)
        data = io.BytesIO()
        canvas.save(data, "PNG")
        files.append(DatasetFile(path=f"{number}.png", data=data.getvalue()))
        files.append(DatasetFile(path=f"{number}.txt", data=b"a ring"))
    files += [DatasetFile(path=path.replace("__", "."), data=data) for path, data in more.items()]
    return Dataset(files=DatasetFiles(files=files))


def training(name: str, steps: int, **more: bytes) -> Job:
    parameters = TrainingParameters(steps=steps, batch_size=2, seed=3, checkpoint_every_steps=2)
    request = TrainRequest(name=name, dataset=dataset(more), parameters=parameters, trigger_word="ringy")
    return Job(stages=[Stage(id="train", train=request)])


async def test_one_job_goes_through_five_stages(owner: Caller) -> None:
    plan = PlanRequest(
        material="birch-3mm",
        operations=[
            Operation(input=0, kind=OperationKind.OPERATION_KIND_ENGRAVE_RASTER),
            Operation(input=1, kind=OperationKind.OPERATION_KIND_SCORE),
        ],
    )
    size = PhysicalSize(width_mm=40)
    stages = [
        Stage(id="draw", generate=DRAW),
        Stage(id="say", inputs=[after("draw")], caption=CaptionRequest()),
        Stage(id="burn", inputs=[after("draw")], optimize=OptimizeRequest(size=size)),
        Stage(id="trace", inputs=[after("burn")], vectorize=VectorizeRequest(size=size)),
        Stage(id="plan", inputs=[after("burn"), after("trace")], plan=plan),
    ]
    events = await owner.run(Job(stages=stages))
    assert events[-1].HasField("succeeded"), events[-1]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    job = await owner.get(events[0].job)
    caption = job.stages[1].outputs[0]
    assert (caption.labels["role"], caption.labels["item"]) == ("caption", "0")
    assert "heart" in caption.labels["text"]
    assert "gcode" in {output.labels["role"] for output in job.stages[4].outputs}


async def test_a_direct_caption_is_the_same_as_a_jobs(full_stack: StackThread, owner: Caller) -> None:
    events = await owner.run(
        Job(
            stages=[
                Stage(id="draw", generate=DRAW),
                Stage(id="say", inputs=[after("draw")], caption=CaptionRequest()),
            ]
        )
    )
    said = events[-1].succeeded.last_stage.outputs[0].labels["text"]
    drawn = next(event.stage_completed for event in events if event.HasField("stage_completed")).outputs[0]
    async with grpc.aio.insecure_channel(full_stack.info.targets["captioner"]) as channel:
        captioner: CaptionerServiceAsyncStub = CaptionerServiceStub(channel)
        answer = await captioner.Caption(
            CaptionRequest(picture=Picture(artifact=drawn.name)), metadata=owner.metadata, timeout=60
        )
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await captioner.Caption(CaptionRequest(picture=Picture(data=b"no picture")), metadata=owner.metadata)
    assert answer.text == said
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_trained_lora_serves_its_tenant_at_once_and_nobody_else(owner: Caller, outsider: Caller) -> None:
    events = await owner.run(training("rings", 4))
    assert events[-1].HasField("succeeded"), events[-1]
    assert [event.checkpointed.step for event in events if event.HasField("checkpointed")] == [2]
    assert any("loss" in event.progress.metrics for event in events)
    lora = next(output for output in events[-1].succeeded.last_stage.outputs if output.labels["role"] == "lora")

    def drawn(*loras: LoraWeight) -> Job:
        request = GenerateRequest(prompt="a silhouette of a heart", seed=5, steps=4, loras=loras)
        return Job(stages=[Stage(id="draw", generate=request)])

    plain = (await owner.run(drawn()))[-1].succeeded.last_stage.outputs[0]
    styled = (await owner.run(drawn(LoraWeight(name=lora.name, weight=4))))[-1].succeeded.last_stage
    assert styled.outputs[0].sha256 != plain.sha256
    assert lora.sha256 in {model.sha256 for model in styled.receipt.models}
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await outsider.create(drawn(LoraWeight(name=lora.name, weight=1)))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of_call(refusal.value) == "ARTIFACT_NOT_FOUND"


async def test_a_cancelled_training_saves_what_it_has(owner: Caller) -> None:
    created = await owner.create(training("endless", 100_000))
    events: list[JobEvent] = []
    stream = owner.jobs.WatchJob(api.WatchJobRequest(name=created.name, durable_only=True), metadata=owner.metadata)
    cancelled = False
    async with asyncio.timeout(90):
        async for event in stream:
            events.append(event)
            if event.progress.step >= 3 and not cancelled:
                cancelled = True
                await owner.jobs.CancelJob(api.CancelJobRequest(name=created.name), metadata=owner.metadata)
    bodies = [event.WhichOneof("body") for event in events]
    assert bodies[-1] == "cancelled"
    assert "cancel_requested" in bodies
    assert "lora" in {artifact.labels["role"] for artifact in events[-1].cancelled.saved}
    job = await owner.get(created.name)
    assert [output.sha256 for output in job.stages[0].outputs] == [a.sha256 for a in events[-1].cancelled.saved]


async def test_every_defect_of_a_dataset_is_told_before_the_first_step(owner: Caller) -> None:
    defects = {
        "5__txt": b"a caption without a picture",
        "6__png": _png(6),
        "7__png": _png(7)[:60],
        "7__txt": b"a ring",
        "8__png": _png(8),
        "8__txt": b"\xff\xfe\xfa",
    }
    events = await owner.run(training("broken", 4, **defects))
    assert events[-1].HasField("failed"), events[-1]
    assert not any(event.HasField("progress") and event.progress.step > 0 for event in events)
    named: set[str] = set()
    for detail in events[-1].failed.error.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            named |= {violation.field for violation in bad.field_violations}
    for path in ("5.txt", "6.png", "7.png", "8.txt"):
        assert any(path in field for field in named), (path, named)
    assert reason_of(events[-1].failed.error) == "DATASET_BROKEN"


def changed(**fields: object) -> Job:
    job = training("broken", 4)
    for name, value in fields.items():
        if name == "rank":
            job.stages[0].train.parameters.rank = value  # type: ignore[assignment]  # whatever the test gives
        elif name == "dataset":
            job.stages[0].train.dataset.CopyFrom(value)  # type: ignore[arg-type]  # whatever the test gives
        else:
            setattr(job.stages[0].train, name, value)
    return job


@pytest.mark.parametrize(
    "job, reason",
    [
        (changed(dataset=Dataset(files=DatasetFiles())), "DATASET_BROKEN"),
        (changed(dataset=Dataset(files=dataset({}).files, caption_suffix="txt")), "DATASET_BROKEN"),
        (changed(preset="best"), "PRESET_UNKNOWN"),
        (changed(base_model="dall-e"), "MODEL_NOT_INSTALLED"),
        (changed(rank=0), "INVALID_FIELD"),
    ],
    ids=["empty", "suffix without a dot", "unknown preset", "unknown base model", "rank 0"],
)
async def test_what_cannot_be_trained_is_refused_before_the_first_step(job: Job, reason: str, owner: Caller) -> None:
    try:
        created = await owner.create(job)
    except grpc.aio.AioRpcError as refusal:
        told = reason_of_call(refusal)  # before it was accepted
    else:
        events = await owner.watch(created.name)
        told = reason_of(events[-1].failed.error)
        assert not any(event.progress.step for event in events)
    assert told == reason


def _png(turn: int) -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").resize((128, 128)).rotate(turn).save(data, "PNG")
    return data.getvalue()


async def test_the_monitor_knows_its_node_and_what_ran_on_it(
    full_stack: StackThread, owner: Caller, outsider: Caller
) -> None:
    draw = GenerateRequest(prompt="a heart", seed=1, steps=4)
    created = (await owner.run(Job(stages=[Stage(id="draw", generate=draw)])))[0].job
    async with grpc.aio.insecure_channel(full_stack.info.targets["monitor"]) as channel:
        node: MonitorServiceAsyncStub = MonitorServiceStub(channel)
        now = (await node.GetNode(monitor.GetNodeRequest(), metadata=owner.metadata)).now
        wanted = monitor.ListSessionsRequest(job=created)
        async with asyncio.timeout(20):
            while not (sessions := (await node.ListSessions(wanted, metadata=owner.metadata)).sessions):
                await asyncio.sleep(0.1)
        foreign = await node.ListSessions(monitor.ListSessionsRequest(), metadata=outsider.metadata)
    assert now.host.memory_total_bytes.availability == monitor.AVAILABILITY_MEASURED
    if now.gpu_support.state == monitor.GPU_STATE_ABSENT:
        assert "no GPU" in now.gpu_support.message
        assert not now.gpus
    assert [(session.stage, session.kind) for session in sessions] == [("draw", "diffusion")]
    assert created not in {session.job for session in foreign.sessions}
