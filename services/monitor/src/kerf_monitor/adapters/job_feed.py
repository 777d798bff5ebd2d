"""Follows the logs of all jobs, and the announcements of workers, into the book of sessions."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.msg import Msg

from kerf.jobs.v1.event_pb2 import JobEvent, StageCompleted
from kerf.runtime.v1.runtime_pb2 import Slots
from kerf_core.bus import Bus
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.names import JobRef
from kerf_monitor.domain.sessions import Session, SessionBook

LOG = logging.getLogger(__name__)
_SLOTS = "kerf.v1.slots.*.*"


class JobFeed:
    """Tells a SessionBook what happens. What began before it started is not known to it."""

    def __init__(self, bus: Bus, book: SessionBook) -> None:
        self._bus = bus
        self._book = book
        self._feed = EventFeed(bus)

    async def start(self) -> None:
        """Follow, from now on."""
        await self._bus.client.subscribe(_SLOTS, cb=self._announced)
        await self._feed.start()
        # Only now: `start` tells the last entry of every job there is, and half a story makes no session.
        self._feed.listen(self.entry)

    async def stop(self) -> None:
        """Follow no longer."""
        await self._feed.stop()

    async def _announced(self, message: Msg) -> None:
        try:
            slots = Slots.FromString(message.data)
        except DecodeError:
            LOG.warning("an announcement on %s is not readable", message.subject)
            return
        self._book.place_worker(message.subject.rpartition(".")[2], slots.node)

    def entry(self, ref: JobRef, event: JobEvent) -> None:
        """Take one entry of a log into account."""
        body = event.WhichOneof("body")
        when = _utc(event.time)
        if body == "stage_started":
            self._book.begin(_session(ref, event, when), datetime.now(UTC))
        elif body == "stage_completed":
            self._book.end(ref.job, when, "completed", _device_seconds(event.stage_completed))
        elif body == "succeeded":
            self._book.end(ref.job, when, "completed", _device_seconds(event.succeeded.last_stage))
        elif body in ("failed", "cancelled"):
            self._book.end(ref.job, when, body)
        elif body == "attempt_lost" or event.head.fence != self._book.running_fence(ref.job):
            self._book.end(ref.job, when, "lost")


def _session(ref: JobRef, event: JobEvent, start: datetime) -> Session:
    kinds = event.head.kinds
    return Session(
        tenant=ref.tenant,
        job=ref.job,
        fence=event.sequence,
        stage=event.stage_started.stage,
        kind=kinds[event.head.stage] if 0 <= event.head.stage < len(kinds) else "",
        worker=event.stage_started.worker,
        start=start,
    )


def _device_seconds(completed: StageCompleted) -> float | None:
    """As reported; a negative figure, or no timing at all, means that nobody knows."""
    seconds = completed.timing.device_seconds
    return seconds if completed.HasField("timing") and seconds >= 0 else None


def _utc(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)  # a listener of the feed must not raise, whatever a writer's clock said
