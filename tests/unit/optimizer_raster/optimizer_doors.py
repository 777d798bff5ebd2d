"""Stages to run and a real gRPC server, for the tests of both doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import grpc
import numpy as np
from numpy.typing import NDArray

from kerf.jobs.v1.job_pb2 import Stage
from kerf.optimizer.v1 import optimizer_pb2_grpc
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf_core.auth import Caller, set_caller
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import KerfError
from kerf_core.grpc_calls import validate
from kerf_core.rpc_status import reason_of, status_of
from kerf_media import encode_png_gray, sniff_media_type
from kerf_optimizer.domain.workbench import Workbench
from kerf_optimizer.servicer import OptimizerServicer
from kerf_optimizer.settings import OptimizerSettings
from memory_stage import TENANT, MemoryStage, MemoryStore

SETTINGS = OptimizerSettings()
WORKBENCH = Workbench(SETTINGS.limits())


def disc(side_px: int = 120) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side_px, :side_px] - (side_px - 1) / 2
    return np.where(np.hypot(x, y) < side_px / 3, 30, 250).astype(np.uint8)


PICTURE = encode_png_gray(disc())
NO_PICTURE = b"just words\n"
SIZE = raster.PhysicalSize(width_mm=20)


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


async def staged(stage: Stage, *inputs: list[bytes]) -> MemoryStage:
    store = MemoryStore()
    lists = [[await store.put(TENANT, data, sniff_media_type(data)) for data in items] for items in inputs]
    return MemoryStage(stage, lists, store)
