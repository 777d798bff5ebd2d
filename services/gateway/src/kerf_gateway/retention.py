"""What is kept, and for how long: old logs go to the archive, and what nobody needs any more is removed."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.blobs import BlobStore
from kerf_core.bus import Bus
from kerf_core.errors import DataLoss, KerfError, NotFound
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.log import read_entries
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import JobView
from kerf_core.lease import RoleLease
from kerf_core.stages import JobId, TenantId
from kerf_core.streams import EVENTS
from kerf_gateway.settings import GatewaySettings

LOG = logging.getLogger(__name__)
_LENGTH_BYTES = 4


class Archive:
    """Logs of jobs that ended long ago: `archive/<tenant>/<job>`, each entry after its length (4 bytes, big-endian)."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def write(self, ref: JobRef, entries: list[JobEvent]) -> None:
        """Store a log and read it back. Raises DataLoss if it is not what was stored, Unavailable."""
        data = b"".join(_framed(entry.SerializeToString()) for entry in entries)
        await self._blobs.put_object(_key(ref), data, original=True)
        if await self._blobs.get_object(_key(ref)) != data:
            raise DataLoss("ARCHIVE_DAMAGED", f"{ref.name}: the archived log is not what was stored")

    async def read(self, ref: JobRef) -> list[JobEvent]:
        """The log; empty if there is none. Raises Unavailable."""
        try:
            data = await self._blobs.get_object(_key(ref))
        except NotFound:
            return []
        entries, at = [], 0
        while at < len(data):
            end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
            entries.append(JobEvent.FromString(data[at + _LENGTH_BYTES : end]))
            at = end
        return entries


class Janitor:
    """Archives and cleans up, in one gateway at a time."""

    def __init__(
        self, bus: Bus, blobs: BlobStore, view: JobView, archive: Archive, settings: GatewaySettings, holder: str
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._view = view
        self._archive = archive
        self._settings = settings
        self._lease = RoleLease(bus, "janitor", holder)

    async def run(self) -> None:
        """Look around every `retention_interval`, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.retention_interval.total_seconds())
            try:
                if await self._lease.hold():
                    await self.clean()
                await self._forget()
            except KerfError as error:
                LOG.warning("clean-up: %s: it goes on at the next round", error)

    async def clean(self) -> None:
        """One round. Every step can be broken off and done again. Raises Unavailable."""
        before_ns = time.time_ns() - _nanoseconds(self._settings.job_retention)
        archived = 0
        due = self._view.ended_before(before_ns)
        # One after the other they would be archived more slowly than a busy gateway accepts them.
        for first in range(0, len(due), self._settings.archive_at_once):
            chosen = due[first : first + self._settings.archive_at_once]
            outcomes = await asyncio.gather(*map(self._archive_job, chosen), return_exceptions=True)
            archived += outcomes.count(True)
            for problem in outcomes:
                if isinstance(problem, BaseException):
                    raise problem
        removed = 0
        for prefix, ttl in (("uploads/", self._settings.upload_ttl), ("checkpoints/", self._settings.checkpoint_ttl)):
            for key in await self._blobs.list_objects(prefix, older_than=ttl):
                if prefix == "uploads/" or not self._runs(key):
                    await self._blobs.remove_object(key)
                    removed += 1
        if archived or removed:
            LOG.info("clean-up", extra={"archived_jobs": archived, "removed_objects": removed})

    async def _archive_job(self, ref: JobRef) -> bool:
        entries = await read_entries(self._bus, ref)
        if not entries or entries[-1].head.state not in TERMINAL:
            return False
        await self._archive.write(ref, entries)
        await self._bus.purge(EVENTS, ref.events)
        self._view.forget(ref)
        return True

    async def _forget(self) -> None:
        """Drop from this gateway's view what another gateway has archived; what could not be archived stays."""
        grace = self._settings.job_retention + 2 * self._settings.retention_interval
        for ref in self._view.ended_before(time.time_ns() - _nanoseconds(grace)):
            if await self._bus.last(EVENTS, ref.events) is None:
                self._view.forget(ref)

    def _runs(self, checkpoint_key: str) -> bool:
        _, tenant, job, *_ = checkpoint_key.split("/")
        row = self._view.get(JobRef(TenantId(tenant), JobId(job)))
        return row is not None and not row.ended


def _key(ref: JobRef) -> str:
    return f"archive/{ref.tenant}/{ref.job}"


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _nanoseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1e9)
