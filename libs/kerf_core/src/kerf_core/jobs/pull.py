"""Taking stages from the queue: as many as there are free slots, each at the moment it is there.

`fetch(n)` of the client library waits for n messages or its time-out; a stage must start at once. Requests are short
lived (1 s), so that none sits through a restart of the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time

from nats.aio.msg import Msg

from kerf_core.bus import Bus
from kerf_core.streams import WORK

_EXPIRES_SECONDS = 1.0
_FORGET_SECONDS = 2.0


class WorkPuller:
    """Keeps as many messages asked for as `want` says, and puts what comes into `arrived`."""

    def __init__(self, bus: Bus, consumer: str, wake: asyncio.Event) -> None:
        """`wake` is set when a message arrived or a request ended."""
        self._bus = bus
        self._wake = wake
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{WORK}.{consumer}"
        self._inbox = bus.client.new_inbox()
        self._numbers = itertools.count(1)
        self._asked: dict[str, tuple[int, float]] = {}
        self.arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def start(self) -> None:
        """Listen for answers."""
        await self._bus.client.subscribe(f"{self._inbox}.*", cb=self._received)

    async def ask(self, want: int) -> None:
        """Ask for what is missing to `want` outstanding messages."""
        horizon = time.monotonic() - _FORGET_SECONDS
        self._asked = {number: ask for number, ask in self._asked.items() if ask[1] > horizon}
        missing = want - sum(count for count, _ in self._asked.values()) - self.arrived.qsize()
        if missing > 0:
            number = str(next(self._numbers))
            self._asked[number] = (missing, time.monotonic())
            request = {"batch": missing, "expires": int(_EXPIRES_SECONDS * 1e9)}
            await self._bus.client.publish(self._subject, json.dumps(request).encode(), reply=f"{self._inbox}.{number}")

    @property
    def outstanding(self) -> bool:
        """True while the server may still send something."""
        horizon = time.monotonic() - _FORGET_SECONDS
        return any(asked_at > horizon for _, asked_at in self._asked.values())

    async def _received(self, message: Msg) -> None:
        number = message.subject.rsplit(".", 1)[1] if message.reply == "" else None
        if message.headers and "Status" in message.headers and not message.data and number is not None:
            if message.headers["Status"] != "100":
                self._asked.pop(number, None)
                self._wake.set()
            return
        self.arrived.put_nowait(message)
        # A delivered message carries the stream's subject; requests are answered in the order they were made.
        for oldest, (count, asked_at) in self._asked.items():
            if count > 1:
                self._asked[oldest] = (count - 1, asked_at)
            else:
                del self._asked[oldest]
            break
        self._wake.set()
