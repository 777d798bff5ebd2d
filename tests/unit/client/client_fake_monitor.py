"""A monitor of a node that knows little: some readings measured, some not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from kerf.monitor.v1 import monitor_pb2 as api
from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceServicer
from unit.client.client_fake_gateway import API_KEY
from unit.client.client_statuses import abort

NOW = 1_760_000_000
HOSTILE_NAME = "<b>H200</b>\x1b[2J"


def measured(value: float) -> api.Reading:
    return api.Reading(availability=api.AVAILABILITY_MEASURED, value=value)


def unknown(reason: str = "") -> api.Reading:
    return api.Reading(availability=api.AVAILABILITY_UNKNOWN, reason=reason)


def gpu() -> api.Gpu:
    return api.Gpu(
        index=0,
        name=HOSTILE_NAME,
        utilization=measured(0.0),
        memory_total_bytes=measured(139 * 2.0**30),
        memory_used_bytes=api.Reading(availability=api.AVAILABILITY_STALE, value=2.0**30, reason="NVML is silent"),
        temperature_celsius=unknown("NVML said no"),
        ecc_uncorrected_errors=api.Reading(availability=api.AVAILABILITY_UNSUPPORTED),
        throttle_availability=api.AVAILABILITY_UNKNOWN,
        processes_availability=api.AVAILABILITY_MEASURED,
    )


class FakeMonitor(MonitorServiceServicer):
    """Answers at once; `with_gpu` False = a node without one. Notes what it was asked."""

    def __init__(self, *, with_gpu: bool = False) -> None:
        self.with_gpu = with_gpu
        self.history_seconds: list[int] = []
        self.watch_interval_seconds: list[float] = []

    def snapshot(self, seconds_ago: int = 0) -> api.NodeSnapshot:
        state = api.GPU_STATE_PRESENT if self.with_gpu else api.GPU_STATE_ABSENT
        message = "driver 570" if self.with_gpu else "no NVIDIA driver on this host"
        cpu = unknown("first reading") if seconds_ago == 60 else measured(0.25)
        host = api.Host(cpu_utilization=cpu, cpu_count=measured(2), memory_used_bytes=measured(2.0**30))
        snapshot = api.NodeSnapshot(node="node-1", host=host, gpus=[gpu()] if self.with_gpu else [])
        snapshot.time.FromSeconds(NOW - seconds_ago)
        snapshot.gpu_support.CopyFrom(api.GpuSupport(state=state, message=message))
        return snapshot

    async def _admit(self, context: Any) -> None:
        if ("authorization", f"Bearer {API_KEY}") not in tuple(context.invocation_metadata()):
            await abort(context, grpc.StatusCode.UNAUTHENTICATED, "this API key is not known", reason="BAD_KEY")

    async def GetNode(self, request: api.GetNodeRequest, context: Any) -> api.GetNodeResponse:  # noqa: N802 (gRPC's name)
        await self._admit(context)
        history = []
        if request.HasField("history"):
            self.history_seconds.append(request.history.seconds)
            history = [self.snapshot(ago) for ago in (60, 30)]
        return api.GetNodeResponse(now=self.snapshot(), history=history)

    async def WatchNode(  # noqa: N802 (gRPC's name)
        self, request: api.WatchNodeRequest, context: Any
    ) -> AsyncIterator[api.WatchNodeResponse]:
        await self._admit(context)
        self.watch_interval_seconds.append(request.interval.seconds + request.interval.nanos / 1e9)
        for ago in (60, 0):
            yield api.WatchNodeResponse(snapshot=self.snapshot(ago))

    async def ListSessions(  # noqa: N802 (gRPC's name)
        self, request: api.ListSessionsRequest, context: Any
    ) -> api.ListSessionsResponse:
        await self._admit(context)
        running = api.Session(name="sessions/j2.1", job="jobs/j2", stage="train", kind="trainer", worker="w1")
        ended = api.Session(name="sessions/j1.1", job="jobs/j1", stage="generate", kind="diffusion", worker="w0")
        for session, began in ((running, NOW), (ended, NOW - 90)):
            session.start_time.FromSeconds(began)
        ended.end_time.FromSeconds(NOW - 20)
        ended.outcome = "completed"
        ended.device_seconds.CopyFrom(measured(0.0))
        pages = [running, ended]
        start = int(request.page_token or 0)
        following = str(start + 1) if start + 1 < len(pages) else ""
        return api.ListSessionsResponse(sessions=pages[start : start + 1], next_page_token=following)

    async def GetSession(self, request: api.GetSessionRequest, context: Any) -> api.Session:  # noqa: N802 (gRPC's name)
        await self._admit(context)
        return api.Session(name=request.name)

    async def ListRecommendations(  # noqa: N802 (gRPC's name)
        self, request: api.ListRecommendationsRequest, context: Any
    ) -> api.ListRecommendationsResponse:
        await self._admit(context)
        return api.ListRecommendationsResponse()

    async def GetHealth(  # noqa: N802 (gRPC's name)
        self, request: api.GetHealthRequest, context: Any
    ) -> api.GetHealthResponse:
        await self._admit(context)
        finding = api.HealthFinding(
            state=api.HEALTH_STATE_WARNING, reason="DISK_NEARLY_FULL", message="91 % of the disk is used, limit 90 %"
        )
        return api.GetHealthResponse(state=api.HEALTH_STATE_WARNING, findings=[finding])
