"""The connection to NATS, and the few JetStream requests that kerf is built on."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError
from nats.js.kv import KeyValue

from kerf_core.errors import ResourceExhausted, Unavailable
from kerf_core.settings import ServiceSettings
from kerf_core.tracing import trace_headers

LOG = logging.getLogger(__name__)
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_FULL = frozenset({10077, 10023, 10047, 10122})
_TOO_MANY_BATCHES = 10210
_BATCH = 1000
_MAX_BATCH_BYTES = 4 << 20


class Conflict(Exception):
    """The stream's last sequence of the subject is not the expected one."""


class OutcomeUnknown(Exception):
    """No answer in time: the message may or may not be stored."""


@dataclass(frozen=True)
class Stored:
    """A message in a stream."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Bus:
    """A NATS connection that heals itself."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self._buckets: dict[str, KeyValue] = {}
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._replies: dict[str, asyncio.Queue[Msg]] = {}
        self.reconnected = asyncio.Event()
        """Set at every reconnect; whoever waits clears it."""

    @classmethod
    async def connect(cls, settings: ServiceSettings, name: str) -> Bus:
        """Connect, waiting as long as it takes; what is wrong is in the log."""
        box: list[Bus] = []

        async def reconnected() -> None:
            LOG.info("NATS is back")
            for bus in box:
                bus.reconnected.set()

        async def disconnected() -> None:
            LOG.warning("NATS is away")

        async def errored(error: Exception) -> None:
            LOG.warning("NATS: %s", str(error) or type(error).__name__)

        options: dict[str, Any] = {
            "servers": settings.nats_url.split(","),
            "name": name,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": 2,
            "ping_interval": 5,
            "max_outstanding_pings": 2,
            "reconnected_cb": reconnected,
            "disconnected_cb": disconnected,
            "error_cb": errored,
        }
        if settings.nats_user:
            options |= {"user": settings.nats_user, "password": settings.nats_password.get_secret_value()}
        bus = cls(await _first_connection(options))
        box.append(bus)
        return bus

    @property
    def connected(self) -> bool:
        """True while the connection stands."""
        return bool(self.client.is_connected)

    async def bucket(self, name: str) -> KeyValue:
        """A key-value bucket. Raises Unavailable."""
        if name not in self._buckets:
            try:
                self._buckets[name] = await self.js.key_value(name)
            except (APIError, nats.errors.Error, TimeoutError) as error:
                raise nats_away() from error
        return self._buckets[name]

    async def close(self) -> None:
        """Flush and close."""
        try:
            async with asyncio.timeout(5):
                await self.client.drain()
        except (NatsTimeout, TimeoutError, ConnectionClosedError, nats.errors.Error):
            await self.client.close()

    async def publish(self, subject: str, data: bytes) -> None:
        """Core publish, fire and forget, with the trace."""
        try:
            await self.client.publish(subject, data, headers=trace_headers() or None)
        except (ConnectionClosedError, OutboundBufferLimitError):
            LOG.debug("dropped a message on %s: NATS is away", subject)

    async def append(self, subject: str, data: bytes, *, expected: int, timeout: float) -> int:
        """Store a message if the last one on `subject` has stream sequence `expected` (0 = there is none).

        Returns its stream sequence. Raises Conflict, OutcomeUnknown, ResourceExhausted.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected), **trace_headers()}
        try:
            answer = await self.js.publish(subject, data, timeout=timeout, headers=headers)
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise Conflict from error
            if error.err_code in _FULL:
                raise _store_full() from error
            raise OutcomeUnknown(str(error)) from error
        except (NatsTimeout, TimeoutError, NoStreamResponseError, NoRespondersError, ConnectionClosedError) as error:
            raise OutcomeUnknown(str(error)) from error
        return int(answer.seq)

    async def append_batch(self, messages: Sequence[tuple[str, bytes]], *, timeout: float) -> None:
        """Store first messages on subjects that have none, all of them or none (an atomic batch of at most 1,000).

        Raises Conflict (one of the subjects has a message), OutcomeUnknown, ResourceExhausted, Unavailable (too many
        batches are open at once).
        """
        batch = os.urandom(12).hex()
        try:
            for number, (subject, data) in enumerate(messages, start=1):
                headers = {
                    "Nats-Batch-Id": batch,
                    "Nats-Batch-Sequence": str(number),
                    "Nats-Expected-Last-Subject-Sequence": "0",
                    **trace_headers(),
                }
                if number == len(messages):
                    headers["Nats-Batch-Commit"] = "1"
                if number in (1, len(messages)):  # the first answer tells early if the server refuses batches now
                    answer = await self.client.request(subject, data, timeout=timeout, headers=headers)
                    _raise_refusal(answer.data)
                else:
                    await self.client.publish(subject, data, headers=headers)
        except (nats.errors.Error, TimeoutError) as error:
            raise OutcomeUnknown(str(error)) from error

    async def last(self, stream: str, subject: str, *, timeout: float = 2.0) -> Stored | None:
        """The last message on a subject, from the stream's leader. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout):
                message = await self.js.get_last_msg(stream, subject, direct=False)
        except NotFoundError:
            return None
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        return Stored(int(message.seq or 0), subject, message.data or b"")

    async def first(self, stream: str, subject: str, *, start: int, timeout: float = 2.0) -> int | None:
        """Stream sequence of the first message on a subject (wildcards allowed) from `start` on; None = there is none.

        The stream's leader says it. Raises Unavailable.
        """
        try:
            async with asyncio.timeout(timeout):
                message = await self.js.get_msg(stream, start, subject, next=True)
        except NotFoundError:
            return None
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        return int(message.seq or 0)

    async def read(
        self, stream: str, subject: str, *, start: int = 1, limit: int | None = None, timeout: float = 5.0
    ) -> list[Stored]:
        """Messages on a subject (wildcards allowed) from stream sequence `start` on, in order. Raises Unavailable."""
        found: list[Stored] = []
        while True:
            want = _BATCH if limit is None else min(_BATCH, limit - len(found))
            page, pending = await self._read_page(stream, subject, start, want, timeout)
            found += page
            if not page or not pending or (limit is not None and len(found) >= limit):
                return found
            start = page[-1].sequence + 1

    async def _read_page(
        self, stream: str, subject: str, start: int, batch: int, timeout: float
    ) -> tuple[list[Stored], int]:
        request = {"seq": start, "next_by_subj": subject, "batch": batch, "max_bytes": _MAX_BATCH_BYTES}
        page: list[Stored] = []
        number = str(next(self._numbers))
        replies = self._replies[number] = asyncio.Queue()
        try:
            await self._listen_for_replies()
            reply = f"{self._inbox}.{number}"
            await self.client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=reply)
            async with asyncio.timeout(timeout):
                while True:
                    message = await replies.get()
                    headers = message.headers or {}
                    status = headers.get("Status", "")
                    if status == "404":
                        return page, 0
                    if status == "204":  # end of batch
                        return page, int(headers.get("Nats-Num-Pending", "0"))
                    if status:
                        raise nats_away(f"{status} {headers.get('Description', '')}")
                    page.append(Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data, headers))
        except (nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        finally:
            del self._replies[number]

    async def _listen_for_replies(self) -> None:
        """One subscription for the answers to all batched reads of this process."""
        if self._inbox:
            return
        self._inbox = self.client.new_inbox()

        async def received(message: Msg) -> None:
            waiting = self._replies.get(message.subject.rsplit(".", 1)[1])
            if waiting is not None:
                waiting.put_nowait(message)

        await self.client.subscribe(f"{self._inbox}.*", cb=received)

    async def last_sequence(self, stream: str) -> int:
        """The stream's last sequence. Raises Unavailable."""
        try:
            info = await self.js.stream_info(stream)
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        return int(info.state.last_seq)

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """Subjects with messages in a stream. Raises Unavailable."""
        try:
            info = await self.js.stream_info(stream, subjects_filter=pattern)
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        return sorted(info.state.subjects or {})

    async def purge(self, stream: str, subject: str) -> int:
        """Remove all messages on a subject (wildcards allowed); returns how many there were. Raises Unavailable."""
        if not subject:
            raise ValueError("an empty subject would mean the whole stream")
        try:
            request = json.dumps({"filter": subject}).encode()
            answer = await self.client.request(f"$JS.API.STREAM.PURGE.{stream}", request, timeout=10)
        except (nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        told = json.loads(answer.data)
        if "error" in told:
            raise nats_away(str(told["error"].get("description", "")))
        return int(told["purged"])


def _raise_refusal(answer: bytes) -> None:
    """Raise what an answer to a publish of a batch means, if it is a refusal."""
    refusal = json.loads(answer).get("error", {}) if answer else {}
    code = refusal.get("err_code", 0)
    if code in WRONG_LAST_SEQUENCE:
        raise Conflict
    if code in _FULL:
        raise _store_full()
    if code == _TOO_MANY_BATCHES:
        raise nats_away("too many batches are being accepted at once")
    if refusal:
        raise OutcomeUnknown(str(refusal.get("description", code)))


def _store_full() -> ResourceExhausted:
    text = "the job store is full: free disk space or raise the stream's limit, then try again"
    return ResourceExhausted("STORE_FULL", text)


async def _first_connection(options: dict[str, Any]) -> Client:
    while True:
        try:
            return await nats.connect(**options)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            LOG.warning("cannot reach NATS: %s", str(error) or type(error).__name__)
            await asyncio.sleep(0.5)


def nats_away(detail: str = "") -> Unavailable:
    """What the caller is told while NATS does not answer."""
    text = "the job store (NATS) does not answer; nothing was lost, try again shortly"
    return Unavailable("NATS_UNAVAILABLE", f"{text} ({detail})" if detail else text, retry_after=timedelta(seconds=1))
