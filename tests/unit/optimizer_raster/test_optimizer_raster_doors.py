"""The new raster modes and tools through both doors."""

from __future__ import annotations

import grpc
import pytest

from kerf.jobs.v1.job_pb2 import Stage
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf_media import decode_picture
from kerf_optimizer.domain.raster import (
    Background,
    BurnSettings,
    DotShape,
    PowerRange,
    RasterMode,
    RasterSettings,
    ToneAdjustments,
    Unsharp,
)
from kerf_optimizer.handler import OptimizerHandler
from kerf_optimizer.messages import read_optimize
from memory_stage import MemoryStore
from optimizer_doors import PICTURE, SIZE, WORKBENCH, serving, staged

HANDLER = OptimizerHandler(WORKBENCH)
SOURCE = raster.Source(data=PICTURE)


def test_every_mode_and_shape_of_the_contract_is_read() -> None:
    for number in raster.RasterMode.values():
        name = raster.RasterMode.Name(number).removeprefix("RASTER_MODE_").lower().replace("_", "-")
        wanted = "threshold" if name == "unspecified" else name
        assert read_optimize(raster.OptimizeRequest(mode=number)).mode.value == wanted
    assert len(raster.RasterMode.values()) == len(RasterMode) + 1
    for shape in raster.DotShape.values():
        name = raster.DotShape.Name(shape).removeprefix("DOT_SHAPE_").lower().replace("unspecified", "round")
        assert read_optimize(raster.OptimizeRequest(dot_shape=shape)).dot_shape.value == name


def test_an_empty_request_means_the_defaults_and_a_full_one_arrives_whole() -> None:
    assert read_optimize(raster.OptimizeRequest()) == RasterSettings()
    request = raster.OptimizeRequest(
        mode=raster.RASTER_MODE_HALFTONE,
        serpentine=True,
        ordered_size=4,
        dot_shape=raster.DOT_SHAPE_CROSS,
        threshold_low=3,
        adaptive_window_mm=2,
        adaptive_offset=0,
        relief_layers=5,
        burn_preview=True,
        power=raster.PowerRange(min_percent=10, levels=16),
        burn=raster.BurnModel(spot_x_mm=0.2, spot_y_mm=0.1, saturation=0, shortest_run_mm=0),
        tone=raster.ToneAdjustments(
            background=raster.BACKGROUND_REMOVAL_FLAT,
            clahe_clip=2,
            black_level=5,
            gamma=1.5,
            curve=[raster.CurvePoint(grey=0, becomes=9)],
            unsharp=raster.UnsharpMask(radius_mm=1, percent=50, threshold=2),
            negative=True,
        ),
    )
    assert read_optimize(request) == RasterSettings(
        RasterMode.HALFTONE,
        serpentine=True,
        ordered_size=4,
        dot_shape=DotShape.CROSS,
        threshold_low=3,
        adaptive_window_mm=2,
        adaptive_offset=0,
        relief_layers=5,
        burn_preview=True,
        power=PowerRange(10, 100, 16),
        burn=BurnSettings(0.2, 0.1, 0.0, 0.0),
        tone=ToneAdjustments(Background.FLAT, 2, 5, 255, 1.5, ((0, 9),), Unsharp(1, 50, 2), True),
    )


async def test_a_relief_comes_in_slices_and_a_preview_beside_its_raster() -> None:
    async with serving(MemoryStore()) as stub:
        sliced = await stub.Optimize(
            raster.OptimizeRequest(source=SOURCE, size=SIZE, mode=raster.RASTER_MODE_RELIEF, relief_layers=3)
        )
        burn = raster.BurnModel(spot_x_mm=0.15)
        seen = await stub.Optimize(
            raster.OptimizeRequest(
                source=SOURCE, size=SIZE, mode=raster.RASTER_MODE_BURN_SIMULATED, burn=burn, burn_preview=True
            )
        )
        power = await stub.Optimize(raster.OptimizeRequest(source=SOURCE, size=SIZE, mode=raster.RASTER_MODE_POWER_MAP))
    assert (sliced.report.layers, len(sliced.layers)) == (3, 2)
    assert not sliced.HasField("burn_preview")
    assert not sliced.report.HasField("burn")
    assert decode_picture(seen.burn_preview.data).width_px == 200
    assert (seen.report.burn.shortest_run_px, seen.report.burn.saturation) == (2, 2)
    assert seen.report.burn.burnt_tone == pytest.approx(seen.report.burn.wanted_tone, abs=0.01)
    assert power.report.layers == 0
    greys = decode_picture(power.picture.data).gray()
    assert len(set(greys.ravel().tolist())) > 2
    assert power.report.mean_power == pytest.approx(1 - greys.mean() / 255)


async def test_stages_label_slices_previews_and_what_auto_chose() -> None:
    task = raster.OptimizeRequest(mode=raster.RASTER_MODE_RELIEF, size=SIZE, relief_layers=2)
    result = await HANDLER.run(await staged(Stage(optimize=task), [PICTURE, PICTURE]))
    assert [(output.labels["item"], output.labels["layer"]) for output in result.outputs] == [
        ("0", "0"),
        ("0", "1"),
        ("1", "0"),
        ("1", "1"),
    ]
    task = raster.OptimizeRequest(mode=raster.RASTER_MODE_AUTO, size=SIZE, burn_preview=True)
    result = await HANDLER.run(await staged(Stage(optimize=task), [PICTURE]))
    assert [output.labels["role"] for output in result.outputs] == ["raster", "burn-preview"]
    assert {output.labels["mode"] for output in result.outputs} == {"ordered"}
    assert "flat areas" in result.warnings[0]
    assert "numba" in result.versions
    task = raster.OptimizeRequest(mode=raster.RASTER_MODE_POWER_MAP, size=SIZE)
    result = await HANDLER.run(await staged(Stage(optimize=task), [PICTURE]))
    assert [output.labels["role"] for output in result.outputs] == ["power-map"]


@pytest.mark.parametrize(
    "request_,reason",
    [
        (raster.OptimizeRequest(burn=raster.BurnModel(spot_x_mm=4)), "SPOT_TOO_WIDE"),
        (raster.OptimizeRequest(mode=raster.RASTER_MODE_PASS_THROUGH), "NOT_BLACK_AND_WHITE"),
        (raster.OptimizeRequest(tone=raster.ToneAdjustments(black_level=9, white_level=8)), "INVALID_FIELD"),
        (raster.OptimizeRequest(tone=raster.ToneAdjustments(gamma=11)), "INVALID_FIELD"),
        (raster.OptimizeRequest(ordered_size=5), "INVALID_FIELD"),
        (raster.OptimizeRequest(burn=raster.BurnModel(saturation=float("nan"))), "INVALID_FIELD"),
    ],
)
async def test_wrong_tasks_are_typed(request_: raster.OptimizeRequest, reason: str) -> None:
    request_.source.CopyFrom(SOURCE)
    async with serving(MemoryStore()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Optimize(request_)
    assert caught.value.details() == reason
