"""The direct door: gRPC messages to and from the domain, nothing else. A direct call is not durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import grpc

from kerf.captioner.v1 import captioner_pb2 as pb
from kerf.captioner.v1 import captioner_pb2_grpc
from kerf_captioner.domain.desk import FAULTS_OF_THE_PICTURE, CaptionDesk, Captioned, Check
from kerf_captioner.domain.requests import CaptionWish, raise_violations
from kerf_captioner.messages import read_options, write_analysis, write_caption, write_listing
from kerf_core.auth import current_tenant
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import InvalidArgument, Violation
from kerf_core.stages import CancelToken

R = TypeVar("R")

MAX_BATCH_BYTES = 3 << 20
"""Bytes of all pictures that one batch carries itself, as the contract says."""


class CaptionerServicer(captioner_pb2_grpc.CaptionerServiceServicer):
    """Serves `kerf.captioner.v1.CaptionerService` from the same desk as the job stages.

    A caller who leaves cancels at the work's next step.
    """

    def __init__(self, desk: CaptionDesk, pool: ComputePool, blobs: BlobStore) -> None:
        self._desk = desk
        self._pool = pool
        self._blobs = blobs

    async def Caption(
        self,
        request: pb.CaptionRequest,
        context: grpc.aio.ServicerContext[pb.CaptionRequest, pb.CaptionResponse],
    ) -> pb.CaptionResponse:
        """Caption one picture."""
        wish = read_options(request.options)
        self._desk.admit(wish)
        return await self._caption("picture", request.picture, wish)

    async def BatchCaption(
        self,
        request: pb.BatchCaptionRequest,
        context: grpc.aio.ServicerContext[pb.BatchCaptionRequest, pb.BatchCaptionResponse],
    ) -> AsyncIterator[pb.BatchCaptionResponse]:
        """Caption many, each in a slot of its own, so that others get their turn in between."""
        wish = read_options(request.options)
        self._desk.admit(wish)
        _check_batch(request.pictures)
        for item, picture in enumerate(request.pictures):
            try:
                caption = await self._caption(f"pictures[{item}]", picture, wish)
            except FAULTS_OF_THE_PICTURE as error:
                failure = pb.CaptionFailure(reason=error.reason, message=error.message)
                yield pb.BatchCaptionResponse(item=item, failure=failure)
            else:
                yield pb.BatchCaptionResponse(item=item, caption=caption)

    async def AnalyzeImage(
        self,
        request: pb.AnalyzeImageRequest,
        context: grpc.aio.ServicerContext[pb.AnalyzeImageRequest, pb.AnalyzeImageResponse],
    ) -> pb.AnalyzeImageResponse:
        """Measure a picture."""
        data = await self._fetch("picture", request.picture)
        analysis, _ = await self._compute(lambda check: self._desk.analyse(data, request.colors, check))
        return write_analysis(analysis)

    async def GetModelInfo(
        self,
        request: pb.GetModelInfoRequest,
        context: grpc.aio.ServicerContext[pb.GetModelInfoRequest, pb.GetModelInfoResponse],
    ) -> pb.GetModelInfoResponse:
        """List the models of this worker."""
        shelf = self._desk.shelf
        listings = await asyncio.to_thread(shelf.listings)
        return pb.GetModelInfoResponse(
            models=[write_listing(listing, is_default=listing.name == shelf.default_model) for listing in listings]
        )

    async def _caption(self, field: str, picture: pb.Picture, wish: CaptionWish) -> pb.CaptionResponse:
        data = await self._fetch(field, picture)
        tenant = current_tenant()

        def work(check: Check) -> Captioned:
            return self._desk.caption(data, wish, tenant, check)

        captioned, queue_seconds = await self._compute(work)
        return write_caption(captioned, queue_seconds)

    async def _fetch(self, field: str, picture: pb.Picture) -> bytes:
        kind = picture.WhichOneof("kind")
        if kind == "data":
            return picture.data
        if kind is None:
            raise InvalidArgument.of_field(field, "a direct call needs data or an artifact")
        tenant, sha256 = current_tenant(), picture.artifact.removeprefix("artifacts/")
        found = await self._blobs.stat(tenant, sha256)
        if found.size_bytes > self._desk.max_picture_bytes:
            raise InvalidArgument.of_field(
                field, f"{found.size_bytes:,} bytes; at most {self._desk.max_picture_bytes:,}", "PICTURE_TOO_LARGE"
            )
        return await self._blobs.get(tenant, sha256)

    async def _compute(self, work: Callable[[Check], R]) -> tuple[R, float]:
        """Run `work` in a slot and a thread; returns what it gave and the seconds that it waited for the slot.

        If the caller leaves, the work is told to stop, and the slot is kept until it has.
        """
        token = CancelToken()
        asked = time.monotonic()
        async with self._pool.slot():
            queue_seconds = time.monotonic() - asked
            running = asyncio.ensure_future(self._pool.run(work, token.raise_if_cancelled))
            try:
                return await asyncio.shield(running), queue_seconds
            except asyncio.CancelledError:
                token.cancel("the caller left")
                await asyncio.wait([running])
                if not running.cancelled():
                    running.exception()  # retrieved: nobody else will ask
                raise


def _check_batch(pictures: Sequence[pb.Picture]) -> None:
    """Raises InvalidArgument that names every picture without content, and a batch that is too large."""
    violations = [
        Violation(f"pictures[{item}]", "a direct call needs data or an artifact")
        for item, picture in enumerate(pictures)
        if picture.WhichOneof("kind") is None
    ]
    total_bytes = sum(len(picture.data) for picture in pictures)
    if total_bytes > MAX_BATCH_BYTES:
        text = f"{total_bytes:,} bytes in all, at most {MAX_BATCH_BYTES:,}; send larger ones as artifacts"
        violations.append(Violation("pictures", text))
    raise_violations(tuple(violations))
