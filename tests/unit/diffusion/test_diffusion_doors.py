"""Both doors, from the same studio: the gRPC stream and the job stage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from direct_door import serving_door, until
from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.diffusion.v1 import diffusion_pb2 as pb
from kerf.diffusion.v1 import diffusion_pb2_grpc
from kerf.jobs.v1.job_pb2 import NoopTask, Stage
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import FailedPrecondition, InvalidArgument, WorkCancelled
from kerf_core.stages import JobId
from kerf_diffusion.adapters.lora_artifacts import LoraArtifacts
from kerf_diffusion.domain.studio import Studio
from kerf_diffusion.handler import DiffusionHandler
from kerf_diffusion.servicer import DiffusionServicer
from kerf_sd.lora_files import LoraFolder
from memory_stage import MemoryStage, MemoryStore


@asynccontextmanager
async def serving(studio: Studio) -> AsyncIterator[tuple[diffusion_pb2_grpc.DiffusionServiceAsyncStub, ComputePool]]:
    pool = ComputePool(1)
    servicer = DiffusionServicer(studio, pool, loras_of(MemoryStore()))
    try:
        async with serving_door(diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server, servicer) as channel:
            yield diffusion_pb2_grpc.DiffusionServiceStub(channel), pool
    finally:
        pool.close()


async def test_the_stream_has_progress_previews_pictures_and_a_result(studio: Studio) -> None:
    request = pb.GenerateRequest(prompt="a fox", seed=7, images=2, steps=4, preview_every_steps=2)
    async with serving(studio) as (stub, _):
        messages = [message async for message in stub.Generate(request)]
    kinds = [message.WhichOneof("part") for message in messages]
    assert kinds[-1] == "result"
    assert kinds.count("preview") == 2
    assert [message.progress.step for message in messages if message.HasField("progress")] == list(range(9))
    pictures: dict[int, bytes] = {}
    for message in messages:
        if message.HasField("image"):
            pictures[message.image.image] = pictures.get(message.image.image, b"") + message.image.data
            assert message.image.seed == 7 + message.image.image
    assert len(pictures) == 2
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    result = messages[-1].result
    assert (result.model, result.seed) == ("tiny", 7)
    assert len(result.model_sha256) == 64
    assert "threads-1" in result.numeric_class
    assert result.device_seconds > 0
    assert result.queue_seconds >= 0


async def test_a_seed_is_drawn_and_reported(studio: Studio) -> None:
    async with serving(studio) as (stub, _):
        seeds = set()
        for _ in range(2):
            async for message in stub.Generate(pb.GenerateRequest(prompt="a fox", steps=1)):
                if message.HasField("result"):
                    seeds.add(message.result.seed)
    assert len(seeds) == 2


async def test_large_pictures_come_in_chunks(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerf_diffusion.servicer.CHUNK_BYTES", 1000)
    async with serving(studio) as (stub, _):
        request = pb.GenerateRequest(prompt="a fox", seed=7, steps=1)
        images = [message.image async for message in stub.Generate(request) if message.HasField("image")]
    assert len(images) > 1
    assert all(len(image.data) <= 1000 for image in images)
    assert [image.last for image in images] == [False] * (len(images) - 1) + [True]


async def test_leaving_the_stream_frees_the_slot_within_a_step(studio: Studio) -> None:
    async with serving(studio) as (stub, pool):
        call = stub.Generate(pb.GenerateRequest(prompt="a fox", seed=7, steps=150, images=16))
        async for message in call:
            if message.progress.step == 2:
                break
        assert pool.free == 0
        call.cancel()
        await until(lambda: pool.free == 1)
        last = [message async for message in stub.Generate(pb.GenerateRequest(prompt="a key", seed=1, steps=1))][-1]
    assert last.HasField("result")


async def test_errors_reach_the_caller_before_and_during_work(studio: Studio) -> None:
    servicer = DiffusionServicer(studio, ComputePool(1), loras_of(MemoryStore()))
    for request, error in (
        (pb.GenerateRequest(prompt="a fox", model="wombat"), FailedPrecondition),
        (pb.GenerateRequest(prompt="a fox", width_px=100), InvalidArgument),
        (pb.GenerateRequest(prompt="a fox", loras=[pb.LoraWeight(name="wombat", weight=1)]), FailedPrecondition),
    ):
        with pytest.raises(error):
            async for _ in servicer.Generate(request, None):  # type: ignore[arg-type] # it does not use the context
                pass


async def test_models_are_listed(studio: Studio) -> None:
    async with serving(studio) as (stub, _):
        models = (await stub.ListLoadedModels(pb.ListLoadedModelsRequest())).models
    assert [(model.name, model.architecture, model.is_default) for model in models] == [
        ("tiny", "sd", True),
        ("tiny-xl", "sdxl", False),
    ]
    assert all(model.native_size_px == 64 for model in models)


def loras_of(store: MemoryStore) -> LoraArtifacts:
    return LoraArtifacts(LoraFolder(None), cast(BlobStore, store))


def kept(context: MemoryStage) -> list[bytes]:
    return [data for data, _ in context.store_.kept.values()]


def stage(**task: object) -> Stage:
    task = {"prompt": "a fox", "steps": 4, **task}
    return Stage(id="draw", generate=pb.GenerateRequest(**task))  # type: ignore[arg-type] # fields of all kinds


async def test_a_stage_stores_one_artifact_per_picture(studio: Studio) -> None:
    context = MemoryStage(stage(seed=7, images=2, preview_every_steps=2))
    result = await DiffusionHandler(studio, loras_of(MemoryStore())).run(context)
    assert [dict(output.labels) for output in result.outputs] == [
        {"role": "picture", "seed": "7", "item": "0"},
        {"role": "picture", "seed": "8", "item": "1"},
    ]
    for output in result.outputs:
        assert (output.media_type, output.width_px, output.height_px) == ("image/png", 64, 64)
        assert output.rebuildable
    assert result.seeds == [7, 8]
    assert result.models[0].name == "tiny"
    assert "threads-1" in result.numeric_class
    assert {"torch", "diffusers", "pillow"} <= result.versions.keys()
    assert context.steps[-1] == (8, 8)
    assert len(context.previews) == 2


async def test_every_attempt_of_a_stage_draws_the_same(studio: Studio) -> None:
    first, second, other = MemoryStage(stage()), MemoryStage(stage(), attempt=2), MemoryStage(stage())
    other.job = JobId("job-2")
    for context in (first, second, other):
        await DiffusionHandler(studio, loras_of(MemoryStore())).run(context)
    assert kept(first) == kept(second)
    assert kept(first) != kept(other)


async def test_both_doors_give_the_same_bytes(studio: Studio) -> None:
    context = MemoryStage(stage(seed=7))
    await DiffusionHandler(studio, loras_of(MemoryStore())).run(context)
    async with serving(studio) as (stub, _):
        request = pb.GenerateRequest(prompt="a fox", steps=4, seed=7)
        data = [message.image.data async for message in stub.Generate(request) if message.HasField("image")]
    assert b"".join(data) == kept(context)[0]


async def test_a_cancelled_stage_stores_nothing(studio: Studio) -> None:
    context = MemoryStage(stage(images=3))
    context.at_step = lambda step: context.cancel.cancel("the test says so") if step == 5 else None
    with pytest.raises(WorkCancelled):
        await DiffusionHandler(studio, loras_of(MemoryStore())).run(context)
    assert context.store_.kept == {}
    assert context.steps[-1] == (5, 12)


async def test_foreign_tasks_and_inputs_are_refused(studio: Studio) -> None:
    with pytest.raises(InvalidArgument):
        await DiffusionHandler(studio, loras_of(MemoryStore())).run(MemoryStage(Stage(id="draw", noop=NoopTask())))
    with pytest.raises(InvalidArgument):
        await DiffusionHandler(studio, loras_of(MemoryStore())).run(MemoryStage(stage(), [[Artifact()]]))
