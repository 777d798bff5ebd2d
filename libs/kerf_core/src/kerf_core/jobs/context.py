"""What a stage's handler is given, and how its progress reaches the log."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import ParamSpec, TypeVar

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import Checkpointed, JobEvent, Log, Preview, Progress
from kerf.jobs.v1.job_pb2 import Stage
from kerf_core.blobs import BlobStore
from kerf_core.bus import Bus
from kerf_core.compute import ComputePool
from kerf_core.errors import DataLoss, KerfError, NotFound, WorkCancelled
from kerf_core.jobs.checkpoints import CheckpointStore
from kerf_core.jobs.fold import IllegalEntry
from kerf_core.jobs.log import JobLog
from kerf_core.settings import ServiceSettings
from kerf_core.stages import CancelToken, JobId, TenantId
from kerf_core.tasks import end_tasks

P = ParamSpec("P")
R = TypeVar("R")
_ENTRIES_PER_DOUBLING = 50
_LIVE_SECONDS = 0.1
_MAX_PREVIEW_BYTES = 64 << 10
_MAX_LINE_CHARS = 2000


class ProgressBudget:
    """Progress entries that this process may still write this second."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = time.monotonic()

    def take(self) -> bool:
        """Use one, if there is one."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RunningStage:
    """Implements `StageContext` for one attempt."""

    def __init__(
        self,
        *,
        bus: Bus,
        blobs: BlobStore,
        pool: ComputePool,
        log: JobLog,
        stage: Stage,
        attempt: int,
        fence: int,
        inputs: list[list[Artifact]],
        progress_so_far: int,
        settings: ServiceSettings,
        budget: ProgressBudget,
    ) -> None:
        self.tenant: TenantId = log.ref.tenant
        self.job: JobId = log.ref.job
        self.stage = stage
        self.attempt = attempt
        self.inputs = inputs
        self.cancel = CancelToken()
        self.advanced_at = time.monotonic()
        self._bus = bus
        self._blobs = blobs
        self._pool = pool
        self._log = log
        self._fence = fence
        self._entries = progress_so_far
        self._settings = settings
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self.checkpoints = CheckpointStore(blobs, log.ref, stage.id)
        self.checkpointed = False
        self.saved: list[Artifact] = []
        self.lost: Artifact | None = None
        """What could not be read, whatever the handler made of it."""
        self._newest: Progress | None = None
        self._lines: deque[Log] = deque()
        self._lines_left = settings.log_max_entries
        self._news = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, artifact: Artifact) -> bytes:
        """See StageContext."""
        try:
            return await self._blobs.get(self.tenant, artifact.sha256)
        except (NotFound, DataLoss):
            self.lost = artifact
            raise

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
        """See StageContext."""
        self.cancel.raise_if_cancelled()
        artifact = await self._blobs.put(
            self.tenant, data, media_type, size_px=size_px, size_mm=size_mm, original=not rebuildable
        )
        artifact.labels.update(labels or {})
        artifact.rebuildable = rebuildable
        return artifact

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See StageContext."""
        self.advanced_at = time.monotonic()
        return await self._pool.run(work, *args, **kwargs)

    async def save_checkpoint(self, step: int, data: bytes) -> None:
        """See StageContext."""
        self.advanced_at = time.monotonic()
        key = await self.checkpoints.save(step, data, fence=self._fence)
        self.checkpointed = True
        entry = Checkpointed(stage=self.stage.id, step=step, location=key)
        try:
            await self._log.append(JobEvent(checkpointed=entry), fence=self._fence)
        except IllegalEntry as refusal:
            self.cancel.cancel(str(refusal))
            raise WorkCancelled("CANCELLED", str(refusal)) from refusal

    async def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """See StageContext."""
        found = await self.checkpoints.latest()
        self.checkpointed = self.checkpointed or found is not None
        return found

    async def save_on_cancel(self, data: bytes, media_type: str, *, labels: dict[str, str] | None = None) -> Artifact:
        """See StageContext."""
        artifact = await self._blobs.put(self.tenant, data, media_type, original=True)
        artifact.labels.update(labels or {})
        self.saved.append(artifact)
        return artifact

    def progress(
        self,
        step: int,
        total: int,
        *,
        eta_seconds: float = -1.0,
        message: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """See StageContext."""
        self.advanced_at = time.monotonic()
        newest = Progress(
            stage=self.stage.id,
            step=step,
            total=total,
            fraction=min(1.0, step / total) if total else 0.0,
            eta_seconds=eta_seconds,
            message=message,
            metrics=metrics or {},
        )
        self._loop.call_soon_threadsafe(self._noted, newest)

    def log(self, message: str, level: str = "info") -> None:
        """See StageContext."""
        self._loop.call_soon_threadsafe(self._line, Log(level=level, message=message[:_MAX_LINE_CHARS]))

    def preview(self, image: int, step: int, png: bytes) -> None:
        """See StageContext."""
        self.advanced_at = time.monotonic()
        if len(png) <= _MAX_PREVIEW_BYTES and not self.cancel.cancelled:
            event = JobEvent(job=self._log.ref.name, attempt=self.attempt)
            event.preview.CopyFrom(Preview(stage=self.stage.id, image=image, step=step, png=png))
            self._loop.call_soon_threadsafe(self._send_live, event)

    def _noted(self, newest: Progress) -> None:
        self._newest = newest
        self._wake_writer()

    def _line(self, line: Log) -> None:
        if self._lines_left > 0:
            self._lines_left -= 1
            self._lines.append(line)
            self._wake_writer()

    def _wake_writer(self) -> None:
        self._news.set()
        if self._writer is None and not self._closed:
            self._writer = self._loop.create_task(self._write_news())

    async def close(self) -> None:
        """Write the last lines and no more progress."""
        self._closed = True
        if self._writer is not None:
            await end_tasks(self._writer)
        await self._write_lines()

    def _send_live(self, event: JobEvent) -> None:
        event.time.GetCurrentTime()
        task = self._loop.create_task(self._bus.publish(self._log.ref.live, event.SerializeToString()))
        task.add_done_callback(lambda done: done.exception())

    async def _write_lines(self) -> None:
        while self._lines:
            with suppress(KerfError, IllegalEntry):
                await self._log.append(JobEvent(log=self._lines.popleft()), fence=self._fence)

    async def _write_news(self) -> None:
        """Carry lines and progress into the log at a bounded rate, and all progress to the live subject.

        Runs until cancelled.
        """
        next_entry = time.monotonic()
        while True:
            await self._news.wait()
            self._news.clear()
            await self._write_lines()
            newest, self._newest = self._newest, None
            if newest is None or self.cancel.cancelled:
                continue
            if time.monotonic() >= next_entry and self._may_write():
                interval = 2 ** (self._entries // _ENTRIES_PER_DOUBLING) / self._settings.progress_per_second
                next_entry = time.monotonic() + interval
                self._entries += 1
                with suppress(KerfError, IllegalEntry):  # the heartbeat and the commit find out what it means
                    await self._log.append(JobEvent(progress=newest), fence=self._fence)
            else:
                self._send_live(JobEvent(job=self._log.ref.name, attempt=self.attempt, progress=newest))
            await asyncio.sleep(_LIVE_SECONDS)

    def _may_write(self) -> bool:
        return self._entries < self._settings.progress_max_entries and self._budget.take()
