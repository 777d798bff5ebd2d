"""`JobService` over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import partial

from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.batch_pb2 import (
    Batch,
    CancelBatchRequest,
    CreateBatchRequest,
    GetBatchRequest,
    WatchBatchRequest,
    WatchBatchResponse,
)
from kerf.jobs.v1.estimate_pb2 import JobEstimate
from kerf.jobs.v1.event_pb2 import Cancelled, CancelRequested, JobEvent, Queued
from kerf.jobs.v1.job_pb2 import Job
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceServicer
from kerf.jobs.v1.queue_pb2 import GetQueueStatsRequest, QueueStats, WatchQueueRequest, WatchQueueResponse
from kerf_core.auth import current_tenant, require_operator, visible_tenant
from kerf_core.blobs import BlobStore
from kerf_core.catalog import CatalogReader
from kerf_core.errors import FailedPrecondition, InvalidArgument, NotFound
from kerf_core.grpc_calls import Context, draining_error
from kerf_core.jobs.acceptance import Promised
from kerf_core.jobs.dispatch import Dispatcher
from kerf_core.jobs.fold import TERMINAL, IllegalEntry
from kerf_core.jobs.names import TOKEN, JobRef
from kerf_core.jobs.view import JobView, Row
from kerf_core.stages import JobId, TenantId
from kerf_gateway.acceptance import Acceptance
from kerf_gateway.admission import Admission
from kerf_gateway.batches import Batches
from kerf_gateway.estimates import Estimator
from kerf_gateway.projection import job_of, summary_of
from kerf_gateway.queue_stats import QueueBook
from kerf_gateway.quotas import QuotaBook
from kerf_gateway.retention import Archive
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.spec import check_names, check_shape, clean
from kerf_gateway.watchers import Watchers

_SAVES_ON_CANCEL = frozenset({"trainer"})
_DEFAULT_PAGE = 50
_CANCELS_AT_ONCE = 32
_WATCH_SECONDS = 2.0
_WATCH_LEAST_SECONDS = 0.2


class JobServicer(JobServiceServicer):
    """See job_service.proto. Every method works for the tenant of the caller's API key only."""

    def __init__(
        self,
        *,
        acceptance: Acceptance,
        archive: Archive,
        batches: Batches,
        view: JobView,
        watchers: Watchers,
        dispatcher: Dispatcher,
        catalog: CatalogReader,
        quotas: QuotaBook,
        queue: QueueBook,
        estimator: Estimator,
        admission: Admission,
        blobs: BlobStore,
        settings: GatewaySettings,
    ) -> None:
        self._acceptance = acceptance
        self._archive = archive
        self._batches = batches
        self._view = view
        self._watchers = watchers
        self._dispatcher = dispatcher
        self._catalog = catalog
        self._quotas = quotas
        self._queue = queue
        self._estimator = estimator
        self._admission = admission
        self._blobs = blobs
        self._settings = settings

    async def CreateJob(self, request: api.CreateJobRequest, context: Context) -> Job:
        promised = await self._promise(request)
        return job_of(promised.ref, await self._acceptance.fulfil(promised))

    async def EstimateJob(self, request: api.CreateJobRequest, context: Context) -> JobEstimate:
        (job,) = await self._sound(current_tenant(), {"job": request.job})
        return self._estimator.estimate(job)

    async def GetJob(self, request: api.GetJobRequest, context: Context) -> Job:
        ref = _ref(request.name)
        return job_of(ref, await self._entries(ref))

    async def ListJobs(self, request: api.ListJobsRequest, context: Context) -> api.ListJobsResponse:
        rows = self._view.newest_first(current_tenant(), _page_token(request.page_token), request.filter)
        page, token = _page(rows, request.page_size)
        jobs = [summary_of(row.ref, row.head, row.sequence) for row in page]
        return api.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def CancelJob(self, request: api.CancelJobRequest, context: Context) -> Job:
        ref = _ref(request.name)
        await self._cancel(ref, request.reason or "cancelled by the caller")
        return job_of(ref, await self._entries(ref))

    async def RetryJob(self, request: api.RetryJobRequest, context: Context) -> Job:
        self._quotas.check_rate(current_tenant())
        return await self._again(_ref(request.name), request.request_id)

    async def RetryDeadLetter(self, request: api.RetryDeadLetterRequest, context: Context) -> Job:
        require_operator()
        ref = JobRef(TenantId(request.tenant), _ref(request.name).job)
        row = self._view.get(ref)
        if row is None or not row.attempts_exhausted:
            text = f"{request.name} of {request.tenant} is no dead letter: ListDeadLetters shows those there are"
            raise NotFound("DEAD_LETTER_NOT_FOUND", text)
        return await self._again(ref, request.request_id)

    async def _again(self, ref: JobRef, request_id: str) -> Job:
        """A new job of the same tenant with the spec of one that ended."""
        entries = await self._entries(ref)
        if entries[-1].head.state not in TERMINAL:
            raise FailedPrecondition("JOB_NOT_ENDED", f"{ref.name} has not ended yet: cancel it, or wait")
        again = clean(entries[0].accepted.job)
        again.ClearField("deadline")
        again.retry_of = ref.name
        promised = await self._admit(ref.tenant, request_id, again)
        return job_of(promised.ref, await self._acceptance.fulfil(promised))

    async def WatchJob(self, request: api.WatchJobRequest, context: Context) -> AsyncIterator[JobEvent]:
        ref = _ref(request.name)
        async with aclosing(
            self._watchers.follow(ref, request.after_sequence, durable_only=request.durable_only)
        ) as events:
            async for event in events:
                yield event
                if event.HasField("accepted") and not request.durable_only:
                    for place in self._place_in_queue(ref, event):
                        yield place

    async def RunJob(self, request: api.CreateJobRequest, context: Context) -> AsyncIterator[JobEvent]:
        promised = await self._promise(request)
        ref, ended = promised.ref, False
        events_of = self._watchers.follow(ref, 0, first_read=lambda: self._acceptance.fulfil(promised))
        try:
            async with aclosing(events_of) as events:
                async for event in events:
                    ended = event.head.state in TERMINAL
                    yield event
                    if event.HasField("accepted"):
                        for place in self._place_in_queue(ref, event):
                            yield place
        except (asyncio.CancelledError, GeneratorExit):
            if request.cancel_on_disconnect and not ended:
                await asyncio.shield(self._cancel(ref, "the caller left the stream"))
            raise

    def _place_in_queue(self, ref: JobRef, accepted: JobEvent) -> Iterator[JobEvent]:
        """A transient event that says so if others wait before the job, and it still waits itself."""
        row = self._view.get(ref)
        if row is not None and row.sequence > accepted.sequence:
            return
        kind = accepted.head.kinds[0]
        position = self._dispatcher.position(ref, kind)
        if position > 0:
            queued = Queued(position=position)
            mean_seconds = self._queue.mean_seconds(kind)
            eta_seconds = None if mean_seconds is None else self._dispatcher.eta_seconds(ref, kind, mean_seconds)
            if eta_seconds is not None:
                queued.eta_seconds = eta_seconds
            yield JobEvent(job=ref.name, time=accepted.time, queued=queued)

    async def CreateBatch(self, request: CreateBatchRequest, context: Context) -> Batch:
        tenant = current_tenant()
        self._admission.check(tenant)
        self._quotas.check_rate(tenant)
        named = {f"jobs[{index}]": job for index, job in enumerate(request.jobs)}
        jobs = await self._sound_or_known(tenant, request.request_id, named)
        room = partial(self._quotas.check_room, tenant, len(jobs))
        return await self._batches.accept(tenant, request.request_id, jobs, room)

    async def GetBatch(self, request: GetBatchRequest, context: Context) -> Batch:
        return await self._batches.show(current_tenant(), request.name)

    async def WatchBatch(self, request: WatchBatchRequest, context: Context) -> AsyncIterator[WatchBatchResponse]:
        async with aclosing(self._batches.watch(current_tenant(), request.name)) as batches:
            async for batch in batches:
                yield WatchBatchResponse(batch=batch)

    async def CancelBatch(self, request: CancelBatchRequest, context: Context) -> Batch:
        tenant = current_tenant()
        batch = await self._batches.show(tenant, request.name)
        reason = request.reason or "its batch was cancelled by the caller"
        at_once = asyncio.Semaphore(_CANCELS_AT_ONCE)

        async def cancel(row: Row) -> None:
            async with at_once:
                await self._cancel(row.ref, reason)

        await asyncio.gather(*(cancel(row) for row in self._view.batch(tenant, batch.name) if not row.ended))
        return await self._batches.show(tenant, request.name)

    async def GetQueueStats(self, request: GetQueueStatsRequest, context: Context) -> QueueStats:
        return self._queue.stats(visible_tenant())

    async def WatchQueue(self, request: WatchQueueRequest, context: Context) -> AsyncIterator[WatchQueueResponse]:
        seconds = max(request.interval_seconds, _WATCH_LEAST_SECONDS) if request.interval_seconds else _WATCH_SECONDS
        while not self._watchers.draining:
            yield WatchQueueResponse(stats=self._queue.stats(visible_tenant()))
            await self._watchers.pause(seconds)
        raise draining_error()

    async def ListDeadLetters(
        self, request: api.ListDeadLettersRequest, context: Context
    ) -> api.ListDeadLettersResponse:
        require_operator()
        rows = self._view.dead_letters(_page_token(request.page_token))
        page, token = _page(rows, request.page_size)
        letters = [
            api.DeadLetter(tenant=row.ref.tenant, job=summary_of(row.ref, row.head, row.sequence), kind=row.kind)
            for row in page
        ]
        return api.ListDeadLettersResponse(dead_letters=letters, next_page_token=token)

    async def _promise(self, request: api.CreateJobRequest) -> Promised:
        tenant = current_tenant()
        self._quotas.check_rate(tenant)
        (job,) = await self._sound_or_known(tenant, request.request_id, {"job": request.job})
        return await self._admit(tenant, request.request_id, job)

    async def _sound_or_known(self, tenant: TenantId, request_id: str, named: Mapping[str, Job]) -> list[Job]:
        """The jobs as they are kept. Raises InvalidArgument or NotFound for what is wrong with them.

        A request that was accepted before stays so: a deadline that passed since, or a model that went, undoes nothing.
        """
        try:
            return await self._sound(tenant, named)
        except (InvalidArgument, NotFound):
            jobs = [clean(job) for job in named.values()]
            if not await self._acceptance.was_promised(tenant, request_id, jobs):
                raise
            return jobs

    async def _sound(self, tenant: TenantId, named: Mapping[str, Job]) -> list[Job]:
        """The jobs as they are kept, once they are checked."""
        check_shape(named, self._settings)
        jobs = [clean(job) for job in named.values()]
        for where, job in zip(named, jobs, strict=True):
            await check_names(job, where, tenant, self._catalog, self._blobs)
        return jobs

    async def _admit(self, tenant: TenantId, request_id: str, job: Job) -> Promised:
        """Promise the job if the tenant may have one more; a replay finds its job, whatever the quota says."""
        self._admission.check(tenant)
        promised = await self._acceptance.promise(tenant, request_id, job)
        if self._view.get(promised.ref) is None:
            self._quotas.check_room(tenant)
        return promised

    async def _entries(self, ref: JobRef) -> list[JobEvent]:
        log = self._acceptance.log(ref)
        there = await log.refresh() is not None  # from the leader: what was just stored is seen
        entries = await (log.load() if there else self._archive.read(ref))
        if not entries:
            raise NotFound("JOB_NOT_FOUND", f"{ref.name} does not exist")
        return entries

    async def _cancel(self, ref: JobRef, reason: str) -> None:
        log = self._acceptance.log(ref)
        tail = await log.refresh()
        if tail is None:
            raise NotFound("JOB_NOT_FOUND", f"{ref.name} does not exist")
        saves = tail.head.fence != 0 and tail.head.kinds[tail.head.stage] in _SAVES_ON_CANCEL
        event = JobEvent(cancelled=Cancelled(reason=reason))
        if saves:
            if tail.head.cancel_requested:
                return
            event = JobEvent(cancel_requested=CancelRequested(reason=reason))
        try:
            await log.append(event)
        except IllegalEntry:
            return  # it ended before: the first terminal entry stands


def _ref(name: str) -> JobRef:
    return JobRef(current_tenant(), JobId(name.removeprefix("jobs/")))


def _page_token(token: str) -> JobId | None:
    if token and not TOKEN.match(token):
        raise InvalidArgument.of_field("page_token", "is not one that this method answered with")
    return JobId(token) if token else None


def _page(rows: Iterable[Row], page_size: int) -> tuple[list[Row], str]:
    size = page_size or _DEFAULT_PAGE
    page: list[Row] = []
    for row in rows:
        if len(page) == size:
            return page, page[-1].ref.job
        page.append(row)
    return page, ""
