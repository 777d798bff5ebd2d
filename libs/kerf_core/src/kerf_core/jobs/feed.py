"""All entries of all logs, live, in order and without gap, from one subscription per process.

`KERF_EVENTS` republishes what it stored. A republished message can be lost (a reconnect, a full buffer), but each names
its stream sequence, so a gap shows at the next one, and a lost tail shows when the stream's last sequence is compared
every few seconds and after a reconnect. Either way the missing entries are read from the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.bus import Bus
from kerf_core.errors import Unavailable
from kerf_core.jobs.names import JobRef, parse_events, parse_feed
from kerf_core.streams import EVENTS
from kerf_core.tasks import end_tasks

LOG = logging.getLogger(__name__)
Listener = Callable[[JobRef, JobEvent], None]
_TAILS_BATCH = 2000
_PAGE = 1000
_ENTRIES = "kerf.v1.job.*.*.events"
_RETRY_SECONDS = 0.2


class EventFeed:
    """Calls its listeners with every entry, in stream order."""

    def __init__(self, bus: Bus, *, compare_every: timedelta = timedelta(seconds=5)) -> None:
        self._bus = bus
        self._compare_every = compare_every.total_seconds()
        self._listeners: list[Listener] = []
        self._last = 0
        self._queue: asyncio.Queue[tuple[int, JobRef, bytes]] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._telling = asyncio.Lock()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; returns what removes it. Listeners must be quick and must not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def start(self) -> None:
        """Subscribe, give every job's last entry to the listeners once, then follow."""
        self._subscription = await self._bus.client.subscribe("kerf.v1.feed.>", cb=self._received)
        await self._bus.client.flush()
        await self._load()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._compare())]

    async def stop(self) -> None:
        """Unsubscribe and forget."""
        await end_tasks(*self._tasks)
        if self._subscription is not None and self._bus.connected:
            await self._subscription.unsubscribe()

    async def _received(self, message: Msg) -> None:
        headers = message.headers or {}
        self._queue.put_nowait((int(headers["Nats-Sequence"]), parse_feed(message.subject), message.data))

    async def _load(self) -> None:
        """Tell where all logs stand, however long NATS takes: servers that choose a leader just now answer later."""
        while True:
            try:
                until = await self._bus.last_sequence(EVENTS)
                await self._load_tails()
                await self._catch_up(until)
                return
            except (Unavailable, NatsError, TimeoutError) as error:
                LOG.warning("reading the last entries of all logs: %s: %s", type(error).__name__, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _load_tails(self) -> None:
        """Last entry of every job, by one consumer that is deleted afterwards; of a second try only what is newer.

        The consumer may live on a replica that is behind the leader: what is missing is read afterwards.
        """
        consumer = await self._bus.js.pull_subscribe(
            _ENTRIES,
            stream=EVENTS,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE, mem_storage=True
            ),
        )
        try:
            info = await consumer.consumer_info()
            left = int(info.num_pending or 0)
            while left > 0:
                page = await consumer.fetch(min(left, _TAILS_BATCH), timeout=10)
                for message in page:
                    at = message.metadata.sequence.stream
                    if at > self._last:
                        self._tell(parse_events(message.subject), message.data)
                        self._last = at
                left -= len(page)
            name = info.name
        finally:
            await consumer.unsubscribe()
        with suppress(NatsError):  # it ends by itself a moment later
            await self._bus.js.delete_consumer(EVENTS, name)

    async def _follow(self) -> None:
        while True:
            sequence, ref, data = await self._queue.get()
            async with self._telling:
                if sequence > self._last + 1:
                    await self._catch_up(sequence - 1)
                if sequence == self._last + 1:
                    self._tell(ref, data)
                    self._last = sequence

    async def _compare(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._compare_every):
                    await self._bus.reconnected.wait()
            self._bus.reconnected.clear()
            with suppress(Unavailable):
                last = await self._bus.last_sequence(EVENTS)
                seen = self._last
                await asyncio.sleep(0.2)  # what is merely on its way arrives within a moment; what is lost does not
                if last > self._last == seen and self._queue.empty():
                    async with self._telling:
                        await self._catch_up(last)

    async def _catch_up(self, until: int) -> None:
        """Read the entries after the last one told, up to stream sequence `until`."""
        while self._last < until:
            with suppress(Unavailable):
                if await self._read_on(until):
                    continue
            await asyncio.sleep(_RETRY_SECONDS)

    async def _read_on(self, until: int) -> bool:
        """Read a page; True if that was of use."""
        page = await self._bus.read(EVENTS, _ENTRIES, start=self._last + 1, limit=_PAGE)
        for stored in page:
            if stored.sequence <= until:
                self._tell(parse_events(stored.subject), stored.data)
                self._last = stored.sequence
        beyond = bool(page) and page[-1].sequence > until
        if beyond or (self._last < until and len(page) < _PAGE and await self._is_hole(until)):
            self._last = until
        return bool(page) or self._last == until

    async def _is_hole(self, until: int) -> bool:
        """Whether there is nothing more up to stream sequence `until`, for purged entries leave holes.

        A replica that is behind its leader looks the same, so the leader is asked, and must be no old one itself.
        """
        if await self._bus.last_sequence(EVENTS) < until:
            return False
        following = await self._bus.first(EVENTS, _ENTRIES, start=self._last + 1)
        return following is None or following > until

    def _tell(self, ref: JobRef, data: bytes) -> None:
        event = JobEvent.FromString(data)
        for listener in list(self._listeners):
            listener(ref, event)
