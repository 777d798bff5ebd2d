"""Batches: many jobs accepted together, all or none, and followed together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager

from kerf.jobs.v1.batch_pb2 import Batch
from kerf.jobs.v1.event_pb2 import Accepted, BatchPlace, JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf.runtime.v1.runtime_pb2 import BatchReservation, Reservation
from kerf_core.bus import Bus, Conflict, OutcomeUnknown, nats_away
from kerf_core.errors import NotFound
from kerf_core.grpc_calls import draining_error
from kerf_core.jobs.acceptance import digest_of, reserve
from kerf_core.jobs.fold import fold
from kerf_core.jobs.log import now
from kerf_core.jobs.names import JobRef, drawn_at, new_job_id, new_writer_id
from kerf_core.jobs.view import JobView, Row
from kerf_core.metrics import JOBS_ACCEPTED
from kerf_core.stages import JobId, TenantId
from kerf_core.streams import EVENTS
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.spec import kinds_of, make_choices

_TELL_EVERY_SECONDS = 0.25
_HEAR_WITHIN_SECONDS = 2.0
_FRESH_SECONDS = 10.0
"""Gateways' clocks may differ by some of them."""
_PAUSE_SECONDS = 0.1


class Batches:
    """Accepts batches, and shows what the view knows of them."""

    def __init__(self, bus: Bus, view: JobView, settings: GatewaySettings) -> None:
        self._bus = bus
        self._view = view
        self._settings = settings
        self._changed: dict[tuple[TenantId, str], set[asyncio.Event]] = defaultdict(set)
        self._draining = False
        view.on_change(self._row)

    async def accept(
        self, tenant: TenantId, request_id: str, jobs: Sequence[Job], check_room: Callable[[], None]
    ) -> Batch:
        """Accept checked jobs together. With a `request_id` that was used before, that batch, whatever the quota says.

        Raises AlreadyExists if the id stands for another payload, ResourceExhausted, Unavailable: then none of them was
        accepted, or the same request finds them.
        """
        drawn = BatchReservation(batch=new_job_id(), jobs=[new_job_id() for _ in jobs], time=now())
        holds = Reservation(payload_sha256=digest_of(*jobs), batch=drawn)
        if request_id:
            holds = await reserve(self._bus, tenant, request_id, holds)
        batch = holds.batch
        if not self._view.batch(tenant, f"batches/{batch.batch}"):
            check_room()
        await self._append(tenant, batch, jobs)
        return Batch(
            name=f"batches/{batch.batch}",
            size=len(jobs),
            jobs=[f"jobs/{job}" for job in batch.jobs],
            queued=len(jobs),
            create_time=batch.time,
        )

    async def show(self, tenant: TenantId, name: str) -> Batch:
        """The batch as the view has it. Raises NotFound.

        One that was accepted a moment ago, perhaps by another gateway, is waited for: the view hears of it in time.
        """
        give_up_at = time.monotonic() + _HEAR_WITHIN_SECONDS
        drawn_s = drawn_at(name.removeprefix("batches/"))
        fresh = drawn_s is not None and abs(time.time() - drawn_s) < _FRESH_SECONDS
        while not (rows := self._whole(tenant, name)):
            if time.monotonic() > give_up_at or not (fresh or self._view.batch(tenant, name)):
                raise NotFound("BATCH_NOT_FOUND", f"{name} does not exist")
            await asyncio.sleep(_PAUSE_SECONDS)
        return _batch_of(name, rows)

    async def watch(self, tenant: TenantId, name: str) -> AsyncGenerator[Batch, None]:
        """The batch now, and whenever it changed, at a bounded rate; ends with its last job.

        Raises NotFound; Unavailable when this gateway drains.
        """
        with self._heard(tenant, name) as changed:
            shown = await self.show(tenant, name)
            yield shown
            while not shown.HasField("end_time"):
                await changed.wait()
                await asyncio.sleep(_TELL_EVERY_SECONDS)
                changed.clear()
                if self._draining:
                    raise draining_error()
                batch = await self.show(tenant, name)
                if batch != shown:
                    shown = batch
                    yield shown

    def drain(self) -> None:
        """End all streams with UNAVAILABLE, so that callers go on elsewhere."""
        self._draining = True
        for waiting in self._changed.values():
            for changed in waiting:
                changed.set()

    async def _append(self, tenant: TenantId, batch: BatchReservation, jobs: Sequence[Job]) -> None:
        refs = [JobRef(tenant, JobId(job)) for job in batch.jobs]
        messages = []
        for index, (ref, job) in enumerate(zip(refs, jobs, strict=True)):
            place = BatchPlace(name=f"batches/{batch.batch}", index=index, size=len(jobs))
            messages.append((ref.events, _first_entry(ref, job, place, batch).SerializeToString()))
        timeout = self._settings.append_timeout.total_seconds()
        give_up_at = time.monotonic() + self._settings.accept_retry_for.total_seconds()
        while True:
            try:
                await self._bus.append_batch(messages, timeout=timeout)
            except (Conflict, OutcomeUnknown) as problem:
                if await self._bus.last(EVENTS, refs[0].events) is not None:
                    return  # all or none: the first tells of all, whichever try of the request it was
                if time.monotonic() > give_up_at:
                    raise nats_away(str(problem)) from problem
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                JOBS_ACCEPTED.inc(len(jobs))
                return

    def _whole(self, tenant: TenantId, name: str) -> list[Row]:
        """The batch's rows once all of them were heard of; before, none."""
        rows = self._view.batch(tenant, name)
        return rows if rows and len(rows) == rows[0].head.batch.size else []

    def _row(self, row: Row) -> None:
        if row.head.HasField("batch"):
            for changed in self._changed.get((row.ref.tenant, row.head.batch.name), ()):
                changed.set()

    @contextmanager
    def _heard(self, tenant: TenantId, name: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._changed[tenant, name].add(changed)
        try:
            yield changed
        finally:
            self._changed[tenant, name].discard(changed)
            if not self._changed[tenant, name]:
                del self._changed[tenant, name]


def _first_entry(ref: JobRef, job: Job, place: BatchPlace, batch: BatchReservation) -> JobEvent:
    entry = JobEvent(
        job=ref.name,
        sequence=1,
        time=batch.time,
        writer=new_writer_id(),
        accepted=Accepted(job=make_choices(job, ref.job), batch=place),
        head=JobHead(kinds=kinds_of(job)),
    )
    entry.head.CopyFrom(fold(None, entry))
    return entry


def _batch_of(name: str, rows: list[Row]) -> Batch:
    states = Counter(row.head.state for row in rows)
    batch = Batch(
        name=name,
        size=len(rows),
        jobs=[row.ref.name for row in rows],
        queued=states[JobState.JOB_STATE_QUEUED],
        running=states[JobState.JOB_STATE_RUNNING],
        succeeded=states[JobState.JOB_STATE_SUCCEEDED],
        failed=states[JobState.JOB_STATE_FAILED],
        cancelled=states[JobState.JOB_STATE_CANCELLED],
        create_time=rows[0].head.create_time,
    )
    if all(row.ended for row in rows):
        last = max(rows, key=lambda row: row.head.end_time.ToNanoseconds())
        batch.end_time.CopyFrom(last.head.end_time)
    return batch
