"""The direct door, over a real gRPC server."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest

from kerf.optimizer.v1 import layout_pb2 as layout
from kerf.optimizer.v1 import optimizer_pb2 as pb
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf.optimizer.v1 import vector_pb2 as vector
from kerf_core.errors import WorkCancelled
from kerf_media import sniff_media_type
from kerf_optimizer.domain.workbench import Workbench
from memory_stage import TENANT, MemoryStore
from optimizer_doors import (
    NO_PICTURE,
    PICTURE,
    SETTINGS,
    SIZE,
    serving,
)


async def test_optimize_vectorize_plan_over_grpc() -> None:
    async with serving(MemoryStore()) as stub:
        burnable = await stub.Optimize(
            raster.OptimizeRequest(source=raster.Source(data=PICTURE), mode=raster.RASTER_MODE_SILHOUETTE, size=SIZE)
        )
        assert burnable.report.width_px == 200
        assert burnable.report.width_mm == pytest.approx(20)
        assert burnable.report.mode == raster.RASTER_MODE_SILHOUETTE
        traced = await stub.Vectorize(vector.VectorizeRequest(source=burnable.picture))
        assert traced.report.paths == 1
        assert traced.report.width_mm == 20
        planned = await stub.Plan(
            plan.PlanRequest(
                sources=[burnable.picture, traced.drawing],
                material="birch-3mm",
                operations=[
                    plan.Operation(input=0, kind=plan.OPERATION_KIND_ENGRAVE_RASTER),
                    plan.Operation(input=1, kind=plan.OPERATION_KIND_CUT),
                ],
            )
        )
    assert [sniff_media_type(file.content.data) for file in planned.files] == [
        "text/x-gcode",
        "image/svg+xml",
        "image/vnd.dxf",
        "image/png",
        "text/html",
    ]
    assert [file.media_type for file in planned.files] == [
        sniff_media_type(file.content.data) for file in planned.files
    ]
    assert planned.report.estimated_seconds > 1
    assert planned.report.burn_bounds.max_x_mm - planned.report.burn_bounds.min_x_mm < 20
    assert all(check.name and check.verdict for check in planned.report.checks)
    assert {preset.kind for preset in planned.report.presets} == {
        plan.OPERATION_KIND_ENGRAVE_RASTER,
        plan.OPERATION_KIND_CUT,
    }


async def test_large_answers_become_artifacts_of_the_caller() -> None:
    store = MemoryStore()
    source = await store.put(TENANT, PICTURE, "image/png")
    async with serving(store, inline_max_bytes=100) as stub:
        answer = await stub.Optimize(raster.OptimizeRequest(source=raster.Source(artifact=source.name), size=SIZE))
    assert not answer.picture.HasField("data")
    stored = await store.stat(TENANT, answer.picture.artifact.removeprefix("artifacts/"))
    assert (stored.media_type, stored.width_px) == ("image/png", 200)
    assert stored.width_mm == pytest.approx(20)


async def test_an_answer_with_many_files_stays_under_its_limit() -> None:
    async with serving(MemoryStore(), inline_max_bytes=12_000) as stub:
        burnable = await stub.Optimize(raster.OptimizeRequest(source=raster.Source(data=PICTURE), size=SIZE))
        engrave = plan.Operation(kind=plan.OPERATION_KIND_ENGRAVE_RASTER)
        request = plan.PlanRequest(sources=[burnable.picture], material="birch-3mm", operations=[engrave])
        planned = await stub.Plan(request)
    assert sum(len(file.content.data) for file in planned.files) <= 12_000
    assert any(file.content.HasField("artifact") for file in planned.files)


@pytest.mark.parametrize(
    "request_,reason",
    [
        (raster.OptimizeRequest(), "INVALID_FIELD"),
        (raster.OptimizeRequest(source=raster.Source(data=b"")), "PICTURE_UNREADABLE"),
        (raster.OptimizeRequest(source=raster.Source(data=NO_PICTURE)), "PICTURE_UNREADABLE"),
        (raster.OptimizeRequest(source=raster.Source(data=PICTURE[:-30])), "PICTURE_DAMAGED"),
        (
            raster.OptimizeRequest(source=raster.Source(data=PICTURE), size=raster.PhysicalSize(width_mm=-1)),
            "INVALID_FIELD",
        ),
        (
            raster.OptimizeRequest(source=raster.Source(data=PICTURE), size=raster.PhysicalSize(width_mm=0.001)),
            "SIZE_TOO_SMALL",
        ),
        (raster.OptimizeRequest(source=raster.Source(artifact="artifacts/" + "0" * 64)), "ARTIFACT_NOT_FOUND"),
    ],
)
async def test_wrong_calls_are_typed_and_leave_nothing(request_: raster.OptimizeRequest, reason: str) -> None:
    store = MemoryStore()
    async with serving(store) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Optimize(request_)
    assert caught.value.details() == reason
    assert not store.kept


async def test_an_artifact_that_is_too_large_is_not_fetched() -> None:
    store = MemoryStore()
    source = await store.put(TENANT, PICTURE, "image/png")
    source.size_bytes = 1 << 40
    async with serving(store) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Optimize(raster.OptimizeRequest(source=raster.Source(artifact=source.name)))
    assert caught.value.details() == "SOURCE_TOO_LARGE"


async def test_a_plan_needs_sources_kinds_and_formats() -> None:
    cut = plan.Operation(kind=plan.OPERATION_KIND_CUT)
    source = raster.Source(data=PICTURE)
    no_format = plan.OUTPUT_FORMAT_UNSPECIFIED
    async with serving(MemoryStore()) as stub:
        for request, reason in (
            (plan.PlanRequest(material="birch-3mm", operations=[cut]), "INVALID_FIELD"),
            (plan.PlanRequest(material="birch-3mm", operations=[plan.Operation()], sources=[source]), "INVALID_FIELD"),
            (
                plan.PlanRequest(material="birch-3mm", operations=[cut], sources=[source], outputs=[no_format]),
                "INVALID_FIELD",
            ),
            (plan.PlanRequest(material="birch-3mm", operations=[cut], sources=[source]), "NOT_A_RASTER"),
            (
                plan.PlanRequest(material="birch-3mm", operations=[cut], sources=[raster.Source(data=NO_PICTURE)]),
                "SOURCE_UNREADABLE",
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Plan(request)
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_plan_of_drawings_only_needs_no_sources() -> None:
    store = MemoryStore()
    font = await store.put(TENANT, b"\x00\x01\x00\x00 no font", "font/ttf")
    words = layout.TextDrawing(text="KERF", cap_height_mm=8)
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[plan.Operation(kind=plan.OPERATION_KIND_SCORE, drawing=0)],
        drawings=[layout.MadeDrawing(text=words)],
        outputs=[plan.OUTPUT_FORMAT_GCODE],
    )
    async with serving(store) as stub:
        assert (await stub.Plan(request)).report.burn_length_mm > 50
        request.sources.append(raster.Source(artifact=font.name))
        request.drawings[0].text.font_input = 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Plan(request)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "FONT_DAMAGED")


async def test_presets_are_listed_and_shown() -> None:
    async with serving(MemoryStore()) as stub:
        everything = await stub.ListPresets(pb.ListPresetsRequest())
        some = await stub.ListPresets(pb.ListPresetsRequest(material="birch-3mm"))
        shown = await stub.GetPreset(pb.GetPresetRequest(name=some.presets[0].name))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetPreset(pb.GetPresetRequest(name="none/such/thing"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert shown == some.presets[0]
    assert {preset.material for preset in some.presets} == {"birch-3mm"}
    assert len(everything.presets) > len(some.presets)
    assert list(everything.fonts) == ["kerf-stroke", "kerf-round"]
    assert any(material.blocked_reason for material in everything.materials)
    assert [machine.name for machine in everything.machines] == sorted(m.name for m in everything.machines)
    assert all(preset.kind and preset.source for preset in everything.presets)


async def test_presets_come_by_pages_of_what_was_asked_for() -> None:
    asked = pb.ListPresetsRequest(machine="grbl-diode-10w", kind=plan.OPERATION_KIND_CUT)
    pages: list[pb.ListPresetsResponse] = []
    async with serving(MemoryStore()) as stub:
        whole = await stub.ListPresets(asked)
        asked.page_size = 3
        while not pages or asked.page_token:
            pages.append(await stub.ListPresets(asked))
            asked.page_token = pages[-1].next_page_token
        for wrong in (
            pb.ListPresetsRequest(page_token="none/such/thing"),
            pb.ListPresetsRequest(material="paper", page_token=pages[0].next_page_token),
            pb.ListPresetsRequest(page_size=-1),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListPresets(wrong)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert {(p.machine, p.kind) for p in whole.presets} == {("grbl-diode-10w", plan.OPERATION_KIND_CUT)}
    assert [preset for page in pages for preset in page.presets] == list(whole.presets)
    assert len(pages) == -(-len(whole.presets) // 3) > 1
    assert (whole.next_page_token, bool(whole.machines)) == ("", True)
    assert [bool(page.materials) for page in pages] == [True] + [False] * (len(pages) - 1)
    assert max(page.ByteSize() for page in pages[1:]) < 3 * 400


class HeldWorkbench(Workbench):
    """Waits inside `optimize` until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(SETTINGS.limits())
        self.began = threading.Event()
        self.stopped = threading.Event()

    def optimize(self, data, settings, cancel):  # type: ignore[no-untyped-def]  # the signature is the parent's
        self.began.set()
        try:
            for _ in range(2000):
                cancel()
                threading.Event().wait(0.005)
        except WorkCancelled:
            self.stopped.set()
            raise
        raise AssertionError("nobody cancelled")


async def test_a_caller_who_leaves_stops_the_work_and_frees_the_slot() -> None:
    workbench = HeldWorkbench()
    async with serving(MemoryStore(), workbench=workbench) as stub:
        call = stub.Optimize(raster.OptimizeRequest(source=raster.Source(data=PICTURE)))
        assert await asyncio.to_thread(workbench.began.wait, 10)
        call.cancel()
        assert await asyncio.to_thread(workbench.stopped.wait, 10)
        await stub.Vectorize(vector.VectorizeRequest(source=raster.Source(data=PICTURE), size=SIZE), timeout=10)
