"""The part of the fake gateway that batches, estimates and the queue are asked of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from kerf.jobs.v1 import batch_pb2 as batches
from kerf.jobs.v1 import job_service_pb2 as service
from kerf.jobs.v1 import queue_pb2 as queue
from kerf.jobs.v1.estimate_pb2 import EstimateInterval, JobEstimate, StageEstimate
from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceServicer
from unit.client.client_statuses import Context, abort, refuse_field

TENANT = "shop"
HOSTILE_TENANT = "<b>evil\x1b[2J"


@dataclass
class QueueFaults:
    """What goes wrong next. Each list or counter is used up as it is applied."""

    cut_batch_after: list[int] = field(default_factory=list)
    """Cut the next streams of a batch after so many states."""
    lag_behind: bool = False
    """Streams after the first begin with a state from before any job ended."""
    unheard_batches: int = 0
    """So many streams end with NOT_FOUND: the gateway has not heard of the batch yet."""
    wrong_batch: bool = False
    never_measured: str = ""
    """Nobody knows how long stages with this task take."""


class FakeQueue(JobServiceServicer):
    """Batches of the fake gateway's own jobs; a queue whose figures never change."""

    jobs: dict[str, Job]

    def __init__(self) -> None:
        self.queue_faults = QueueFaults()
        self.batches: dict[str, list[str]] = {}
        self.batch_by_request: dict[str, str] = {}
        self.batch_watches = 0
        self.queue_intervals: list[float] = []
        self.estimated: list[Job] = []
        self.grown = asyncio.Event()

    async def _admit(self, context: Context, method: str) -> None:
        raise AssertionError("the gateway has its own")

    def accept(self, spec: Job, retry_of: str = "", batch: str = "") -> Job:
        raise AssertionError("the gateway has its own")

    def cancel(self, job: Job, reason: str) -> None:
        raise AssertionError("the gateway has its own")

    def _batch(self, name: str) -> batches.Batch:
        jobs = [self.jobs[each] for each in self.batches[name]]
        states = Counter(job.state for job in jobs)
        batch = batches.Batch(
            name=name,
            size=len(jobs),
            jobs=self.batches[name],
            queued=states[JobState.JOB_STATE_QUEUED],
            running=states[JobState.JOB_STATE_RUNNING],
            succeeded=states[JobState.JOB_STATE_SUCCEEDED],
            failed=states[JobState.JOB_STATE_FAILED],
            cancelled=states[JobState.JOB_STATE_CANCELLED],
        )
        batch.create_time.FromSeconds(1_700_000_000)
        if not batch.queued and not batch.running:
            batch.end_time.FromSeconds(1_700_000_100)
        return batch

    async def _known(self, context: Context, name: str) -> None:
        if name not in self.batches:
            await abort(context, grpc.StatusCode.NOT_FOUND, f"{name} does not exist", reason="BATCH_NOT_FOUND")

    async def CreateBatch(self, request: batches.CreateBatchRequest, context: Context) -> batches.Batch:  # noqa: N802 (gRPC's name)
        await self._admit(context, "CreateBatch")
        for index, job in enumerate(request.jobs):
            for stage in job.stages:
                if stage.generate.model == "none":
                    await refuse_field(context, f"jobs[{index}].stages[0].generate.model", "is not installed")
        name = self.batch_by_request.get(request.request_id)
        if name is None:
            name = self.batch_by_request[request.request_id] = f"batches/b{len(self.batches) + 1}"
            self.batches[name] = [self.accept(job, batch=name).name for job in request.jobs]
        return self._batch(name)

    async def GetBatch(self, request: batches.GetBatchRequest, context: Context) -> batches.Batch:  # noqa: N802 (gRPC's name)
        await self._admit(context, "GetBatch")
        await self._known(context, request.name)
        return self._batch(request.name)

    async def WatchBatch(  # noqa: N802 (gRPC's name)
        self, request: batches.WatchBatchRequest, context: Context
    ) -> AsyncIterator[batches.WatchBatchResponse]:
        await self._admit(context, "WatchBatch")
        await self._known(context, request.name)
        self.batch_watches += 1
        if self.queue_faults.unheard_batches:
            self.queue_faults.unheard_batches -= 1
            await abort(context, grpc.StatusCode.NOT_FOUND, "not heard of yet", reason="BATCH_NOT_FOUND")
        faults, sent, shown = self.queue_faults, 0, batches.Batch()
        cut = faults.cut_batch_after.pop(0) if faults.cut_batch_after else None
        if faults.lag_behind and self.batch_watches > 1:
            size = len(self.batches[request.name])
            yield batches.WatchBatchResponse(batch=batches.Batch(name=request.name, size=size, queued=size))
        while not shown.HasField("end_time"):
            grown, batch = self.grown, self._batch(request.name)
            if sent == cut:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
            if batch == shown:
                await grown.wait()
                continue
            shown, sent = batch, sent + 1
            if faults.wrong_batch:
                batch = batches.Batch(name="batches/other")
            yield batches.WatchBatchResponse(batch=batch)

    async def CancelBatch(self, request: batches.CancelBatchRequest, context: Context) -> batches.Batch:  # noqa: N802 (gRPC's name)
        await self._admit(context, "CancelBatch")
        await self._known(context, request.name)
        for each in self.batches[request.name]:
            self.cancel(self.jobs[each], request.reason)
        return self._batch(request.name)

    async def EstimateJob(self, request: service.CreateJobRequest, context: Context) -> JobEstimate:  # noqa: N802 (gRPC's name)
        await self._admit(context, "EstimateJob")
        if not request.job.stages:
            await refuse_field(context, "job.stages", "must have at least one stage")
        self.estimated.append(request.job)
        estimate = JobEstimate(wait_seconds=EstimateInterval(low=0, expected=0, high=0))
        for stage in request.job.stages:
            known = stage.WhichOneof("task") != self.queue_faults.never_measured
            interval = EstimateInterval(low=1, expected=2, high=30) if known else None
            estimate.stages.append(StageEstimate(stage=stage.id, computed_seconds=interval, samples=5 if known else 2))
        if all(stage.HasField("computed_seconds") for stage in estimate.stages):
            count = len(estimate.stages)
            estimate.total_seconds.CopyFrom(EstimateInterval(low=count, expected=2 * count, high=30 * count))
        return estimate

    def _stats(self) -> queue.QueueStats:
        drawing = queue.QueueGroup(key="diffusion", waiting=3, oldest_wait_seconds=61.5, mean_wait_seconds=-1)
        total = queue.QueueGroup(
            waiting=3,
            running=1,
            oldest_wait_seconds=61.5,
            started_last_minute=4,
            completed_last_minute=3,
            mean_wait_seconds=0.25,
        )
        tenant = queue.QueueGroup(key=HOSTILE_TENANT, running=1, mean_wait_seconds=0.25)
        stats = queue.QueueStats(total=total, kinds=[drawing], tenants=[tenant], free_slots={"optimizer": 2})
        stats.time.FromSeconds(1_700_000_000)
        return stats

    async def GetQueueStats(self, request: queue.GetQueueStatsRequest, context: Context) -> queue.QueueStats:  # noqa: N802 (gRPC's name)
        await self._admit(context, "GetQueueStats")
        return self._stats()

    async def WatchQueue(  # noqa: N802 (gRPC's name)
        self, request: queue.WatchQueueRequest, context: Context
    ) -> AsyncIterator[queue.WatchQueueResponse]:
        await self._admit(context, "WatchQueue")
        self.queue_intervals.append(request.interval_seconds)
        cut = self.queue_faults.cut_batch_after.pop(0) if self.queue_faults.cut_batch_after else None
        sent = 0
        while sent != cut:
            yield queue.WatchQueueResponse(stats=self._stats())
            sent += 1
            await asyncio.sleep(request.interval_seconds or 2)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")

    async def ListDeadLetters(  # noqa: N802 (gRPC's name)
        self, request: service.ListDeadLettersRequest, context: Context
    ) -> service.ListDeadLettersResponse:
        await self._admit(context, "ListDeadLetters")
        dead = [job for job in reversed(self.jobs.values()) if job.state == JobState.JOB_STATE_FAILED]
        letters = [service.DeadLetter(tenant=TENANT, job=job, kind="diffusion") for job in dead]
        start, size = int(request.page_token or 0), request.page_size or 50
        following = str(start + size) if start + size < len(letters) else ""
        return service.ListDeadLettersResponse(dead_letters=letters[start : start + size], next_page_token=following)

    async def RetryDeadLetter(self, request: service.RetryDeadLetterRequest, context: Context) -> Job:  # noqa: N802 (gRPC's name)
        await self._admit(context, "RetryDeadLetter")
        old = self.jobs.get(request.name)
        if old is None or old.state != JobState.JOB_STATE_FAILED or request.tenant != TENANT:
            text = f"{request.name} of {request.tenant} is no dead letter"
            await abort(context, grpc.StatusCode.NOT_FOUND, text, reason="DEAD_LETTER_NOT_FOUND")
            raise AssertionError("the call has ended")
        return self.accept(Job(stages=old.stages), retry_of=old.name)

    async def RunJob(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 (gRPC's name)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the client must not need it")
        yield
