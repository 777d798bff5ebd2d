"""Both doors, from the same workshop: the gRPC methods and the job stage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from direct_door import serving_door
from kerf.jobs.v1.job_pb2 import NoopTask, Stage
from kerf.trainer.v1 import trainer_pb2 as pb
from kerf.trainer.v1 import trainer_pb2_grpc
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import InvalidArgument, Unavailable, WorkCancelled
from kerf_core.jobs.checkpoints import CheckpointStore
from kerf_core.jobs.names import JobRef
from kerf_core.stages import JobId
from kerf_trainer.adapters.datasets import DatasetReader
from kerf_trainer.domain.linting import DatasetLimits
from kerf_trainer.domain.workshop import Workshop
from kerf_trainer.handler import TrainerHandler
from kerf_trainer.servicer import TrainerServicer
from memory_stage import TENANT, MemoryStage, MemoryStore


@dataclass
class ObjectStore(MemoryStore):
    """A `MemoryStore` that also keeps objects by their keys."""

    kept: dict[Any, Any] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    async def put(self, *args: Any, original: bool = False, **more: Any) -> Any:
        return await super().put(*args, **more)

    async def put_object(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    async def get_object(self, key: str) -> bytes:
        return self.objects[key]

    async def list_objects(self, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    async def remove_object(self, key: str) -> None:
        self.objects.pop(key, None)


def request_of(files: dict[str, bytes], **parameters: Any) -> pb.TrainRequest:
    small = {"rank": 4, "steps": 4, "batch_size": 2, "resolution_px": 64, "seed": 3} | parameters
    request = pb.TrainRequest(name="squares", preset="starter", parameters=pb.TrainingParameters(**small))
    for path, data in files.items():
        request.dataset.files.files.add(path=path, data=data)
    return request


def reader_of(store: MemoryStore) -> DatasetReader:
    return DatasetReader(cast(BlobStore, store), None, DatasetLimits())


@asynccontextmanager
async def serving(
    workshop: Workshop, store: ObjectStore
) -> AsyncIterator[tuple[trainer_pb2_grpc.TrainerServiceAsyncStub, ComputePool]]:
    pool = ComputePool(1)
    servicer = TrainerServicer(workshop, reader_of(store), pool, cast(BlobStore, store))
    try:
        async with serving_door(trainer_pb2_grpc.add_TrainerServiceServicer_to_server, servicer) as channel:
            yield trainer_pb2_grpc.TrainerServiceStub(channel), pool
    finally:
        pool.close()


def stage_of(request: pb.TrainRequest) -> Stage:
    return Stage(id="train", train=request)


async def run(workshop: Workshop, context: MemoryStage) -> Any:
    return await TrainerHandler(workshop, reader_of(context.store_)).run(context)


async def test_a_stage_gives_a_lora_its_curve_and_pictures(workshop: Workshop, files: dict[str, bytes]) -> None:
    request = request_of(files)
    request.sample_prompt = "a fox"
    context = MemoryStage(stage_of(request))
    result = await run(workshop, context)
    roles = [artifact.labels["role"] for artifact in result.outputs]
    assert roles == ["lora", "sample-before", "sample-after", "training-curve"]
    assert result.outputs[0].labels["name"] == "squares"
    assert not any(artifact.rebuildable for artifact in result.outputs)
    curve = json.loads(await context.store_.get(TENANT, result.outputs[-1].sha256))
    assert curve["steps"] == [1, 2, 3, 4]
    assert len(curve["loss"]) == len(curve["smoothed_loss"]) == len(curve["learning_rate"]) == 4
    assert context.steps[-1] == (4, 4)
    assert context.metrics[-1].keys() == {"loss", "smoothed_loss", "learning_rate"}
    assert result.seeds == [3]
    assert [(model.name, len(model.sha256)) for model in result.models] == [("tiny", 64)]
    assert "threads-1" in result.numeric_class
    assert {"torch", "peft", "diffusers"} <= result.versions.keys()


async def test_a_cancelled_stage_saves_its_state_and_goes_on_with_the_same_bytes(
    workshop: Workshop, files: dict[str, bytes]
) -> None:
    store = MemoryStore()
    undisturbed = await run(workshop, MemoryStage(stage_of(request_of(files)), store_=store))
    first = MemoryStage(stage_of(request_of(files)), store_=store)
    first.at_step = lambda step: first.cancel.cancel("draining") if step == 2 else None
    with pytest.raises(WorkCancelled):
        await run(workshop, first)
    assert first.steps[-1] == (2, 4)
    assert [step for step, _ in first.checkpoints] == [2]
    assert first.saved[0].labels["unfinished"] == "true"
    assert first.saved[0].labels["steps"] == "2"
    second = MemoryStage(stage_of(request_of(files)), store_=store, checkpoints=first.checkpoints, attempt=2)
    result = await run(workshop, second)
    assert (2, 4) not in second.steps
    assert any("goes on after step 2" in line for _, line in second.lines)
    assert [output.sha256 for output in result.outputs] == [output.sha256 for output in undisturbed.outputs]


async def test_a_store_that_is_away_costs_a_checkpoint_and_not_the_training(
    workshop: Workshop, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = MemoryStage(stage_of(request_of(files, checkpoint_every_steps=1)))

    async def away(step: int, data: bytes) -> None:
        raise Unavailable("S3_UNAVAILABLE", "the store is away")

    monkeypatch.setattr(context, "save_checkpoint", away)
    result = await run(workshop, context)
    assert result.outputs[0].labels["role"] == "lora"
    assert sum("could not be saved" in line for level, line in context.lines if level == "warning") == 3


async def test_a_stage_tells_all_defects_and_trains_nothing(workshop: Workshop, files: dict[str, bytes]) -> None:
    del files["p1.txt"]
    files["p2.txt"] = b""
    context = MemoryStage(stage_of(request_of(files)))
    with pytest.raises(InvalidArgument) as caught:
        await run(workshop, context)
    assert caught.value.reason == "DATASET_BROKEN"
    assert len(caught.value.violations) == 2
    assert [line.split(":")[0] for level, line in context.lines if level == "error"] == ["p1.png", "p2.txt"]
    assert context.metrics == []


async def test_a_stage_without_a_seed_trains_the_same_at_every_attempt(
    workshop: Workshop, files: dict[str, bytes]
) -> None:
    request = request_of(files)
    request.parameters.ClearField("seed")
    one, two = [await run(workshop, MemoryStage(stage_of(request), attempt=attempt)) for attempt in (1, 2)]
    other = await run(workshop, MemoryStage(stage_of(request), job=JobId("job-2")))
    assert one.outputs[0].sha256 == two.outputs[0].sha256 != other.outputs[0].sha256


async def test_other_tasks_are_refused(workshop: Workshop) -> None:
    with pytest.raises(InvalidArgument, match="the trainer does train, not noop"):
        await run(workshop, MemoryStage(Stage(id="x", noop=NoopTask())))


async def test_the_stream_has_progress_and_a_result(workshop: Workshop, files: dict[str, bytes]) -> None:
    store = ObjectStore()
    request = request_of(files)
    request.sample_prompt = "a fox"
    async with serving(workshop, store) as (stub, _):
        messages = [message async for message in stub.Train(request)]
    assert [message.progress.step for message in messages if message.HasField("progress")] == [1, 2, 3, 4]
    logs = [message.log for message in messages if message.HasField("log")]
    assert [line.split(":")[0] for line in logs] == ["sample-before", "sample-after"]
    result = messages[-1].result
    lora = await store.get(TENANT, result.artifact.removeprefix("artifacts/"))
    context = MemoryStage(stage_of(request_of(files)))
    assert (await run(workshop, context)).outputs[0].sha256 == result.artifact.removeprefix("artifacts/")
    assert len(lora) > 1000
    assert (result.steps, result.device_seconds > 0) == (4, True)


async def test_leaving_the_stream_frees_the_slot_and_stores_nothing(
    workshop: Workshop, files: dict[str, bytes]
) -> None:
    store = ObjectStore()
    async with serving(workshop, store) as (stub, pool):
        call = stub.Train(request_of(files, steps=100_000))
        async for message in call:
            if message.progress.step == 2:
                break
        call.cancel()
        async with asyncio.timeout(20):
            while pool.free == 0:
                await asyncio.sleep(0.01)
    assert store.kept == {}


async def test_lint_estimate_and_presets(workshop: Workshop, files: dict[str, bytes]) -> None:
    files["lost.txt"] = b"no picture"
    async with serving(workshop, ObjectStore()) as (stub, _):
        found = await stub.LintDataset(pb.LintDatasetRequest(dataset=request_of(files).dataset))
        assert [(defect.path, defect.reason, defect.fatal) for defect in found.defects] == [
            ("lost.txt", "PICTURE_MISSING", True)
        ]
        assert found.pairs == 5
        del files["lost.txt"]
        estimate = await stub.EstimateTraining(pb.EstimateTrainingRequest(training=request_of(files, steps=7)))
        assert estimate.steps == 7
        assert estimate.basis in {"measured", "model"}
        assert 0 < estimate.seconds.low < estimate.seconds.expected < estimate.seconds.high
        assert estimate.peak_memory_bytes.low > 1 << 20
        presets = (await stub.ListPresets(pb.ListPresetsRequest())).presets
        assert [preset.name for preset in presets] == ["fast", "high_quality", "sd15", "sdxl", "starter"]


async def test_the_checkpoints_of_a_job_are_listed_for_its_tenant(workshop: Workshop) -> None:
    store = ObjectStore()
    mine = CheckpointStore(cast(BlobStore, store), JobRef(TENANT, JobId("job-1")), "train")
    await mine.save(25, b"early", fence=1)
    await mine.save(50, b"later on", fence=1)
    async with serving(workshop, store) as (stub, _):
        listed = await stub.ListCheckpoints(pb.ListCheckpointsRequest(job="jobs/job-1"))
        assert [(entry.step, entry.size_bytes) for entry in listed.checkpoints] == [(25, 5), (50, 8)]
        other = await stub.ListCheckpoints(pb.ListCheckpointsRequest(job="jobs/job"))
        assert list(other.checkpoints) == []
