"""The jobs' door: stages, items, failures, cancellation."""

from __future__ import annotations

import pytest

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import NoopTask, Stage
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf.optimizer.v1 import vector_pb2 as vector
from kerf_core.errors import Code, InvalidArgument, Unavailable, WorkCancelled
from kerf_core.rpc_status import reason_of
from kerf_media import decode_picture, encode_png_gray
from kerf_optimizer.handler import OptimizerHandler
from optimizer_doors import (
    NO_PICTURE,
    PICTURE,
    SIZE,
    WORKBENCH,
    disc,
    staged,
)

OPTIMIZE = Stage(id="prepare", optimize=raster.OptimizeRequest(mode=raster.RASTER_MODE_FLOYD_STEINBERG, size=SIZE))
VECTORIZE = Stage(id="trace", vectorize=vector.VectorizeRequest(size=SIZE))
HANDLER = OptimizerHandler(WORKBENCH)


async def test_an_optimize_stage_lists_what_failed_and_goes_on() -> None:
    context = await staged(OPTIMIZE, [PICTURE, NO_PICTURE], [encode_png_gray(255 - disc())])
    result = await HANDLER.run(context)
    assert [dict(output.labels) for output in result.outputs] == [
        {"role": "raster", "mode": "floyd-steinberg", "item": "0"},
        {"role": "raster", "mode": "floyd-steinberg", "item": "2"},
    ]
    for output in result.outputs:
        assert (output.media_type, output.width_px) == ("image/png", 200)
        assert output.width_mm == pytest.approx(20)
        assert output.rebuildable
        assert decode_picture(await context.read(output)).width_px == 200
    assert [failure.item for failure in result.item_failures] == [1]
    assert result.item_failures[0].error.code == Code.INVALID_ARGUMENT.value
    assert reason_of(result.item_failures[0].error) == "PICTURE_UNREADABLE"
    assert context.steps[-1] == (3, 3)
    assert result.versions["pillow"]
    assert result.numeric_class.startswith("cpu/")
    again = await HANDLER.run(await staged(OPTIMIZE, [PICTURE]))
    assert again.outputs[0].sha256 == result.outputs[0].sha256


async def test_a_vectorize_stage_makes_drawings() -> None:
    result = await HANDLER.run(await staged(VECTORIZE, [PICTURE]))
    (output,) = result.outputs
    assert output.media_type == "image/svg+xml"
    assert (output.width_mm, output.labels["role"]) == (20, "vector")


async def test_a_plan_stage_goes_item_by_item() -> None:
    first = await HANDLER.run(await staged(OPTIMIZE, [PICTURE, encode_png_gray(255 - disc())]))
    assert len(first.outputs) == 2
    made = await staged(OPTIMIZE, [PICTURE, encode_png_gray(255 - disc())])
    rasters = [await made.read(output) for output in (await HANDLER.run(made)).outputs]
    outline = await staged(VECTORIZE, [PICTURE])
    svg = await outline.read((await HANDLER.run(outline)).outputs[0])
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[
            plan.Operation(input=0, kind=plan.OPERATION_KIND_ENGRAVE_RASTER),
            plan.Operation(input=1, kind=plan.OPERATION_KIND_CUT),
        ],
    )
    context = await staged(Stage(id="plan", plan=request), rasters, [svg])
    result = await HANDLER.run(context)
    roles = ["gcode", "svg", "dxf", "preview", "job-sheet"]
    assert [output.labels["role"] for output in result.outputs] == roles * 2
    assert [output.labels["item"] for output in result.outputs] == ["0"] * 5 + ["1"] * 5
    assert len({output.sha256 for output in result.outputs}) > 5
    assert any(warning.startswith("Item 1: ") for warning in result.warnings)
    preview = next(output for output in result.outputs if output.labels["role"] == "preview")
    assert preview.width_px > 0


@pytest.mark.parametrize(
    "stage,inputs,field_path",
    [
        (Stage(noop=NoopTask()), [[PICTURE]], "task"),
        (OPTIMIZE, [], "inputs"),
        (OPTIMIZE, [[]], "inputs"),
        (Stage(plan=plan.PlanRequest(material="birch-3mm")), [[PICTURE], []], "inputs"),
        (Stage(plan=plan.PlanRequest(material="birch-3mm")), [[PICTURE] * 2, [PICTURE] * 3], "inputs"),
        (Stage(optimize=raster.OptimizeRequest(source=raster.Source(data=b"x"))), [[PICTURE]], "optimize.source"),
        (Stage(vectorize=vector.VectorizeRequest(source=raster.Source(data=b"x"))), [[PICTURE]], "vectorize.source"),
        (Stage(plan=plan.PlanRequest(sources=[raster.Source(data=b"x")])), [[PICTURE]], "plan.sources"),
    ],
)
async def test_stages_that_cannot_work(stage: Stage, inputs: list[list[bytes]], field_path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await HANDLER.run(await staged(stage, *inputs))
    assert caught.value.violations[0].field == field_path


async def test_if_all_fail_the_first_error_is_the_stage_s() -> None:
    with pytest.raises(InvalidArgument) as caught:
        await HANDLER.run(await staged(OPTIMIZE, [NO_PICTURE, PICTURE[:-30]]))
    assert caught.value.reason == "PICTURE_UNREADABLE"


async def test_an_outage_is_not_an_item_s_failure() -> None:
    context = await staged(OPTIMIZE, [PICTURE, PICTURE])

    async def away(artifact: Artifact) -> bytes:
        raise Unavailable("S3_UNAVAILABLE", "away")

    context.read = away  # type: ignore[method-assign]  # the store goes away
    with pytest.raises(Unavailable):
        await HANDLER.run(context)


async def test_a_cancelled_stage_stores_nothing() -> None:
    context = await staged(OPTIMIZE, [PICTURE])
    context.cancel.cancel("the job was cancelled")
    before = len(context.store_.kept)
    with pytest.raises(WorkCancelled):
        await HANDLER.run(context)
    assert len(context.store_.kept) == before
