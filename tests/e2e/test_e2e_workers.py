"""The workers' direct door, and what the gateway knows of the names that they know."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest
from PIL import Image

from e2e_calls import Caller, reason_of_call
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest, GenerateResponse, ListLoadedModelsRequest, LoraWeight
from kerf.diffusion.v1.diffusion_pb2_grpc import DiffusionServiceStub
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.optimizer_pb2_grpc import OptimizerServiceStub
from kerf.optimizer.v1.plan_pb2 import Operation, OperationKind, PlanRequest
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize, Source
from stack_thread import StackThread

if TYPE_CHECKING:
    from kerf.diffusion.v1.diffusion_pb2_grpc import DiffusionServiceAsyncStub
    from kerf.optimizer.v1.optimizer_pb2_grpc import OptimizerServiceAsyncStub

DRAW = GenerateRequest(prompt="a silhouette of a zebra heart", seed=11, steps=4)


@pytest.fixture
async def owner(full_stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(full_stack.info.gateway_target, full_stack.info.api_key)
    yield caller
    await caller.channel.close()


async def test_a_direct_call_draws_the_same_picture_as_a_job(full_stack: StackThread, owner: Caller) -> None:
    async with grpc.aio.insecure_channel(full_stack.info.targets["diffusion"]) as channel:
        diffusion: DiffusionServiceAsyncStub = DiffusionServiceStub(channel)
        parts = [part async for part in diffusion.Generate(DRAW, metadata=owner.metadata)]
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await diffusion.ListLoadedModels(ListLoadedModelsRequest())
        assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
        models = await diffusion.ListLoadedModels(ListLoadedModelsRequest(), metadata=owner.metadata)
    assert [model.name for model in models.models] == ["starter"]
    direct = picture_of(parts)
    assert parts[-1].result.unknown_words == ["zebra"]
    events = await owner.run(Job(stages=[Stage(id="draw", generate=DRAW)]))
    result = events[-1].succeeded.last_stage
    assert result.outputs[0].sha256 == hashlib.sha256(direct).hexdigest()
    assert any("zebra" in warning for warning in result.warnings)
    assert result.receipt.seeds == [11]
    assert result.receipt.models[0].sha256 == models.models[0].sha256 != ""


def picture_of(parts: list[GenerateResponse]) -> bytes:
    return b"".join(part.image.data for part in parts if part.HasField("image"))


async def test_optimizer_and_planner_answer_directly(full_stack: StackThread, owner: Caller) -> None:
    ramp = io.BytesIO()
    Image.linear_gradient("L").save(ramp, "PNG")
    async with grpc.aio.insecure_channel(full_stack.info.targets["optimizer"]) as channel:
        optimizer: OptimizerServiceAsyncStub = OptimizerServiceStub(channel)
        request = OptimizeRequest(source=Source(data=ramp.getvalue()), size=PhysicalSize(width_mm=20))
        raster = await optimizer.Optimize(request, metadata=owner.metadata)
        engrave = Operation(kind=OperationKind.OPERATION_KIND_ENGRAVE_RASTER)
        plan = PlanRequest(sources=[raster.picture], material="birch-3mm", operations=[engrave])
        burn = await optimizer.Plan(plan, metadata=owner.metadata)
        assert {file.filename for file in burn.files} >= {"plan.gcode", "plan.svg", "plan.dxf"}
        plan.material = "pvc"
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await optimizer.Plan(plan, metadata=owner.metadata)
        assert "chlor" in str(refusal.value.details()).lower()


def planned(material: str = "birch-3mm", machine: str = "") -> Job:
    source = StageInput(from_stage=StageOutputs(stage="draw"))
    operation = Operation(kind=OperationKind.OPERATION_KIND_CUT)
    plan = PlanRequest(material=material, machine=machine, operations=[operation])
    return Job(stages=[Stage(id="draw", generate=DRAW), Stage(id="plan", inputs=[source], plan=plan)])


def drawn(**fields: str) -> Job:
    request = GenerateRequest(prompt="a heart", **fields)  # type: ignore[arg-type]  # names of string fields
    return Job(stages=[Stage(id="draw", generate=request)])


@pytest.mark.parametrize(
    "job, reason",
    [
        (drawn(model="dall-e"), "MODEL_NOT_INSTALLED"),
        (
            Job(stages=[Stage(id="a", generate=GenerateRequest(prompt="x", loras=[LoraWeight(name="n", weight=1)]))]),
            "LORA_NOT_INSTALLED",
        ),
        (planned(material="unobtainium"), "MATERIAL_UNKNOWN"),
        (planned(material="pvc"), "MATERIAL_REFUSED"),
        (planned(machine="toaster"), "MACHINE_UNKNOWN"),
    ],
)
async def test_a_name_that_no_worker_knows_is_refused_before_the_job_is_accepted(
    job: Job, reason: str, owner: Caller
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await owner.create(job)
    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of_call(refusal.value) == reason
