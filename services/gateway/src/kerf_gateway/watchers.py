"""Streams of events to callers: the log from where they left it, then the feed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

from nats.aio.msg import Msg

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.bus import Bus
from kerf_core.errors import NotFound
from kerf_core.grpc_calls import draining_error
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.log import read_entries
from kerf_core.jobs.names import JobRef, parse_feed
from kerf_core.jobs.view import JobView
from kerf_core.streams import EVENTS

_RETRY_SECONDS = 0.05
ReadLog = Callable[[], Awaitable[list[JobEvent]]]


@dataclass(eq=False)
class Watcher:
    """One caller's queue. An overflow empties it: the log has everything but the transient events."""

    queue: asyncio.Queue[JobEvent | None]
    overflowed: bool = False

    def offer(self, event: JobEvent) -> None:
        """Queue an event, or remember that one was lost."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            if event.sequence:
                self.overflowed = True


class Watchers:
    """All callers that follow a job through this gateway, served from one feed."""

    def __init__(self, bus: Bus, feed: EventFeed, view: JobView, queue_size: int) -> None:
        self._bus = bus
        self._view = view
        self._queue_size = queue_size
        self._watchers: dict[JobRef, set[Watcher]] = defaultdict(set)
        self._draining = asyncio.Event()
        feed.listen(self._entry)

    async def start(self) -> None:
        """Listen to transient events."""

        async def received(message: Msg) -> None:
            ref = parse_feed(message.subject)
            if ref in self._watchers:
                self._entry(ref, JobEvent.FromString(message.data))

        await self._bus.client.subscribe("kerf.v1.live.>", cb=received)

    @property
    def draining(self) -> bool:
        """True once streams must end."""
        return self._draining.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until streams must end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def drain(self) -> None:
        """End all streams with UNAVAILABLE, so that callers go on elsewhere."""
        self._draining.set()
        for watchers in self._watchers.values():
            for watcher in watchers:
                while not watcher.queue.empty():
                    watcher.queue.get_nowait()
                watcher.queue.put_nowait(None)

    async def follow(
        self, ref: JobRef, after: int, *, durable_only: bool = False, first_read: ReadLog | None = None
    ) -> AsyncGenerator[JobEvent, None]:
        """Every entry after sequence `after`, once and in order, then live; ends after the terminal one.

        `first_read` gives the log once the watcher is registered; without it the log is read from the stream.
        Transient events (sequence 0) come between them unless `durable_only`. Raises NotFound; Unavailable when this
        gateway drains or NATS is away.
        """
        async with (
            self._registered(ref) as watcher,
            aclosing(self._endless(ref, watcher, after, durable_only, first_read)) as events,
        ):
            async for event in events:
                yield event
                if event.sequence and event.head.state in TERMINAL:
                    return

    async def _endless(
        self, ref: JobRef, watcher: Watcher, after: int, durable_only: bool, first_read: ReadLog | None
    ) -> AsyncGenerator[JobEvent, None]:
        row = self._view.get(ref)
        told_before = row.sequence if row else 0  # what the feed told before this watcher was registered
        last = after
        lagging = False
        while True:
            entries = await (first_read() if first_read else read_entries(self._bus, ref))
            first_read = None
            if not entries:
                await self._must_exist(ref)
            if not entries or entries[-1].sequence < told_before:
                await asyncio.sleep(_RETRY_SECONDS)  # a replica that is behind the leader, or the feed, answered
                continue
            if entries[-1].sequence <= last:
                if entries[-1].head.state in TERMINAL:
                    return
                if lagging:
                    await asyncio.sleep(_RETRY_SECONDS)
            for entry in entries:
                if entry.sequence > last:
                    yield entry
                    last = entry.sequence
            while (event := await self._next(watcher, last, durable_only=durable_only)) is not None:
                yield event
                last = max(last, event.sequence)
            lagging = True

    async def _must_exist(self, ref: JobRef) -> None:
        """Raise NotFound if the leader does not have the log either."""
        if await self._bus.last(EVENTS, ref.events) is None:
            raise NotFound("JOB_NOT_FOUND", f"{ref.name} does not exist")

    async def _next(self, watcher: Watcher, last: int, *, durable_only: bool) -> JobEvent | None:
        """The next event to send; None = the log must be read."""
        while True:
            if self.draining:
                raise draining_error()
            if watcher.overflowed:
                watcher.overflowed = False
                while not watcher.queue.empty():
                    watcher.queue.get_nowait()
                return None
            event = await watcher.queue.get()
            if event is None:
                continue
            if event.sequence == 0:
                if not durable_only:
                    return event
            elif event.sequence == last + 1:
                return event
            elif event.sequence > last + 1:
                watcher.overflowed = True

    @asynccontextmanager
    async def _registered(self, ref: JobRef) -> AsyncIterator[Watcher]:
        watcher = Watcher(asyncio.Queue(self._queue_size))
        self._watchers[ref].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[ref].discard(watcher)
            if not self._watchers[ref]:
                del self._watchers[ref]

    def _entry(self, ref: JobRef, event: JobEvent) -> None:
        for watcher in self._watchers.get(ref, ()):
            watcher.offer(event)
