"""Deletes what a tenant has, in rounds, until one finds nothing more. Any step can be broken off and done again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from kerf.admin.v1.admin_pb2 import TenantDeletion
from kerf.jobs.v1.event_pb2 import Cancelled, JobEvent
from kerf_core.auth import remove_api_keys
from kerf_core.blobs import BlobStore
from kerf_core.bus import Bus
from kerf_core.errors import KerfError
from kerf_core.jobs.fold import IllegalEntry
from kerf_core.jobs.log import JobLog
from kerf_core.jobs.names import JobRef, parse_events
from kerf_core.jobs.view import JobView
from kerf_core.lease import RoleLease
from kerf_core.stages import TenantId
from kerf_core.streams import EVENTS, REQUESTS, WORK
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.tenants.deletions import COUNTS, DeletionBook, remove_quota

LOG = logging.getLogger(__name__)
Item = TypeVar("Item")
T = TypeVar("T")
_PAUSE_SECONDS = 1.0
_ALL_KNOW_SECONDS = 3.0
"""Every gateway that can reach NATS has read of a deletion by then."""
_AT_ONCE = 16
_OBJECTS_A_ROUND = 5_000
_FOLDERS = {"artifacts": "artifacts", "uploads": "uploads", "checkpoints": "checkpoints", "archived_jobs": "archive"}
"""Figure -> first part of the keys that it counts."""


class TenantEraser:
    """Does what the book says, in one gateway at a time. What two do at once is done once all the same."""

    def __init__(
        self, bus: Bus, blobs: BlobStore, view: JobView, book: DeletionBook, settings: GatewaySettings, holder: str
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._view = view
        self._book = book
        self._settings = settings
        self._lease = RoleLease(bus, "eraser", holder)
        self._forgotten: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                for deletion in self._book.in_state(done=False):
                    if await self._lease.hold():
                        await self._round(deletion)
                for deletion in self._book.in_state(done=True):
                    await self._forget(deletion)
            except KerfError as error:
                LOG.warning("deletion of a tenant: %s: it goes on", error)

    async def _round(self, deletion: TenantDeletion) -> None:
        tenant = TenantId(deletion.tenant)
        age_seconds = time.time() - deletion.create_time.ToNanoseconds() / 1e9
        removed = TenantDeletion(tenant=tenant)
        removed.api_keys = await remove_api_keys(self._bus, tenant)
        await remove_quota(self._bus, tenant)
        removed.cancelled_jobs = await self._cancel(tenant)
        # No gateway may be accepting a job any more when a log is removed: one that does not know of the deletion, or
        # began before it, would keep a job that has no log.
        closed = age_seconds > self._settings.accept_retry_for.total_seconds() + _ALL_KNOW_SECONDS
        if closed and not removed.cancelled_jobs and await self._workers_are_through(tenant, age_seconds):
            await self._remove_logs(tenant, removed)
            await self._remove_objects(tenant, removed)
        clean = not any(getattr(removed, count) for count in COUNTS)
        settled = age_seconds > self._settings.tenant_deletion_settle.total_seconds()
        if not clean or (closed and settled):
            done = clean and closed and settled and not await self._waits(tenant)
            await self._book.add(removed, done=done)
            LOG.info("deletion of a tenant", extra={"tenant": tenant, "done": done})

    async def _cancel(self, tenant: TenantId) -> int:
        """End every job that has not ended; returns how many."""

        async def cancel(ref: JobRef) -> bool:
            log = JobLog(
                self._bus,
                ref,
                append_timeout=self._settings.append_timeout,
                retry_for=self._settings.accept_retry_for,
            )
            try:
                if await log.refresh() is None:
                    return False
                await log.append(JobEvent(cancelled=Cancelled(reason="its tenant is being deleted")))
            except IllegalEntry:
                return False
            return True

        subjects = await self._bus.subjects(EVENTS, f"kerf.v1.job.{tenant}.*.events")
        rows = {ref: self._view.get(ref) for ref in map(parse_events, subjects)}
        not_ended = [ref for ref, row in rows.items() if row is None or not row.ended]
        return sum(await _some_at_once(cancel, not_ended))

    async def _workers_are_through(self, tenant: TenantId, age_seconds: float) -> bool:
        """Whether nothing of the tenant's is queued or in flight. A worker that nobody hears of is not waited for."""
        if not await self._waits(tenant):
            return True
        if age_seconds < self._settings.tenant_deletion_settle.total_seconds():
            return False
        await self._bus.purge(WORK, f"kerf.v1.work.*.{tenant}.>")
        return True

    async def _waits(self, tenant: TenantId) -> bool:
        return bool(await self._bus.subjects(WORK, f"kerf.v1.work.*.{tenant}.>"))

    async def _remove_logs(self, tenant: TenantId, removed: TenantDeletion) -> None:
        pattern = f"kerf.v1.job.{tenant}.*.events"
        removed.jobs = len(await self._bus.subjects(EVENTS, pattern))
        removed.log_entries = await self._bus.purge(EVENTS, pattern)
        removed.request_ids = await self._bus.purge(f"KV_{REQUESTS}", f"$KV.{REQUESTS}.{tenant}.>")

    async def _remove_objects(self, tenant: TenantId, removed: TenantDeletion) -> None:
        for count, folder in _FOLDERS.items():
            keys = (await self._blobs.list_objects(f"{folder}/{tenant}/"))[:_OBJECTS_A_ROUND]
            await _some_at_once(self._blobs.remove_object, keys)
            setattr(removed, count, len(keys))

    async def _forget(self, deletion: TenantDeletion) -> None:
        """Drop the tenant's jobs from this gateway's view, once for each deletion."""
        ended_ns = deletion.end_time.ToNanoseconds()
        if self._forgotten.get(deletion.tenant) == ended_ns:
            return
        tenant = TenantId(deletion.tenant)
        there = set(map(parse_events, await self._bus.subjects(EVENTS, f"kerf.v1.job.{tenant}.*.events")))
        for row in list(self._view.newest_first(tenant)):
            if row.ended and row.ref not in there:
                self._view.forget(row.ref)
        self._forgotten[deletion.tenant] = ended_ns


async def _some_at_once(work: Callable[[Item], Awaitable[T]], items: Iterable[Item]) -> list[T]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Item) -> T:
        async with places:
            return await work(item)

    return await asyncio.gather(*map(one, items))
