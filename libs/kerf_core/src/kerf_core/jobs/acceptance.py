"""Accepting a job: one `request_id`, one job, whatever happens between the steps."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kerf.jobs.v1.event_pb2 import Accepted, JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import Job
from kerf.runtime.v1.runtime_pb2 import Reservation
from kerf_core.bus import Bus, Conflict, OutcomeUnknown, nats_away
from kerf_core.errors import AlreadyExists
from kerf_core.jobs.fold import IllegalEntry
from kerf_core.jobs.log import JobLog, now
from kerf_core.jobs.names import JobRef, new_job_id
from kerf_core.metrics import JOBS_ACCEPTED
from kerf_core.stages import JobId, TenantId
from kerf_core.streams import REQUESTS

_APPEND_SECONDS = 2.0
_RESERVE_FOR_SECONDS = 5.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Promised:
    """A job id that stands for a request, and the entry that makes it a job."""

    ref: JobRef
    accepted: JobEvent


def accepted_entry(job: Job, kinds: list[str]) -> JobEvent:
    """The first entry of a job's log. `kinds`: the kind of worker that each stage needs."""
    entry = JobEvent(accepted=Accepted(job=job), head=JobHead(kinds=kinds))
    entry.time.CopyFrom(now())
    return entry


async def promise(
    bus: Bus, tenant: TenantId, request_id: str, payload: Job, accepted: JobEvent, *, any_payload: bool = False
) -> Promised:
    """Draw the job's id, or find the one that `request_id` stands for. Nothing is accepted yet.

    Raises AlreadyExists if the id stands for another payload (unless `any_payload`), Unavailable.
    """
    mine = Reservation(payload_sha256=digest_of(payload), job=new_job_id(), accepted=accepted.SerializeToString())
    holds = await reserve(bus, tenant, request_id, mine, any_payload=any_payload) if request_id else mine
    return Promised(JobRef(tenant, JobId(holds.job)), JobEvent.FromString(holds.accepted))


async def fulfil(log: JobLog, accepted: JobEvent) -> list[JobEvent]:
    """Append `Accepted`, unless another try of the same request was here before; returns the log.

    Raises Unavailable, ResourceExhausted.
    """
    try:
        stored = await log.append(accepted)
    except IllegalEntry:
        return await log.load()
    JOBS_ACCEPTED.inc()
    return [stored]


async def was_reserved(bus: Bus, tenant: TenantId, request_id: str, payload: Sequence[Job]) -> bool:
    """Whether the id stands for this very payload already. Raises Unavailable."""
    stored = await bus.last(f"KV_{REQUESTS}", _subject(tenant, request_id)) if request_id else None
    return stored is not None and Reservation.FromString(stored.data).payload_sha256 == digest_of(*payload)


async def reserve(
    bus: Bus, tenant: TenantId, request_id: str, mine: Reservation, *, any_payload: bool = False
) -> Reservation:
    """The reservation that holds for the id: mine, or the one that was first.

    Raises AlreadyExists if that one was made with another payload (unless `any_payload`), Unavailable.
    """
    holds = await _first(bus, tenant, request_id, mine)
    if holds.payload_sha256 != mine.payload_sha256 and not any_payload:
        first = f"batches/{holds.batch.batch}" if holds.HasField("batch") else f"jobs/{holds.job}"
        raise AlreadyExists(
            "REQUEST_ID_REUSED",
            f"request_id {request_id!r} stands for {first}, whose payload was another: use a new id",
            metadata={"batch" if holds.HasField("batch") else "job": first},
        )
    return holds


async def _first(bus: Bus, tenant: TenantId, request_id: str, mine: Reservation) -> Reservation:
    # Written and read as a message, not through the client's key-value calls: those read from any replica, which may
    # not have yet what the leader has just refused to overwrite.
    subject = _subject(tenant, request_id)
    give_up_at = time.monotonic() + _RESERVE_FOR_SECONDS
    while True:
        try:
            await bus.append(subject, mine.SerializeToString(), expected=0, timeout=_APPEND_SECONDS)
            return mine
        except (Conflict, OutcomeUnknown):
            stored = await bus.last(f"KV_{REQUESTS}", subject)
        if stored is not None:
            return Reservation.FromString(stored.data)
        # In a cluster a refusal may speak of a message that is not agreed on yet, and may never be.
        if time.monotonic() > give_up_at:
            raise nats_away("the request id could not be reserved")
        await asyncio.sleep(_PAUSE_SECONDS)


def _subject(tenant: TenantId, request_id: str) -> str:
    return f"$KV.{REQUESTS}.{tenant}.{hashlib.sha256(request_id.encode()).hexdigest()[:40]}"


def digest_of(*jobs: Job) -> bytes:
    """SHA-256 over what was asked for."""
    digest = hashlib.sha256()
    for job in jobs:
        data = job.SerializeToString(deterministic=True)
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
