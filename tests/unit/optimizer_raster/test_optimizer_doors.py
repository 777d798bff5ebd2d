"""Both doors, from the same workbench: gRPC calls and job stages. The store is a folder in memory, the rest is real."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar, cast

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import NoopTask, Stage
from kerf.optimizer.v1 import optimizer_pb2 as pb
from kerf.optimizer.v1 import optimizer_pb2_grpc
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf.optimizer.v1 import vector_pb2 as vector
from kerf_core.auth import Caller, set_caller
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import Code, InvalidArgument, KerfError, NotFound, Unavailable, WorkCancelled
from kerf_core.grpc_calls import validate
from kerf_core.rpc_status import reason_of, status_of
from kerf_core.stages import CancelToken, JobId, TenantId
from kerf_media import decode_picture, encode_png_gray, sniff_media_type
from kerf_optimizer.domain.workbench import Workbench
from kerf_optimizer.handler import OptimizerHandler
from kerf_optimizer.servicer import OptimizerServicer
from kerf_optimizer.settings import OptimizerSettings

P = ParamSpec("P")
R = TypeVar("R")
TENANT = TenantId("tenant-1")
SETTINGS = OptimizerSettings()
WORKBENCH = Workbench(SETTINGS.limits())


def disc(side_px: int = 120) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side_px, :side_px] - (side_px - 1) / 2
    return np.where(np.hypot(x, y) < side_px / 3, 30, 250).astype(np.uint8)


PICTURE = encode_png_gray(disc())
NO_PICTURE = b"just words\n"
SIZE = raster.PhysicalSize(width_mm=20)


class MemoryStore:
    """What `BlobStore` promises, without S3."""

    def __init__(self) -> None:
        self.kept: dict[tuple[TenantId, str], tuple[bytes, Artifact]] = {}

    async def put(
        self,
        tenant: TenantId,
        data: bytes,
        media_type: str,
        *,
        size_px: tuple[int, int] = (0, 0),
        size_mm: tuple[float, float] = (0.0, 0.0),
    ) -> Artifact:
        sha256 = hashlib.sha256(data).hexdigest()
        artifact = Artifact(
            name=f"artifacts/{sha256}",
            sha256=sha256,
            media_type=media_type,
            size_bytes=len(data),
            width_px=size_px[0],
            height_px=size_px[1],
            width_mm=size_mm[0],
            height_mm=size_mm[1],
        )
        self.kept[tenant, sha256] = (data, artifact)
        return artifact

    async def get(self, tenant: TenantId, sha256: str) -> bytes:
        await self.stat(tenant, sha256)
        return self.kept[tenant, sha256][0]

    async def stat(self, tenant: TenantId, sha256: str) -> Artifact:
        if (tenant, sha256) not in self.kept:
            raise NotFound("ARTIFACT_NOT_FOUND", f"artifacts/{sha256} does not exist")
        return self.kept[tenant, sha256][1]


class Admission(grpc.aio.ServerInterceptor):
    """The parts of kerf_core's interceptor that need no NATS: the caller, validation, the error table."""

    async def intercept_service(self, continuation, handler_call_details):  # type: ignore[no-untyped-def]
        handler = await continuation(handler_call_details)

        async def call(request, context):  # type: ignore[no-untyped-def]
            set_caller(Caller(TENANT))
            try:
                validate(request)
                return await handler.unary_unary(request, context)
            except KerfError as error:
                await context.abort(grpc.StatusCode[error.code.name], reason_of(status_of(error)))

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


@asynccontextmanager
async def serving(
    store: MemoryStore, *, inline_max_bytes: int = SETTINGS.inline_max_bytes, workbench: Workbench = WORKBENCH
) -> AsyncIterator[optimizer_pb2_grpc.OptimizerServiceAsyncStub]:
    pool = ComputePool(1)
    server = grpc.aio.server(interceptors=[Admission()])
    servicer = OptimizerServicer(workbench, pool, cast(BlobStore, store), inline_max_bytes)
    optimizer_pb2_grpc.add_OptimizerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield optimizer_pb2_grpc.OptimizerServiceStub(channel)
    finally:
        await server.stop(None)
        pool.close()


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
    async with serving(MemoryStore()) as stub:
        for request, reason in (
            (plan.PlanRequest(material="birch-3mm", operations=[cut]), "INVALID_FIELD"),
            (plan.PlanRequest(material="birch-3mm", operations=[plan.Operation()], sources=[source]), "INVALID_FIELD"),
            (plan.PlanRequest(material="birch-3mm", operations=[cut], sources=[source], outputs=[plan.OUTPUT_FORMAT_UNSPECIFIED]), "INVALID_FIELD"),
            (plan.PlanRequest(material="birch-3mm", operations=[cut], sources=[source]), "NOT_A_RASTER"),
            (
                plan.PlanRequest(material="birch-3mm", operations=[cut], sources=[raster.Source(data=NO_PICTURE)]),
                "SOURCE_UNREADABLE",
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Plan(request)
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


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
    assert any(material.blocked_reason for material in everything.materials)
    assert [machine.name for machine in everything.machines] == sorted(m.name for m in everything.machines)
    assert all(preset.kind and preset.source for preset in everything.presets)


class HeldWorkbench(Workbench):
    """Waits inside `optimize` until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(SETTINGS.limits())
        self.began = threading.Event()
        self.stopped = threading.Event()

    def optimize(self, data, settings, cancel):  # type: ignore[no-untyped-def]
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


@dataclass
class MemoryStage:
    """A `StageContext` over a `MemoryStore`."""

    stage: Stage
    inputs: list[list[Artifact]]
    store_: MemoryStore
    tenant: TenantId = TENANT
    job: JobId = JobId("job-1")  # noqa: RUF009 - a string
    attempt: int = 1
    cancel: CancelToken = field(default_factory=CancelToken)
    steps: list[tuple[int, int]] = field(default_factory=list)

    async def read(self, artifact: Artifact) -> bytes:
        return await self.store_.get(self.tenant, artifact.sha256)

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
        self.cancel.raise_if_cancelled()
        artifact = await self.store_.put(self.tenant, data, media_type, size_px=size_px, size_mm=size_mm)
        artifact.labels.update(labels or {})
        artifact.rebuildable = rebuildable
        return artifact

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(work, *args, **kwargs)

    def progress(self, step: int, total: int, *, eta_seconds: float = -1.0, message: str = "") -> None:
        self.steps.append((step, total))

    def preview(self, image: int, step: int, png: bytes) -> None:
        raise AssertionError("the optimizer has no previews")


async def staged(stage: Stage, *inputs: list[bytes]) -> MemoryStage:
    store = MemoryStore()
    lists = [[await store.put(TENANT, data, sniff_media_type(data)) for data in items] for items in inputs]
    return MemoryStage(stage, lists, store)


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
