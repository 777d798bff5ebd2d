"""The asynchronous client of a monitor, which answers directly at its own address."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

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
from kerf_client.calls import ConnectedClient
from kerf_client.connection import CallIdentity, RetryPolicy, Tls

if TYPE_CHECKING:
    from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceAsyncStub


class AsyncMonitor(ConnectedClient):
    """A connection to the monitor of one node. Use it as an async context manager, in one event loop.

    Calls are tried again while the monitor is away (see `RetryPolicy`) and raise a `kerf_client.KerfError` otherwise.
    """

    def __init__(self, target: str, api_key: str, *, tls: Tls | None = None, policy: RetryPolicy | None = None) -> None:
        super().__init__(target, api_key, tls=tls, policy=policy)
        self._stub: MonitorServiceAsyncStub = MonitorServiceStub(self._channel)

    async def get_node(self, *, history: timedelta | None = None, max_snapshots: int = 0) -> GetNodeResponse:
        """The newest readings, and with `history` those from so long ago until now."""
        request = GetNodeRequest(max_snapshots=max_snapshots)
        if history is not None:
            request.history.CopyFrom(_duration(history))
        return await self._caller.unary(self._stub.GetNode, request)

    async def get_health(self) -> GetHealthResponse:
        """Whether the node is well, with reasons."""
        return await self._caller.unary(self._stub.GetHealth, GetHealthRequest())

    def list_sessions(self, *, job: str = "", page_size: int = 0) -> AsyncGenerator[Session, None]:
        """Stage attempts that ran on the node, newest first; pages are fetched as they are needed."""
        request = ListSessionsRequest(job=job, page_size=page_size)
        return self._caller.pages(self._stub.ListSessions, request, lambda page: page.sessions)

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
