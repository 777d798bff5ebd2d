"""A JetStream stream as a file, and back: the server's own snapshot, with every message at its place.

The protocol is that of `nats stream backup`: the server sends the pieces of a compressed
archive to a subject, each acknowledged, and takes them back in the same way. The stream goes on meanwhile; the snapshot
has all that was stored before it began.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from kerf_core.errors import DataLoss, FailedPrecondition, Unavailable

_CHUNK_BYTES = 128 << 10
_TIMEOUT_S = 20.0
"""Longest silence of the server."""
_MAX_WAITING = 1024


async def save_stream(client: Client, stream: str, file: Path) -> dict[str, Any]:
    """Write a snapshot of the stream to `file`; returns its configuration and state, which `load_stream` needs.

    Raises Unavailable, DataLoss (the server finds its own store damaged).
    """
    with file.open("wb") as out:
        pieces = _Pieces()
        subscription = await client.subscribe(client.new_inbox(), cb=pieces.received)
        try:
            request = {"deliver_subject": subscription.subject, "chunk_size": _CHUNK_BYTES, "jsck": True}
            answer = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", json.dumps(request).encode())
            async with aclosing(pieces.all(stream)) as all_pieces:
                async for piece in all_pieces:
                    await asyncio.to_thread(out.write, piece)
        finally:
            await subscription.unsubscribe()
    return {"config": answer["config"], "state": answer["state"]}


async def load_stream(client: Client, stream: str, about: dict[str, Any], file: Path) -> None:
    """Make the stream from a snapshot. Raises FailedPrecondition (it is there already), Unavailable, DataLoss."""
    answer = await _ask(client, f"$JS.API.STREAM.RESTORE.{stream}", json.dumps(about).encode())
    to = str(answer["deliver_subject"])
    with file.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, _CHUNK_BYTES):
            await _ask(client, to, piece)
    made = await _ask(client, to, b"")
    expected, found = about["state"]["messages"], made["state"]["messages"]
    if expected != found:
        raise DataLoss("BACKUP_DAMAGED", f"stream {stream}: {found} of {expected} messages came back")


class _Pieces:
    """What the server sends. An empty message ends it; a status in its headers says that it failed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Msg] = asyncio.Queue(_MAX_WAITING)

    async def received(self, message: Msg) -> None:
        await self._queue.put(message)

    async def all(self, stream: str) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    message = await self._queue.get()
            except TimeoutError:
                raise Unavailable("NATS_UNAVAILABLE", f"the snapshot of {stream} stopped: try again") from None
            if not message.data:
                if status := (message.headers or {}).get("Status", ""):
                    text = f"{status} {(message.headers or {}).get('Description', '')}".strip()
                    raise Unavailable("NATS_UNAVAILABLE", f"the snapshot of {stream} was ended: {text}; try again")
                return
            yield message.data
            if message.reply:
                await message.respond(b"")  # the server holds back while too much is not acknowledged


async def _ask(client: Client, subject: str, data: bytes) -> dict[str, Any]:
    """One request of JetStream's API; its answer, empty if it is none."""
    try:
        message = await client.request(subject, data, timeout=_TIMEOUT_S)
    except (nats.errors.Error, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise Unavailable("NATS_UNAVAILABLE", f"NATS does not answer on {subject}: {text}") from error
    answer: dict[str, Any] = json.loads(message.data) if message.data else {}
    if refusal := answer.get("error"):
        text = f"{subject}: {refusal.get('description', refusal)}"
        raise FailedPrecondition("NATS_REFUSED", f"NATS refused {text}")
    return answer
