"""A store and a stage in memory, and a real gRPC server, for the tests of both doors."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar, cast

import grpc
import numpy as np
from numpy.typing import NDArray

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Stage
from kerf.optimizer.v1 import optimizer_pb2_grpc
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf_core.auth import Caller, set_caller
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import KerfError, NotFound
from kerf_core.grpc_calls import validate
from kerf_core.rpc_status import reason_of, status_of
from kerf_core.stages import CancelToken, JobId, TenantId
from kerf_media import encode_png_gray, sniff_media_type
from kerf_optimizer.domain.workbench import Workbench
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

    async def intercept_service(self, continuation, handler_call_details):  # type: ignore[no-untyped-def]  # its type is the interceptor's
        handler = await continuation(handler_call_details)

        async def call(request, context):  # type: ignore[no-untyped-def]  # its type is the interceptor's
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
