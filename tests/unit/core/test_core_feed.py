"""What the feed makes of holes in the stream: entries that a copy has not heard of yet, and entries that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import ServiceUnavailableError

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.bus import Stored
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.names import JobRef
from kerf_core.stages import JobId, TenantId

REF = JobRef(TenantId("local"), JobId("0" * 20))
Callback = Callable[[SimpleNamespace], Awaitable[None]]


@dataclass
class Copies:
    """A stream with a leader, and a copy that answers reads: `heard` tells how far it is, one number per read."""

    led: list[Stored] = field(default_factory=list)
    last: int = 0
    heard: list[int] = field(default_factory=list)
    tails: list[Stored] = field(default_factory=list)
    """What the copy with the consumer knows at the start."""
    refusals: list[NatsError] = field(default_factory=list)
    """What the next requests for a consumer are answered with."""
    silences: list[int] = field(default_factory=list)
    """After how many tails the next consumers answer no more."""
    reads: int = 0
    given: int = 0
    callback: Callback | None = None

    def __post_init__(self) -> None:
        self.client = self.js = self
        self.connected = False
        self.reconnected = asyncio.Event()

    def store(self, count: int, *, purged: int = 0) -> None:
        """`count` entries, of which the first ones are gone again."""
        for number in range(self.last + 1, self.last + count + 1):
            event = JobEvent(sequence=number)
            self.led.append(Stored(number, REF.events, event.SerializeToString()))
        self.led = self.led[purged:]
        self.last += count

    async def publish_last(self) -> None:
        """As the server republishes it."""
        assert self.callback is not None
        newest = self.led[-1]
        headers = {"Nats-Sequence": str(newest.sequence)}
        await self.callback(SimpleNamespace(subject=REF.feed, data=newest.data, headers=headers))

    async def read(self, stream: str, subject: str, *, start: int, limit: int) -> list[Stored]:
        self.reads += 1
        heard = self.heard.pop(0) if self.heard else self.last
        return [stored for stored in self.led if start <= stored.sequence <= heard][:limit]

    async def first(self, stream: str, subject: str, *, start: int) -> int | None:
        return next((stored.sequence for stored in self.led if stored.sequence >= start), None)

    async def last_sequence(self, stream: str) -> int:
        return self.last

    async def subscribe(self, subject: str, cb: Callback) -> None:
        self.callback = cb

    async def flush(self) -> None:
        """Nothing is on its way."""

    async def pull_subscribe(self, subject: str, **more: object) -> Copies:
        if self.refusals:
            raise self.refusals.pop(0)
        self.given = 0
        return self

    async def consumer_info(self) -> SimpleNamespace:
        return SimpleNamespace(num_pending=len(self.tails), name="tails")

    async def fetch(self, count: int, timeout: float) -> list[SimpleNamespace]:
        assert timeout > 0
        if self.silences and self.given == self.silences[0]:
            del self.silences[0]
            raise NatsTimeout
        page = self.tails[self.given : self.given + 1]
        self.given += 1
        return [
            SimpleNamespace(
                subject=each.subject,
                data=each.data,
                metadata=SimpleNamespace(sequence=SimpleNamespace(stream=each.sequence)),
            )
            for each in page
        ]

    async def unsubscribe(self) -> None:
        """The consumer is deleted next."""

    async def delete_consumer(self, stream: str, name: str) -> None:
        assert name == "tails"


@asynccontextmanager
async def fed(copies: Copies) -> AsyncIterator[list[int]]:
    """Sequences that a listener is told of."""
    feed = EventFeed(copies, compare_every=timedelta(seconds=30))  # type: ignore[arg-type]  # the calls that a feed makes
    told: list[int] = []
    feed.listen(lambda ref, event: told.append(event.sequence))
    await feed.start()
    try:
        yield told
    finally:
        await feed.stop()


async def until_told(told: list[int], sequence: int) -> None:
    async with asyncio.timeout(10):
        while sequence not in told:
            await asyncio.sleep(0.01)


async def test_a_copy_that_has_not_heard_of_an_entry_is_asked_again() -> None:
    copies = Copies()
    async with fed(copies) as told:
        copies.store(4)
        copies.heard = [0, 2, 2]
        await copies.publish_last()
        await until_told(told, 4)
    assert told == [1, 2, 3, 4]
    assert copies.reads >= 4


async def test_entries_that_are_gone_are_passed_over() -> None:
    copies = Copies()
    async with fed(copies) as told:
        copies.store(4, purged=3)
        await copies.publish_last()
        await until_told(told, 4)
    assert told == [4]
    assert copies.reads == 1, "an answer that goes beyond the hole says that it is one"


async def test_a_start_from_a_copy_that_is_behind_misses_no_job() -> None:
    copies = Copies()
    copies.store(5)
    copies.tails = copies.led[:3][-1:]
    copies.heard = [3]
    async with fed(copies) as told:
        assert told == [3, 4, 5]


async def test_a_start_while_servers_choose_a_leader_tells_of_every_job_once() -> None:
    copies = Copies(refusals=[ServiceUnavailableError(code=503)], silences=[2, 0])
    copies.store(3)
    copies.tails = list(copies.led)
    async with fed(copies) as told:
        assert told == [1, 2, 3]
    assert not copies.refusals
    assert not copies.silences


async def test_a_start_after_the_newest_entries_were_removed_waits_for_nothing() -> None:
    copies = Copies()
    copies.store(5)
    copies.led = copies.led[:2]
    copies.tails = copies.led[-1:]
    async with fed(copies) as told:
        assert told == [2]
