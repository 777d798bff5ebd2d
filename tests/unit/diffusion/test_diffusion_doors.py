"""Both doors, from the same studio: the gRPC stream and the job stage."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import grpc
import pytest

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.diffusion.v1 import diffusion_pb2 as pb
from kerf.diffusion.v1 import diffusion_pb2_grpc
from kerf.jobs.v1.job_pb2 import NoopTask, Stage
from kerf_core.compute import ComputePool
from kerf_core.errors import FailedPrecondition, InvalidArgument, WorkCancelled
from kerf_core.stages import CancelToken, JobId, TenantId
from kerf_diffusion.domain.studio import Studio
from kerf_diffusion.handler import DiffusionHandler
from kerf_diffusion.servicer import DiffusionServicer

P = ParamSpec("P")
R = TypeVar("R")
THIS_JOB = JobId("job-1")
TENANT = TenantId("tenant-1")


@asynccontextmanager
async def serving(studio: Studio) -> AsyncIterator[tuple[diffusion_pb2_grpc.DiffusionServiceAsyncStub, ComputePool]]:
    pool = ComputePool(1)
    server = grpc.aio.server()
    diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(DiffusionServicer(studio, pool), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield diffusion_pb2_grpc.DiffusionServiceStub(channel), pool
    finally:
        await server.stop(None)
        pool.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


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
    servicer = DiffusionServicer(studio, ComputePool(1))
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


@dataclass
class MemoryContext:
    """A stage's context that keeps all in memory."""

    stage: Stage
    job: JobId = THIS_JOB
    tenant: TenantId = TENANT
    attempt: int = 1
    inputs: list[list[Artifact]] = field(default_factory=list)
    cancel: CancelToken = field(default_factory=CancelToken)
    stored: list[bytes] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)

    async def read(self, artifact: Artifact) -> bytes:
        raise AssertionError("generate reads nothing")

    async def store(
        self,
        data: bytes,
        media_type: str,
        *,
        size_px: tuple[int, int] = (0, 0),
        size_mm: tuple[float, float] = (0.0, 0.0),
        labels: dict[str, str] | None = None,
        rebuildable: bool = False,
    ) -> Artifact:
        self.stored.append(data)
        sha256 = hashlib.sha256(data).hexdigest()
        return Artifact(
            sha256=sha256,
            media_type=media_type,
            width_px=size_px[0],
            height_px=size_px[1],
            labels=labels,
            rebuildable=rebuildable,
        )

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(work, *args, **kwargs)

    def progress(self, step: int, total: int, *, eta_seconds: float = -1.0, message: str = "") -> None:
        self.steps.append((step, total))
        if step == 5:
            self.cancel.cancel("the test says so") if self.job == "cancel-me" else None

    def preview(self, image: int, step: int, png: bytes) -> None:
        self.previews.append(png)


def stage(**task: object) -> Stage:
    task = {"prompt": "a fox", "steps": 4, **task}
    return Stage(id="draw", generate=pb.GenerateRequest(**task))  # type: ignore[arg-type] # fields of all kinds


async def test_a_stage_stores_one_artifact_per_picture(studio: Studio) -> None:
    context = MemoryContext(stage(seed=7, images=2, preview_every_steps=2))
    result = await DiffusionHandler(studio).run(context)
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
    first, second, other = MemoryContext(stage()), MemoryContext(stage(), attempt=2), MemoryContext(stage())
    other.job = JobId("job-2")
    for context in (first, second, other):
        await DiffusionHandler(studio).run(context)
    assert first.stored == second.stored
    assert first.stored != other.stored


async def test_both_doors_give_the_same_bytes(studio: Studio) -> None:
    context = MemoryContext(stage(seed=7))
    await DiffusionHandler(studio).run(context)
    async with serving(studio) as (stub, _):
        request = pb.GenerateRequest(prompt="a fox", steps=4, seed=7)
        data = [message.image.data async for message in stub.Generate(request) if message.HasField("image")]
    assert b"".join(data) == context.stored[0]


async def test_a_cancelled_stage_stores_nothing(studio: Studio) -> None:
    context = MemoryContext(stage(images=3), job=JobId("cancel-me"))
    with pytest.raises(WorkCancelled):
        await DiffusionHandler(studio).run(context)
    assert context.stored == []
    assert context.steps[-1] == (5, 12)


async def test_foreign_tasks_and_inputs_are_refused(studio: Studio) -> None:
    with pytest.raises(InvalidArgument):
        await DiffusionHandler(studio).run(MemoryContext(Stage(id="draw", noop=NoopTask())))
    with pytest.raises(InvalidArgument):
        await DiffusionHandler(studio).run(MemoryContext(stage(), inputs=[[Artifact()]]))
