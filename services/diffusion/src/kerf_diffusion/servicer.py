"""The direct door: gRPC messages to and from the domain, nothing else."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator

import grpc

from kerf.diffusion.v1 import diffusion_pb2 as pb
from kerf.diffusion.v1 import diffusion_pb2_grpc
from kerf_core.auth import current_tenant
from kerf_core.compute import ComputePool
from kerf_core.stages import CancelToken
from kerf_diffusion.adapters.lora_artifacts import LoraArtifacts, artifacts_among
from kerf_diffusion.domain.engine import ModelListing, Picture
from kerf_diffusion.domain.requests import SEED_RANGE, LoraWeight, PictureRequest, Scheduler
from kerf_diffusion.domain.studio import Drawing, Studio

CHUNK_BYTES = 1 << 20
"""Largest piece of a picture in one message."""
_WAITING_MESSAGES = 64
"""With more than so many messages waiting for a slow client, progress and previews are left out."""

_SCHEDULERS = {
    pb.SCHEDULER_UNSPECIFIED: Scheduler.MODEL_DEFAULT,
    pb.SCHEDULER_DDIM: Scheduler.DDIM,
    pb.SCHEDULER_DPMPP_2M: Scheduler.DPMPP_2M,
    pb.SCHEDULER_DPMPP_2M_KARRAS: Scheduler.DPMPP_2M_KARRAS,
    pb.SCHEDULER_EULER: Scheduler.EULER,
    pb.SCHEDULER_EULER_ANCESTRAL: Scheduler.EULER_ANCESTRAL,
    pb.SCHEDULER_UNIPC: Scheduler.UNIPC,
}


def read_request(message: pb.GenerateRequest, seed: int) -> PictureRequest:
    """The domain's form of a request; `seed` serves where the message has none. An unknown scheduler is the default."""
    return PictureRequest(
        prompt=message.prompt,
        seed=message.seed if message.HasField("seed") else seed,
        negative_prompt=message.negative_prompt,
        model=message.model,
        width_px=message.width_px,
        height_px=message.height_px,
        steps=message.steps,
        guidance=message.guidance if message.HasField("guidance") else None,
        scheduler=_SCHEDULERS.get(message.scheduler, Scheduler.MODEL_DEFAULT),
        images=message.images or 1,
        loras=tuple(LoraWeight(lora.name, lora.weight) for lora in message.loras),
        preview_every_steps=message.preview_every_steps,
    )


class DiffusionServicer(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Serves `kerf.diffusion.v1.DiffusionService` from the same studio as the job stages."""

    def __init__(self, studio: Studio, pool: ComputePool, loras: LoraArtifacts) -> None:
        self._studio = studio
        self._loras = loras
        self._pool = pool
        self._works: set[asyncio.Task[None]] = set()

    async def Generate(
        self,
        request: pb.GenerateRequest,
        context: grpc.aio.ServicerContext[pb.GenerateRequest, pb.GenerateResponse],
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Stream progress, previews and pictures; a client that leaves cancels within one denoising step."""
        wanted = read_request(request, secrets.randbelow(SEED_RANGE))
        if artifacts := artifacts_among(wanted.loras):
            await self._loras.fetch(current_tenant(), artifacts)
        await asyncio.to_thread(self._studio.admit, wanted)
        outbox = _Outbox(asyncio.get_running_loop())
        work = asyncio.create_task(self._work(wanted, outbox))
        # The task outlives a client that leaves: it ends by itself within one step, and holds its slot until then.
        self._works.add(work)
        work.add_done_callback(self._forget)
        try:
            while (message := await outbox.messages.get()) is not None:
                yield message
            await work
        finally:
            outbox.cancel.cancel("the client left the stream")

    async def ListLoadedModels(
        self,
        request: pb.ListLoadedModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListLoadedModelsRequest, pb.ListLoadedModelsResponse],
    ) -> pb.ListLoadedModelsResponse:
        """List the models of this worker."""
        shelf = self._studio.shelf
        listings = await asyncio.to_thread(shelf.listings)
        return pb.ListLoadedModelsResponse(
            models=[_write_listing(listing, listing.name == shelf.default_model) for listing in listings]
        )

    def _forget(self, work: asyncio.Task[None]) -> None:
        self._works.discard(work)
        if not work.cancelled():
            work.exception()  # retrieved: if the client is gone, nobody else will

    async def _work(self, wanted: PictureRequest, outbox: _Outbox) -> None:
        asked = time.monotonic()
        try:
            async with self._pool.slot():
                queue_seconds = time.monotonic() - asked
                check = outbox.cancel.raise_if_cancelled
                check()
                drawing = await self._pool.run(self._studio.draw, wanted, outbox, check)
            outbox.messages.put_nowait(_write_result(drawing, queue_seconds))
        finally:
            outbox.messages.put_nowait(None)


class _Outbox:
    """What the compute thread tells, on its way to the client: a `Listener`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.messages: asyncio.Queue[pb.GenerateResponse | None] = asyncio.Queue()
        self.cancel = CancelToken()
        self._loop = loop

    def progress(self, step: int, total: int, eta_seconds: float, message: str) -> None:
        """See `Listener`."""
        done = pb.StepProgress(step=step, total=total, eta_seconds=eta_seconds)
        self._send_if_room(pb.GenerateResponse(progress=done))

    def preview(self, image: int, step: int, png: bytes) -> None:
        """See `Listener`."""
        self._send_if_room(pb.GenerateResponse(preview=pb.Preview(image=image, step=step, png=png)))

    def picture(self, image: int, picture: Picture) -> None:
        """See `Listener`."""
        for chunk in _chunks(image, picture):
            self._loop.call_soon_threadsafe(self.messages.put_nowait, pb.GenerateResponse(image=chunk))

    def _send_if_room(self, message: pb.GenerateResponse) -> None:
        if self.messages.qsize() < _WAITING_MESSAGES:
            self._loop.call_soon_threadsafe(self.messages.put_nowait, message)


def _chunks(image: int, picture: Picture) -> Iterator[pb.ImageChunk]:
    for start in range(0, len(picture.png), CHUNK_BYTES):
        end = start + CHUNK_BYTES
        yield pb.ImageChunk(image=image, data=picture.png[start:end], last=end >= len(picture.png), seed=picture.seed)


def _write_result(drawing: Drawing, queue_seconds: float) -> pb.GenerateResponse:
    result = pb.GenerateResult(
        model=drawing.model.name,
        model_sha256=drawing.model.sha256,
        seed=drawing.seeds[0],
        numeric_class=drawing.numeric_class,
        unknown_words=drawing.unknown_words,
        warnings=drawing.warnings,
        device_seconds=drawing.device_seconds,
        queue_seconds=queue_seconds,
    )
    return pb.GenerateResponse(result=result)


def _write_listing(listing: ModelListing, is_default: bool) -> pb.LoadedModel:
    return pb.LoadedModel(
        name=listing.name,
        architecture=listing.architecture,
        loaded=listing.loaded,
        sha256=listing.sha256,
        native_size_px=listing.native_size_px,
        is_default=is_default,
        description=listing.description,
    )
