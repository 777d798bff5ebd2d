"""A TCP proxy between two processes, in which a connection can be cut, delayed, held, or meddled with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from chaos.faults.wires import REFUSAL, Meddling, NatsFrames, body_bytes
from kerf_core.tasks import end_tasks
from kerf_embedded.ports import LOOPBACK

_CHUNK = 1 << 16
_TORN_BYTES = 512
_METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


class Protocol(Enum):
    """What is spoken on a link."""

    NATS = "nats"
    S3 = "s3"
    GRPC = "grpc"
    ROUTE = "route"
    """Between two NATS servers of a cluster."""


class Torn(Exception):
    """The connection ends here, in the middle of something."""


class Link:
    """Listens on a port of its own and carries every connection to the upstream, which may come and go."""

    def __init__(self, name: str, protocol: Protocol, upstream: Callable[[], int]) -> None:
        """`upstream` tells the port at every connection."""
        self.name = name
        self.protocol = protocol
        self.refuses = False
        """True: connections are closed as they come."""
        self.answers_503 = False
        self.tears_uploads = False
        self.tears_downloads = False
        self.delay_s = 0.0
        self.meddling = Meddling()
        self._upstream = upstream
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._accepted, LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        await end_tasks(*self._carrying)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def carries(self) -> bool:
        """True while it has a connection."""
        return bool(self._carrying)

    def hold(self) -> None:
        """Let nothing through, without a word."""
        self._flows.clear()

    def let_go(self) -> None:
        """End `hold`."""
        self._flows.set()

    def cut(self) -> None:
        """Close every connection."""
        for task in self._carrying:
            task.cancel()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        try:
            if not self.refuses:
                await self._carry(reader, writer)
        except (OSError, Torn, asyncio.IncompleteReadError):
            pass  # an end like any other: both sides are closed below
        except asyncio.CancelledError:
            if self._server is None or not self._server.is_serving():
                raise
        finally:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self._upstream())
        ways = [
            asyncio.create_task(self._way(reader, up_writer, writer, upwards=True)),
            asyncio.create_task(self._way(up_reader, writer, writer, upwards=False)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            await end_tasks(*ways)
            up_writer.transport.abort()

    async def _way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, *, upwards: bool
    ) -> None:
        frames = NatsFrames()
        while data := await reader.read(_CHUNK):
            await self._flows.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.protocol is Protocol.NATS:
                data = b"".join(frame * self.meddling.copies_of(piece) for piece, frame in frames.feed(data))
            elif self.protocol is Protocol.S3:
                await self._meddle_with_s3(data, reader, writer, back, upwards=upwards)
            if data:
                writer.write(data)
                await writer.drain()

    async def _meddle_with_s3(
        self,
        data: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        *,
        upwards: bool,
    ) -> None:
        """Raises Torn where the data must not go on whole."""
        if upwards and self.answers_503 and data.startswith(_METHODS):
            while (left := body_bytes(data)) is None:
                data += await reader.readexactly(1)
            await reader.readexactly(left)
            back.write(REFUSAL)
            await back.drain()
            back.write_eof()
            raise Torn
        torn = self.tears_uploads and data.startswith(b"PUT") if upwards else self.tears_downloads
        if torn and len(data) > _TORN_BYTES:
            writer.write(data[: len(data) // 2])
            with suppress(OSError):
                await writer.drain()
            raise Torn
