"""Reading a job's log and appending to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.bus import Bus, Conflict, OutcomeUnknown, Stored, nats_away
from kerf_core.errors import Unavailable
from kerf_core.jobs.fold import IllegalEntry, Rule, fold
from kerf_core.jobs.names import JobRef, new_writer_id
from kerf_core.metrics import APPEND_CONFLICTS
from kerf_core.streams import EVENTS

OWN_SEQUENCE = -1
"""As `fence` of an append: the entry's own sequence (for StageStarted)."""
_BEHIND_SECONDS = 0.05


class LogMoved(Exception):
    """Somebody else's entry came between reading the log and an append that stood on what was read."""


def now() -> Timestamp:
    """The writer's clock."""
    stamp = Timestamp()
    stamp.FromNanoseconds(time.time_ns())
    return stamp


async def read_entries(bus: Bus, ref: JobRef) -> list[JobEvent]:
    """The whole log, first entry first; empty if there is no such job. Raises Unavailable."""
    return [JobEvent.FromString(message.data) for message in await bus.read(EVENTS, ref.events)]


class JobLog:
    """One job's log in this process: knows the tail, has one append in flight."""

    def __init__(self, bus: Bus, ref: JobRef, *, append_timeout: timedelta, retry_for: timedelta) -> None:
        self.ref = ref
        self.tail: JobEvent | None = None
        self.origin: Mapping[str, str] = {}
        """Headers of the first entry, once loaded: the trace that the job was accepted in."""
        self._tail_at = 0
        self._bus = bus
        self._timeout = append_timeout.total_seconds()
        self._retry_for = retry_for.total_seconds()
        self._lock = asyncio.Lock()

    async def load(self) -> list[JobEvent]:
        """Read the whole log, at least as far as its tail is known here, and remember its tail.

        Any replica may answer, and it may be behind the leader: whoever must not miss what was just stored calls
        `refresh` before. Raises Unavailable.
        """
        give_up_at = time.monotonic() + self._retry_for
        while True:
            messages = await self._bus.read(EVENTS, self.ref.events)
            if (messages[-1].sequence if messages else 0) >= self._tail_at:
                break
            if time.monotonic() > give_up_at:
                raise nats_away("a replica of the logs stays behind its leader")
            await asyncio.sleep(_BEHIND_SECONDS)
        entries = [JobEvent.FromString(message.data) for message in messages]
        if messages:
            self.origin = messages[0].headers
            self._move(entries[-1], messages[-1].sequence)
        return entries

    async def refresh(self) -> JobEvent | None:
        """Read the tail from the stream's leader. Raises Unavailable."""
        await self._read_tail()
        return self.tail

    async def _read_tail(self) -> bool:
        """False if there is no log (any more)."""
        stored = await self._bus.last(EVENTS, self.ref.events)
        if stored is not None:
            self._move(JobEvent.FromString(stored.data), stored.sequence)
        return stored is not None

    async def append(self, body: JobEvent, *, fence: int = 0, stands_on_tail: bool = False) -> JobEvent:
        """Append `body` after whatever the log holds. Of an Accepted entry `head.kinds` and `time` are taken too.

        A refusal or a time-out is a question, and the log answers it: if the entry is there, it was appended. Returns
        the entry as stored. Raises IllegalEntry when the log has moved to where the entry has no place (then the caller
        stops: no append, ack, nak or term), Unavailable when NATS stayed away, ResourceExhausted when the store is
        full. With `stands_on_tail` the entry goes nowhere but behind the tail as it is known here, else LogMoved: for
        what was decided from the whole log and would be decided otherwise from a longer one.
        """
        async with self._lock:
            entry = JobEvent()
            entry.CopyFrom(body)
            entry.job = self.ref.name
            entry.writer = new_writer_id()
            give_up_at = time.monotonic() + self._retry_for
            while True:
                self._place(entry, fence)
                after = self._tail_at
                try:
                    at = await self._bus.append(
                        self.ref.events, entry.SerializeToString(), expected=after, timeout=self._timeout
                    )
                except (Conflict, OutcomeUnknown) as problem:
                    APPEND_CONFLICTS.inc()
                    if isinstance(problem, OutcomeUnknown) and time.monotonic() > give_up_at:
                        raise nats_away(str(problem)) from problem
                    stored = await self._find(entry, after, give_up_at)
                    if stored is not None:
                        return stored
                    if stands_on_tail and self._tail_at != after:
                        raise LogMoved from problem
                    continue
                self._move(entry, at)
                return entry

    def _place(self, entry: JobEvent, fence: int) -> None:
        """Give the entry its place after the tail, if it has one there."""
        entry.sequence = self.tail.sequence + 1 if self.tail else 1
        entry.fence = entry.sequence if fence == OWN_SEQUENCE else fence
        if not entry.HasField("accepted") or not entry.HasField("time"):
            entry.time.CopyFrom(now())
        entry.head.CopyFrom(fold(self.tail, entry))
        entry.attempt = entry.head.attempts if entry.fence else 0

    async def _find(self, entry: JobEvent, before: int, give_up_at: float) -> JobEvent | None:
        """Whether `entry` is in the log after all. Moves the tail.

        `before`: the tail that it was to follow. Not the tail as it is known now: a `refresh` meanwhile (a heartbeat's)
        may have moved that to this very entry.
        """
        while True:
            try:
                if not await self._read_tail() and before:
                    raise IllegalEntry(Rule.ENDED)  # only the logs of ended jobs are ever removed
                if self._tail_at == before:
                    return None
                news = await self._bus.read(EVENTS, self.ref.events, start=before + 1)
                if news and news[-1].sequence >= self._tail_at:
                    return self._search(news, entry.writer)
                # a replica that lags behind the leader answered: ask again
            except Unavailable:
                if time.monotonic() > give_up_at:
                    raise
            await asyncio.sleep(0.1)

    def _search(self, news: list[Stored], writer: str) -> JobEvent | None:
        mine = None
        for message in news:
            event = JobEvent.FromString(message.data)
            if event.writer == writer:
                mine = event
            if message.sequence >= self._tail_at:
                self._move(event, message.sequence)
        return mine

    def _move(self, entry: JobEvent, at: int) -> None:
        if at >= self._tail_at:
            self.tail, self._tail_at = entry, at
