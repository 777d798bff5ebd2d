"""Accepting a caller's job: its choices are made once, and its first stage is offered to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job
from kerf_core.bus import Bus
from kerf_core.jobs.acceptance import Promised, accepted_entry, fulfil, promise, was_reserved
from kerf_core.jobs.dispatch import Dispatcher
from kerf_core.jobs.log import JobLog
from kerf_core.jobs.names import JobRef
from kerf_core.stages import TenantId
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.spec import kinds_of, make_choices


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

    async def promise(self, tenant: TenantId, request_id: str, job: Job) -> Promised:
        """Draw the id of a checked job, or find the one that `request_id` stands for. Nothing is accepted yet.

        Raises AlreadyExists if the id stands for another payload, Unavailable.
        """
        return await promise(self._bus, tenant, request_id, job, accepted_entry(make_choices(job), kinds_of(job)))

    async def was_promised(self, tenant: TenantId, request_id: str, jobs: Sequence[Job]) -> bool:
        """Whether an earlier try of the same request was promised these jobs. Raises Unavailable."""
        return await was_reserved(self._bus, tenant, request_id, jobs)

    async def fulfil(self, promised: Promised) -> list[JobEvent]:
        """Append `Accepted` and have the first stage dispatched; returns the log.

        Raises Unavailable, ResourceExhausted (the store is full).
        """
        entries = await fulfil(self.log(promised.ref), promised.accepted)
        if len(entries) == 1:
            # The caller need not wait for the queue: if this process dies here, the sweep dispatches.
            offer = asyncio.create_task(self._dispatcher.offer(promised.ref, entries[0].head.kinds[0]))
            self._offers.add(offer)
            offer.add_done_callback(self._offers.discard)
        return entries
