"""The direct door: gRPC messages to and from the domain, nothing else. A direct call is not durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import grpc

from kerf.optimizer.v1 import optimizer_pb2 as pb
from kerf.optimizer.v1 import optimizer_pb2_grpc, plan_pb2, raster_pb2, vector_pb2
from kerf_core.auth import current_tenant
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import InvalidArgument
from kerf_core.stages import CancelToken
from kerf_optimizer.domain.planning import PlannedBurn
from kerf_optimizer.domain.presets import get_preset, list_presets, machines, materials
from kerf_optimizer.domain.presets.grbl_dump import read_grbl_dump
from kerf_optimizer.domain.test_pieces import (
    GridFiles,
    KerfFiles,
    KerfSpec,
    make_kerf_test,
    make_test_grid,
)
from kerf_optimizer.domain.workbench import BurnablePicture, Cancel, TracedDrawing, Workbench
from kerf_optimizer.messages import (
    WRITTEN_FORMATS,
    read_formats,
    read_optimize,
    read_plan,
    read_vectorize,
    write_plan_report,
    write_raster_report,
    write_vector_report,
)
from kerf_optimizer.piece_messages import (
    read_grid,
    read_laser_head,
    write_cell,
    write_dumped,
)
from kerf_optimizer.preset_messages import KINDS, page_of, write_machine, write_material, write_preset

R = TypeVar("R")


class OptimizerServicer(optimizer_pb2_grpc.OptimizerServiceServicer):
    """Serves `kerf.optimizer.v1.OptimizerService` from the same workbench as the job stages.

    An answer carries up to `inline_max_bytes` of content itself; what does not fit is stored as an artifact of the
    caller's tenant. A caller who leaves cancels at the work's next step.
    """

    def __init__(self, workbench: Workbench, pool: ComputePool, blobs: BlobStore, inline_max_bytes: int) -> None:
        self._workbench = workbench
        self._pool = pool
        self._blobs = blobs
        self._inline_max_bytes = inline_max_bytes

    async def Optimize(
        self,
        request: raster_pb2.OptimizeRequest,
        context: grpc.aio.ServicerContext[raster_pb2.OptimizeRequest, raster_pb2.OptimizeResponse],
    ) -> raster_pb2.OptimizeResponse:
        """Prepare a picture."""
        settings = read_optimize(request)
        data = await self._fetch("source", request.source)

        def work(cancel: Cancel) -> BurnablePicture:
            return self._workbench.optimize(data, settings, cancel)

        made = await self._compute(work)
        report, outbox = made.report, _Outbox(self._blobs, self._inline_max_bytes)

        async def put(png: bytes) -> raster_pb2.Source:
            size_px, size_mm = (report.width_px, report.height_px), (report.width_mm, report.height_mm)
            return await outbox.put(png, "image/png", size_px=size_px, size_mm=size_mm)

        return raster_pb2.OptimizeResponse(
            picture=await put(made.png),
            report=write_raster_report(report),
            layers=[await put(png) for png in made.layers],
            burn_preview=None if made.preview is None else await put(made.preview),
        )

    async def Vectorize(
        self,
        request: vector_pb2.VectorizeRequest,
        context: grpc.aio.ServicerContext[vector_pb2.VectorizeRequest, vector_pb2.VectorizeResponse],
    ) -> vector_pb2.VectorizeResponse:
        """Trace a picture."""
        settings = read_vectorize(request)
        data = await self._fetch("source", request.source)

        def work(cancel: Cancel) -> TracedDrawing:
            return self._workbench.vectorize(data, settings, cancel)

        made = await self._compute(work)
        drawing = await _Outbox(self._blobs, self._inline_max_bytes).put(
            made.svg, "image/svg+xml", size_mm=(made.report.width_mm, made.report.height_mm)
        )
        return vector_pb2.VectorizeResponse(drawing=drawing, report=write_vector_report(made.report))

    async def Plan(
        self,
        request: plan_pb2.PlanRequest,
        context: grpc.aio.ServicerContext[plan_pb2.PlanRequest, plan_pb2.PlanResponse],
    ) -> plan_pb2.PlanResponse:
        """Plan a burn and write its machine files."""
        spec = read_plan(request)
        if not request.sources and not request.drawings:
            raise InvalidArgument.of_field("sources", "a direct call needs the pictures and drawings to burn.")
        sources = [await self._fetch(f"sources[{i}]", source) for i, source in enumerate(request.sources)]

        def work(cancel: Cancel) -> PlannedBurn:
            return self._workbench.plan(sources, spec, cancel)

        made = await self._compute(work)
        files = await self._planned_files(made)
        return plan_pb2.PlanResponse(files=files, report=write_plan_report(made.report))

    async def ListPresets(
        self,
        request: pb.ListPresetsRequest,
        context: grpc.aio.ServicerContext[pb.ListPresetsRequest, pb.ListPresetsResponse],
    ) -> pb.ListPresetsResponse:
        """List presets by pages, and with the first one all machine profiles, materials and fonts."""
        found = list_presets(request.machine, request.material, KINDS.get(request.kind))
        page, token = page_of(found, request.page_size, request.page_token)
        first = not request.page_token
        return pb.ListPresetsResponse(
            presets=[write_preset(preset) for preset in page],
            machines=[write_machine(machine) for machine in machines()] if first else [],
            materials=[write_material(material) for material in materials()] if first else [],
            fonts=self._workbench.fonts.names() if first else [],
            next_page_token=token,
        )

    async def GetPreset(
        self,
        request: pb.GetPresetRequest,
        context: grpc.aio.ServicerContext[pb.GetPresetRequest, plan_pb2.Preset],
    ) -> plan_pb2.Preset:
        """Show one preset."""
        return write_preset(get_preset(request.name))

    async def MakeTestGrid(
        self,
        request: pb.MakeTestGridRequest,
        context: grpc.aio.ServicerContext[pb.MakeTestGridRequest, pb.MakeTestGridResponse],
    ) -> pb.MakeTestGridResponse:
        """Plan a power/speed grid."""
        spec, outputs = read_grid(request), read_formats(request.outputs)
        limits = self._workbench.limits.plan

        def work(cancel: Cancel) -> GridFiles:
            return make_test_grid(request.machine, request.material, spec, outputs, limits, cancel)

        made = await self._compute(work)
        return pb.MakeTestGridResponse(
            files=await self._planned_files(made.proven),
            report=write_plan_report(made.proven.report),
            cells=[write_cell(cell) for cell in made.cells],
        )

    async def MakeKerfTest(
        self,
        request: pb.MakeKerfTestRequest,
        context: grpc.aio.ServicerContext[pb.MakeKerfTestRequest, pb.MakeKerfTestResponse],
    ) -> pb.MakeKerfTestResponse:
        """Plan a strip that measures the kerf."""
        outputs, limits = read_formats(request.outputs), self._workbench.limits.plan
        strip = KerfSpec(request.pieces, request.piece_mm, request.height_mm)

        def work(cancel: Cancel) -> KerfFiles:
            return make_kerf_test(request.machine, request.material, strip, outputs, limits, cancel)

        made = await self._compute(work)
        return pb.MakeKerfTestResponse(
            files=await self._planned_files(made.proven),
            report=write_plan_report(made.proven.report),
            pieces=made.pieces,
            nominal_length_mm=made.nominal_length_mm,
            instructions=made.instructions,
        )

    async def ReadMachineProfile(
        self,
        request: pb.ReadMachineProfileRequest,
        context: grpc.aio.ServicerContext[pb.ReadMachineProfileRequest, pb.ReadMachineProfileResponse],
    ) -> pb.ReadMachineProfileResponse:
        """Read a machine profile from GRBL's settings."""
        head = read_laser_head(request)
        return write_dumped(await self._compute(lambda cancel: read_grbl_dump(request.dump, head)))

    async def _planned_files(self, planned: PlannedBurn) -> list[plan_pb2.PlannedFile]:
        outbox = _Outbox(self._blobs, self._inline_max_bytes)
        return [
            plan_pb2.PlannedFile(
                format=WRITTEN_FORMATS[file.format],
                filename=file.filename,
                media_type=file.media_type,
                content=await outbox.put(file.data, file.media_type, size_px=file.size_px),
            )
            for file in planned.files
        ]

    async def _fetch(self, field: str, source: raster_pb2.Source) -> bytes:
        kind = source.WhichOneof("kind")
        if kind == "data":
            return source.data
        if kind is None:
            raise InvalidArgument.of_field(field, "a direct call needs data or an artifact.")
        tenant, sha256 = current_tenant(), source.artifact.removeprefix("artifacts/")
        found = await self._blobs.stat(tenant, sha256)
        if found.size_bytes > self._workbench.max_source_bytes:
            raise InvalidArgument.of_field(
                field, f"{found.size_bytes:,} bytes; at most {self._workbench.max_source_bytes:,}.", "SOURCE_TOO_LARGE"
            )
        return await self._blobs.get(tenant, sha256)

    async def _compute(self, work: Callable[[Cancel], R]) -> R:
        """Run `work` in a slot and a thread. If the caller leaves, tell it to stop and wait until it has."""
        token = CancelToken()
        async with self._pool.slot():
            running = asyncio.ensure_future(self._pool.run(work, token.raise_if_cancelled))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                token.cancel("the caller left")
                await asyncio.wait([running])
                if not running.cancelled():
                    running.exception()  # retrieved: the caller is gone, nobody else will
                raise


class _Outbox:
    """Puts content into one answer as long as it fits, and into the artifact store otherwise."""

    def __init__(self, blobs: BlobStore, room_bytes: int) -> None:
        self._blobs = blobs
        self._room_bytes = room_bytes

    async def put(
        self,
        data: bytes,
        media_type: str,
        *,
        size_px: tuple[int, int] = (0, 0),
        size_mm: tuple[float, float] = (0.0, 0.0),
    ) -> raster_pb2.Source:
        if len(data) <= self._room_bytes:
            self._room_bytes -= len(data)
            return raster_pb2.Source(data=data)
        artifact = await self._blobs.put(current_tenant(), data, media_type, size_px=size_px, size_mm=size_mm)
        return raster_pb2.Source(artifact=artifact.name)
