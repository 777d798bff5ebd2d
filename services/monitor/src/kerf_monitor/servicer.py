"""`MonitorService` over gRPC."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from kerf.monitor.v1 import monitor_pb2 as api
from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceServicer
from kerf_core.auth import current_tenant, require_operator
from kerf_core.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, Unavailable
from kerf_core.grpc_calls import Context, draining_error
from kerf_monitor.domain.advice import GPU_KINDS, Thresholds, advice_for
from kerf_monitor.domain.health import Limits, health_of
from kerf_monitor.domain.history import evenly_spaced
from kerf_monitor.domain.node import Node
from kerf_monitor.domain.sessions import Session, SessionBook
from kerf_monitor.domain.snapshot import Snapshot
from kerf_monitor.messages import health_message, session_message, snapshot_message

_DEFAULT_SNAPSHOTS = 120
_DEFAULT_PAGE = 50
_COME_BACK = timedelta(seconds=5)
_MAX_ANSWER_BYTES = 3 << 20
"""Below the 4 MiB of a message, with room for what is counted roughly."""
_TOKEN = re.compile(r"^([0-9]{1,17})\.([a-z0-9-]{1,64})\.([0-9]{1,12})$")


class MonitorServicer(MonitorServiceServicer):
    """See monitor.proto. The node's figures are for every tenant; sessions for whose they are, and for operators."""

    def __init__(
        self,
        node: Node,
        book: SessionBook,
        *,
        interval: timedelta,
        max_watchers: int,
        limits: Limits,
        thresholds: Thresholds,
    ) -> None:
        """`interval`: the monitor's own, the shortest that is streamed. `max_watchers`: streams at once."""
        self._node = node
        self._book = book
        self._interval = interval
        self._max_watchers = max_watchers
        self._watchers = 0
        self._limits = limits
        self._thresholds = thresholds

    async def GetNode(self, request: api.GetNodeRequest, context: Context) -> api.GetNodeResponse:
        now = self._newest()
        answer = api.GetNodeResponse(now=snapshot_message(now))
        if request.HasField("history"):
            span = _span("history", request.history)
            before = [snapshot for snapshot in self._node.history.window(span) if snapshot is not now]
            answer.history.extend(_fitting(before, request.max_snapshots or _DEFAULT_SNAPSHOTS))
        return answer

    async def WatchNode(self, request: api.WatchNodeRequest, context: Context) -> AsyncIterator[api.WatchNodeResponse]:
        interval = _span("interval", request.interval) if request.HasField("interval") else self._interval
        if self._watchers >= self._max_watchers:
            raise ResourceExhausted(
                "TOO_MANY_WATCHERS",
                f"{self._max_watchers} streams watch this node already: close one, or read with GetNode",
                retry_after=_COME_BACK,
            )
        self._watchers += 1
        try:
            async with aclosing(self._node.watch(max(interval, self._interval))) as snapshots:
                async for snapshot in snapshots:
                    yield api.WatchNodeResponse(snapshot=snapshot_message(snapshot))
        finally:
            self._watchers -= 1
        raise draining_error()  # the only way that it ends by itself

    async def ListSessions(self, request: api.ListSessionsRequest, context: Context) -> api.ListSessionsResponse:
        after = _page_token(request.page_token)
        sessions = self._book.newest_first(_visible_tenant(), request.job.removeprefix("jobs/"))
        older = (session for session in sessions if after is None or session.order < after)
        page, token = _page(older, request.page_size or _DEFAULT_PAGE)
        messages = [session_message(session, self._book.usage(session)) for session in page]
        return api.ListSessionsResponse(sessions=messages, next_page_token=token)

    async def GetSession(self, request: api.GetSessionRequest, context: Context) -> api.Session:
        job, _, fence = request.name.removeprefix("sessions/").partition(".")
        session = self._book.get(job, int(fence))
        tenant = _visible_tenant()
        if session is None or tenant not in (None, session.tenant):
            raise NotFound(
                "SESSION_NOT_FOUND",
                f"{request.name} is not known on node {self._node.name}: it ran elsewhere, before this monitor started,"
                " or is too long ago",
            )
        return session_message(session, self._book.usage(session))

    async def ListRecommendations(
        self, request: api.ListRecommendationsRequest, context: Context
    ) -> api.ListRecommendationsResponse:
        snapshots = self._node.history.window(self._thresholds.window)
        gpu_sessions = self._book.ran_since(snapshots[0].time, GPU_KINDS) if snapshots else 0
        found = advice_for(snapshots, gpu_sessions, self._thresholds)
        told = [api.Recommendation(reason=advice.reason, message=advice.message) for advice in found]
        return api.ListRecommendationsResponse(recommendations=told)

    async def GetHealth(self, request: api.GetHealthRequest, context: Context) -> api.GetHealthResponse:
        return health_message(health_of(self._newest(), self._limits))

    def _newest(self) -> Snapshot:
        if self._node.newest is None:
            raise Unavailable(
                "NOT_MEASURED_YET", "nothing was read yet: try again in a moment", retry_after=timedelta(seconds=1)
            )
        return self._node.newest


def _visible_tenant() -> str | None:
    """The caller's tenant; None = an operator, who sees all."""
    try:
        require_operator()
    except PermissionDenied:
        return current_tenant()
    return None


def _span(field: str, duration: Duration) -> timedelta:
    try:
        span = duration.ToTimedelta()
    except (OverflowError, ValueError):
        raise InvalidArgument.of_field(field, "is no time span") from None
    if span < timedelta(0):
        raise InvalidArgument.of_field(field, "must not be negative")
    return span


def _fitting(snapshots: list[Snapshot], most: int) -> list[api.NodeSnapshot]:
    """As many as asked for, or as fit into one message."""
    while True:
        messages = [snapshot_message(snapshot) for snapshot in evenly_spaced(snapshots, most)]
        size = sum(message.ByteSize() for message in messages)
        if size <= _MAX_ANSWER_BYTES:
            return messages
        most = min(len(messages) - 1, len(messages) * _MAX_ANSWER_BYTES // size)


def _page_token(token: str) -> tuple[int, str, int] | None:
    if not token:
        return None
    parts = _TOKEN.match(token)
    if parts is None:
        raise InvalidArgument.of_field("page_token", "is not one that this method answered with")
    return int(parts[1]), parts[2], int(parts[3])


def _page(sessions: Iterable[Session], size: int) -> tuple[list[Session], str]:
    page: list[Session] = []
    for session in sessions:
        if len(page) == size:
            return page, "{}.{}.{}".format(*page[-1].order)
        page.append(session)
    return page, ""
