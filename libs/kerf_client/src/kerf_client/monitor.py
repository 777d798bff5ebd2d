"""The asynchronous client of a monitor, which answers directly at its own address."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from google.protobuf.duration_pb2 import Duration

from kerf.monitor.v1.monitor_pb2 import (
    GetHealthRequest,
    GetHealthResponse,
    GetNodeRequest,
    GetNodeResponse,
    ListSessionsRequest,
    NodeSnapshot,
    Session,
    WatchNodeRequest,
)
from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceStub
from kerf_client.calls import Caller
from kerf_client.connection import CallIdentity, RetryPolicy, Tls, check_api_key, open_channel

if TYPE_CHECKING:
    from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceAsyncStub


class AsyncMonitor:
    """A connection to the monitor of one node. Use it as an async context manager, in one event loop.

    Calls are tried again while the monitor is away (see `RetryPolicy`) and raise a `kerf_client.KerfError` otherwise.
    """

    def __init__(self, target: str, api_key: str, *, tls: Tls | None = None, policy: RetryPolicy | None = None) -> None:
        self._caller = Caller(target, check_api_key(api_key), policy or RetryPolicy())
        self._channel = open_channel(target, tls)
        self._stub: MonitorServiceAsyncStub = MonitorServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and close the connection."""
        await self._channel.close()

    async def get_node(self, *, history: timedelta | None = None, max_snapshots: int = 0) -> GetNodeResponse:
        """The newest readings, and with `history` those from so long ago until now."""
        request = GetNodeRequest(max_snapshots=max_snapshots)
        if history is not None:
            request.history.CopyFrom(_duration(history))
        return await self._caller.unary(self._stub.GetNode, request)

    async def get_health(self) -> GetHealthResponse:
        """Whether the node is well, with reasons."""
        return await self._caller.unary(self._stub.GetHealth, GetHealthRequest())

    async def list_sessions(self, *, job: str = "", page_size: int = 0) -> AsyncGenerator[Session, None]:
        """Stage attempts that ran on the node, newest first; pages are fetched as they are needed."""
        token = ""
        while True:
            request = ListSessionsRequest(job=job, page_size=page_size, page_token=token)
            page = await self._caller.unary(self._stub.ListSessions, request)
            for session in page.sessions:
                yield session
            token = page.next_page_token
            if not token:
                return

    async def watch_node(self, *, interval: timedelta | None = None) -> AsyncGenerator[NodeSnapshot, None]:
        """The readings again and again, until the caller leaves or the monitor goes away (raises KerfError)."""
        request = WatchNodeRequest()
        if interval is not None:
            request.interval.CopyFrom(_duration(interval))
        async with aclosing(self._caller.stream(self._stub.WatchNode, request, CallIdentity.new())) as answers:
            async for answer in answers:
                yield answer.snapshot


def _duration(length: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(length)
    return message
