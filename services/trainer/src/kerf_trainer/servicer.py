"""The direct door: gRPC messages to and from the domain, nothing else. A direct call is not durable."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import grpc

from kerf.trainer.v1 import trainer_pb2 as pb
from kerf.trainer.v1 import trainer_pb2_grpc
from kerf_core.auth import current_tenant
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.jobs.checkpoints import CheckpointStore
from kerf_core.jobs.names import JobRef
from kerf_core.stages import CancelToken, JobId, TenantId
from kerf_trainer.adapters.datasets import DatasetReader
from kerf_trainer.domain.presets import PRESETS
from kerf_trainer.domain.workshop import FinishedTraining, PreparedTraining, TrainingOrder, Workshop
from kerf_trainer.handler import LORA_MEDIA_TYPE
from kerf_trainer.messages import read_dataset, read_order, write_defects, write_interval, write_preset

_WAITING_MESSAGES = 64
"""With more than so many messages waiting for a slow client, progress is left out."""
_LOOKERS = 2
"""Datasets that are looked at outside the slots at once: each is in memory as a whole."""
_SEED_RANGE = 1 << 31


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Serves `kerf.trainer.v1.TrainerService` from the same workshop as the job stages."""

    def __init__(self, workshop: Workshop, reader: DatasetReader, pool: ComputePool, blobs: BlobStore) -> None:
        self._workshop = workshop
        self._reader = reader
        self._pool = pool
        self._blobs = blobs
        self._lookers = asyncio.Semaphore(_LOOKERS)
        self._works: set[asyncio.Task[None]] = set()

    async def LintDataset(
        self,
        request: pb.LintDatasetRequest,
        context: grpc.aio.ServicerContext[pb.LintDatasetRequest, pb.LintDatasetResponse],
    ) -> pb.LintDatasetResponse:
        """Every defect at once."""
        async with self._lookers:
            dataset = await read_dataset(request.dataset, current_tenant(), self._reader)
            report = await asyncio.to_thread(self._workshop.lint, dataset)
        return pb.LintDatasetResponse(defects=write_defects(report), pairs=len(report.pairs))

    async def EstimateTraining(
        self,
        request: pb.EstimateTrainingRequest,
        context: grpc.aio.ServicerContext[pb.EstimateTrainingRequest, pb.EstimateTrainingResponse],
    ) -> pb.EstimateTrainingResponse:
        """Time and memory before anything is trained."""
        async with self._lookers:
            order = await self._read(request.training)
            found, steps = await asyncio.to_thread(self._workshop.estimate, order)
        return pb.EstimateTrainingResponse(
            seconds=write_interval(found.seconds),
            peak_memory_bytes=write_interval(found.peak_memory_bytes),
            steps=steps,
            basis=found.basis,
        )

    async def Train(
        self,
        request: pb.TrainRequest,
        context: grpc.aio.ServicerContext[pb.TrainRequest, pb.TrainResponse],
    ) -> AsyncIterator[pb.TrainResponse]:
        """Stream progress and the result; a client that leaves cancels within one step, and nothing is stored."""
        async with self._lookers:
            order = await self._read(request)
            prepared = await asyncio.to_thread(self._workshop.prepare, order)
        outbox = _Outbox(asyncio.get_running_loop())
        work = asyncio.create_task(self._work(prepared, outbox, current_tenant()))
        # The task outlives a client that leaves: it ends by itself within one step, and holds its slot until then.
        self._works.add(work)
        work.add_done_callback(self._forget)
        try:
            while (message := await outbox.messages.get()) is not None:
                yield message
            await work
        finally:
            outbox.cancel.cancel("the client left the stream")

    async def ListPresets(
        self,
        request: pb.ListPresetsRequest,
        context: grpc.aio.ServicerContext[pb.ListPresetsRequest, pb.ListPresetsResponse],
    ) -> pb.ListPresetsResponse:
        """All presets."""
        return pb.ListPresetsResponse(presets=[write_preset(preset) for _, preset in sorted(PRESETS.items())])

    async def ListCheckpoints(
        self,
        request: pb.ListCheckpointsRequest,
        context: grpc.aio.ServicerContext[pb.ListCheckpointsRequest, pb.ListCheckpointsResponse],
    ) -> pb.ListCheckpointsResponse:
        """What a job of the caller's tenant could go on from."""
        ref = JobRef(current_tenant(), JobId(request.job.removeprefix("jobs/")))
        folder = f"checkpoints/{ref.tenant}/{ref.job}/"
        stages = sorted({key.removeprefix(folder).split("/")[0] for key in await self._blobs.list_objects(folder)})
        saved = [entry for stage in stages for entry in await CheckpointStore(self._blobs, ref, stage).committed()]
        return pb.ListCheckpointsResponse(
            checkpoints=[pb.TrainingCheckpoint(step=entry.step, size_bytes=entry.size_bytes) for entry in saved]
        )

    async def _read(self, request: pb.TrainRequest) -> TrainingOrder:
        dataset = await read_dataset(request.dataset, current_tenant(), self._reader)
        return read_order(request, dataset, secrets.randbelow(_SEED_RANGE))

    def _forget(self, work: asyncio.Task[None]) -> None:
        self._works.discard(work)
        if not work.cancelled():
            work.exception()  # retrieved: if the client is gone, nobody else will

    async def _work(self, prepared: PreparedTraining, outbox: _Outbox, tenant: TenantId) -> None:
        try:
            async with self._pool.slot():
                check = outbox.cancel.raise_if_cancelled
                check()
                finished = await self._pool.run(self._workshop.train, prepared, outbox, check)
            outbox.messages.put_nowait(pb.TrainResponse(result=await self._store(finished, outbox, tenant)))
        finally:
            outbox.messages.put_nowait(None)

    async def _store(self, finished: FinishedTraining, outbox: _Outbox, tenant: TenantId) -> pb.TrainResult:
        outbox.cancel.raise_if_cancelled()
        lora = await self._blobs.put(tenant, finished.lora, LORA_MEDIA_TYPE, original=True)
        for role, png in finished.samples:
            side_px = (finished.plan.resolution_px, finished.plan.resolution_px)
            picture = await self._blobs.put(tenant, png, "image/png", size_px=side_px)
            outbox.messages.put_nowait(pb.TrainResponse(log=f"{role}: {picture.name}"))
        return pb.TrainResult(
            artifact=lora.name,
            steps=finished.plan.total_steps,
            smoothed_loss=finished.smoothed_loss,
            device_seconds=finished.device_seconds,
            numeric_class=finished.numeric_class,
            warnings=finished.warnings,
        )


class _Outbox:
    """What the compute thread tells, on its way to the client: a `Listener`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.messages: asyncio.Queue[pb.TrainResponse | None] = asyncio.Queue()
        self.cancel = CancelToken()
        self._loop = loop

    def progress(self, step: int, total: int, eta_seconds: float, message: str, metrics: dict[str, float]) -> None:
        """See `Listener`."""
        if metrics and self.messages.qsize() < _WAITING_MESSAGES:
            done = pb.TrainingProgress(step=step, total=total, eta_seconds=eta_seconds, **metrics)
            self._loop.call_soon_threadsafe(self.messages.put_nowait, pb.TrainResponse(progress=done))

    def log(self, message: str, level: str = "info") -> None:
        """See `Listener`."""
        line = message if level == "info" else f"{level}: {message}"
        self._loop.call_soon_threadsafe(self.messages.put_nowait, pb.TrainResponse(log=line))

    def checkpoint(self, step: int, data: bytes) -> None:
        """See `Listener`. A direct call is not durable: nothing would ever go on from it."""

    def unfinished(self, step: int, lora: bytes) -> None:
        """See `Listener`. Whoever left the stream does not want it."""
