"""Accepting a job: one `request_id`, one job, whatever happens between the steps."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import nats.errors
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError

from kerf.jobs.v1.event_pb2 import Accepted, JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import Job
from kerf.runtime.v1.runtime_pb2 import Reservation
from kerf_core.bus import Bus, nats_away
from kerf_core.errors import AlreadyExists
from kerf_core.jobs.dispatch import Dispatcher
from kerf_core.jobs.fold import IllegalEntry
from kerf_core.jobs.log import JobLog, now
from kerf_core.jobs.names import JobRef, new_job_id
from kerf_core.metrics import JOBS_ACCEPTED
from kerf_core.stages import JobId, TenantId
from kerf_core.streams import REQUESTS
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.spec import kinds_of, make_choices


@dataclass(frozen=True)
class Promised:
    """A job id that stands for a request, and the entry that makes it a job."""

    ref: JobRef
    accepted: JobEvent


class Acceptance:
    """Reserves, appends `Accepted`, dispatches."""

    def __init__(self, bus: Bus, dispatcher: Dispatcher, settings: GatewaySettings) -> None:
        self._bus = bus
        self._dispatcher = dispatcher
        self._settings = settings
        self._offers: set[asyncio.Task[None]] = set()

    def log(self, ref: JobRef) -> JobLog:
        """The job's log, with the patience that a caller has."""
        return JobLog(
            self._bus,
            ref,
            append_timeout=self._settings.append_timeout,
            retry_for=self._settings.accept_retry_for,
        )

    async def accept(self, tenant: TenantId, request_id: str, job: Job) -> tuple[JobRef, list[JobEvent]]:
        """Accept a checked job; returns it with its log. With a `request_id` that was used before, that job.

        Raises AlreadyExists if the id stands for another payload, Unavailable, ResourceExhausted.
        """
        promised = await self.promise(tenant, request_id, job)
        return promised.ref, await self.fulfil(promised)

    async def promise(self, tenant: TenantId, request_id: str, job: Job) -> Promised:
        """Draw the job's id, or find the one that `request_id` stands for. Nothing is accepted yet."""
        reservation = Reservation(payload_sha256=_digest(job), job=new_job_id(), accepted=_accepted(job))
        if request_id:
            reservation = await self._reserve(tenant, request_id, reservation)
        return Promised(JobRef(tenant, JobId(reservation.job)), JobEvent.FromString(reservation.accepted))

    async def fulfil(self, promised: Promised) -> list[JobEvent]:
        """Append `Accepted` and have the first stage dispatched; returns the log."""
        log = self.log(promised.ref)
        try:
            stored = await log.append(promised.accepted)
        except IllegalEntry:  # it is in the log already: another try of the same request was here
            return await log.load()
        JOBS_ACCEPTED.inc()
        # The caller need not wait for the queue: if this process dies here, the sweep dispatches.
        offer = asyncio.create_task(self._dispatcher.offer(promised.ref, stored.head.kinds[0]))
        self._offers.add(offer)
        offer.add_done_callback(self._offers.discard)
        return [stored]

    async def _reserve(self, tenant: TenantId, request_id: str, mine: Reservation) -> Reservation:
        """The reservation that holds for the id: mine, or the one that was first."""
        key = f"{tenant}.{hashlib.sha256(request_id.encode()).hexdigest()[:40]}"
        bucket = await self._bus.bucket(REQUESTS)
        try:
            try:
                await bucket.create(key, mine.SerializeToString())
                return mine
            except KeyWrongLastSequenceError:
                first = Reservation.FromString((await bucket.get(key)).value or b"")
        except KeyNotFoundError as error:  # it expired between the two: the caller may simply ask again
            raise nats_away("the request id expired just now") from error
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        if first.payload_sha256 != mine.payload_sha256:
            raise AlreadyExists(
                "REQUEST_ID_REUSED",
                f"request_id {request_id!r} stands for jobs/{first.job}, whose payload was another: use a new id",
                metadata={"job": f"jobs/{first.job}"},
            )
        return first


def _digest(job: Job) -> bytes:
    return hashlib.sha256(job.SerializeToString(deterministic=True)).digest()


def _accepted(job: Job) -> bytes:
    entry = JobEvent(accepted=Accepted(job=make_choices(job)), head=JobHead(kinds=kinds_of(job)))
    entry.time.CopyFrom(now())
    return entry.SerializeToString()
