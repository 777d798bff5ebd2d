"""The methods of the job service that the client does not use: nobody serves them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from kerf.jobs.v1.job_service_pb2_grpc import JobServiceServicer


async def _refuse(context: Any) -> Any:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the client must not need it")


class Unserved(JobServiceServicer):
    """Refuses them."""

    async def CreateBatch(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        return await _refuse(context)

    async def GetBatch(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        return await _refuse(context)

    async def WatchBatch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 (gRPC's name)
        yield await _refuse(context)

    async def CancelBatch(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        return await _refuse(context)

    async def EstimateJob(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        return await _refuse(context)

    async def GetQueueStats(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        return await _refuse(context)

    async def WatchQueue(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 (gRPC's name)
        yield await _refuse(context)

    async def RetryDeadLetter(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        return await _refuse(context)

    async def RunJob(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 (gRPC's name)
        yield await _refuse(context)
