"""The contract's methods, called as the gRPC server calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import ValidationError

from kerf.monitor.v1 import monitor_pb2 as api
from kerf_core.auth import Caller, set_caller
from kerf_core.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from kerf_core.grpc_calls import Context, validate
from kerf_core.stages import TenantId
from kerf_monitor.domain.sessions import Session
from kerf_monitor.domain.snapshot import GpuFigures, GpuProcess, HostFigures, Reading, Snapshot, measured, unknown
from kerf_monitor.messages import reading_message, snapshot_message
from kerf_monitor.servicer import MonitorServicer
from kerf_monitor.settings import MonitorSettings
from kerf_monitor.wiring import build_book, build_node, gpu_subject, limits_of, thresholds_of

MakeGpu = Callable[..., GpuFigures]
MakeSnapshot = Callable[..., Snapshot]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CONTEXT = cast(Context, None)
SETTINGS = MonitorSettings(node="here", max_watchers=1)


class Served:
    """A servicer with a node and a book that a test fills."""

    def __init__(self) -> None:
        self.node = build_node(SETTINGS)
        self.book = build_book(SETTINGS, self.node)
        self.book.place_worker("w1", "here")
        self.servicer = MonitorServicer(
            self.node,
            self.book,
            interval=SETTINGS.interval,
            max_watchers=SETTINGS.max_watchers,
            limits=limits_of(SETTINGS),
            thresholds=thresholds_of(SETTINGS),
        )

    def add(self, *snapshots: Snapshot) -> None:
        for snapshot in snapshots:
            self.node.history.add(snapshot)
            self.node.newest = snapshot

    def begin(self, job: str, tenant: str, second: int) -> None:
        start = NOON + timedelta(seconds=second)
        self.book.begin(Session(tenant, job, second, "draw", "diffusion", "w1", start), start)

    async def sessions(self, **request: Any) -> api.ListSessionsResponse:
        return await self.servicer.ListSessions(api.ListSessionsRequest(**request), CONTEXT)


@pytest.fixture
def served() -> Served:
    set_caller(Caller(TenantId("a")))
    return Served()


def test_every_field_of_the_domain_is_a_field_of_the_contract() -> None:
    for domain, message in ((HostFigures, api.Host), (GpuFigures, api.Gpu)):
        assert [each.name for each in fields(domain)] == [each.name for each in message.DESCRIPTOR.fields]


def test_a_figure_without_value_has_none_and_a_stale_one_keeps_it() -> None:
    assert reading_message(measured(0)) == api.Reading(availability=api.AVAILABILITY_MEASURED)
    gone = Reading(unknown("").availability, 7.0, "why")  # whatever stands there is not told
    assert reading_message(gone) == api.Reading(availability=api.AVAILABILITY_UNKNOWN, reason="why")


async def test_get_node_answers_the_newest_and_history_only_if_asked(
    served: Served, make_snapshot: MakeSnapshot, make_gpu: MakeGpu
) -> None:
    gpu = make_gpu(processes=(GpuProcess(7, "python", measured(5)),), throttle_reasons=("thermal",), mig_enabled=True)
    served.add(*(make_snapshot(second, (gpu,)) for second in range(0, 300, 2)))
    answer = await served.servicer.GetNode(api.GetNodeRequest(), CONTEXT)
    assert answer.now.node == "here"
    assert answer.now.gpu_support.state == api.GPU_STATE_PRESENT
    assert answer.now.gpus[0].processes[0].memory_used_bytes.value == 5
    assert answer.now.gpus[0].memory_used_bytes.value == 8 << 30
    assert answer.now.gpus[0].mig_enabled
    assert answer.now.time.ToDatetime(UTC) == NOON + timedelta(seconds=298)
    assert len(answer.history) == 0
    request = api.GetNodeRequest()
    request.history.FromSeconds(100)
    answer = await served.servicer.GetNode(request, CONTEXT)
    times = [each.time.ToDatetime(UTC) for each in answer.history]
    assert times == [NOON + timedelta(seconds=second) for second in range(198, 298, 2)]
    request.max_snapshots = 5
    assert len((await served.servicer.GetNode(request, CONTEXT)).history) == 5
    request.history.FromSeconds(315_576_000_000)
    request.max_snapshots = 0
    assert len((await served.servicer.GetNode(request, CONTEXT)).history) == 120


async def test_a_history_that_is_too_large_for_a_message_is_thinned(
    served: Served, make_snapshot: MakeSnapshot, make_gpu: MakeGpu
) -> None:
    processes = tuple(GpuProcess(pid, "python", measured(5)) for pid in range(64))
    gpus = tuple(make_gpu(index=index, uuid=f"GPU-{index}", processes=processes) for index in range(8))
    served.add(*(make_snapshot(second, gpus) for second in range(0, 1700, 2)))
    request = api.GetNodeRequest(max_snapshots=2000)
    request.history.FromSeconds(1800)
    answer = await served.servicer.GetNode(request, CONTEXT)
    assert 2 << 20 < answer.ByteSize() < 4 << 20
    assert answer.history[0].time.ToDatetime(UTC) == NOON
    assert answer.history[-1].time.ToDatetime(UTC) == NOON + timedelta(seconds=1696)


@pytest.mark.parametrize("seconds", [-1, 10**15])
async def test_a_history_that_is_no_time_span_is_refused(
    served: Served, make_snapshot: MakeSnapshot, seconds: int
) -> None:
    served.add(make_snapshot())
    request = api.GetNodeRequest()
    request.history.seconds = seconds
    with pytest.raises(InvalidArgument, match="history"):
        await served.servicer.GetNode(request, CONTEXT)


async def test_before_the_first_reading_the_caller_is_told_to_wait(served: Served) -> None:
    for call in (
        served.servicer.GetNode(api.GetNodeRequest(), CONTEXT),
        served.servicer.GetHealth(api.GetHealthRequest(), CONTEXT),
    ):
        with pytest.raises(Unavailable, match="nothing was read yet"):
            await call
    answer = await served.servicer.ListRecommendations(api.ListRecommendationsRequest(), CONTEXT)
    assert list(answer.recommendations) == []


async def test_streams_are_bounded_and_end_at_drain(served: Served, make_snapshot: MakeSnapshot) -> None:
    served.add(make_snapshot())
    stream = aiter(served.servicer.WatchNode(api.WatchNodeRequest(), CONTEXT))
    assert (await anext(stream)).snapshot == snapshot_message(make_snapshot())
    with pytest.raises(ResourceExhausted) as refused:
        await anext(aiter(served.servicer.WatchNode(api.WatchNodeRequest(), CONTEXT)))
    assert refused.value.reason == "TOO_MANY_WATCHERS"
    served.node.drain()
    with pytest.raises(Unavailable) as ended:
        await anext(stream)
    assert ended.value.reason == "DRAINING"


async def test_a_stream_that_was_left_makes_room(served: Served, make_snapshot: MakeSnapshot) -> None:
    served.add(make_snapshot())
    for _ in range(3):
        stream = served.servicer.WatchNode(api.WatchNodeRequest(), CONTEXT)
        await anext(aiter(stream))
        await cast(Any, stream).aclose()


async def test_sessions_are_paged_newest_first_and_new_ones_do_not_shift_the_pages(served: Served) -> None:
    for second in range(1, 8):
        served.begin(f"j{second}", "a", second)
    seen: list[str] = []
    token = ""
    while True:
        page = await served.sessions(page_size=3, page_token=token)
        seen += [session.name for session in page.sessions]
        served.begin(f"new{len(seen)}", "a", 100 + len(seen))
        token = page.next_page_token
        if not token:
            break
        validate(api.ListSessionsRequest(page_token=token))
    assert seen == [f"sessions/j{second}.{second}" for second in range(7, 0, -1)]


async def test_sessions_of_one_job(served: Served) -> None:
    served.begin("j1", "a", 1)
    served.begin("j2", "a", 2)
    assert [each.job for each in (await served.sessions(job="jobs/j1")).sessions] == ["jobs/j1"]


@pytest.mark.parametrize("token", ["x", "1.2", "1.j1.2.3", "1.J1.2", "-1.j1.2", "9" * 40 + ".j.1"])
async def test_a_page_token_of_somebody_else_is_refused(served: Served, token: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        await served.sessions(page_token=token)


async def test_tenants_see_their_own_sessions_and_operators_all(served: Served) -> None:
    served.begin("j1", "a", 1)
    served.begin("j2", "b", 2)
    get = served.servicer.GetSession
    assert [each.tenant for each in (await served.sessions()).sessions] == ["a"]
    assert (await get(api.GetSessionRequest(name="sessions/j1.1"), CONTEXT)).job == "jobs/j1"
    for name in ("sessions/j2.2", "sessions/j1.2", "sessions/none.1"):
        with pytest.raises(NotFound) as missing:
            await get(api.GetSessionRequest(name=name), CONTEXT)
        assert missing.value.reason == "SESSION_NOT_FOUND"
    set_caller(Caller(TenantId("op"), operator=True))
    assert [each.tenant for each in (await served.sessions()).sessions] == ["b", "a"]
    assert (await get(api.GetSessionRequest(name="sessions/j2.2"), CONTEXT)).tenant == "b"


async def test_health_and_advice_are_answered(served: Served, make_snapshot: MakeSnapshot) -> None:
    served.add(*(make_snapshot(second, cpu_utilization=measured(1)) for second in range(0, 301, 10)))
    served.add(make_snapshot(302, disk_used_bytes=measured(399 << 30)))
    health = await served.servicer.GetHealth(api.GetHealthRequest(), CONTEXT)
    assert health.state == api.HEALTH_STATE_CRITICAL
    assert health.findings[0].reason == "DISK_NEARLY_FULL"
    advice = await served.servicer.ListRecommendations(api.ListRecommendationsRequest(), CONTEXT)
    assert [each.reason for each in advice.recommendations] == ["FREE_DISK", "CPU_SATURATED"]


def test_a_node_is_one_token_of_a_subject() -> None:
    assert gpu_subject("gpu-7") == "kerf.v1.gpu.gpu-7"
    assert gpu_subject("gpu-7.rack.example") == "kerf.v1.gpu.gpu-7_rack_example"
    assert gpu_subject("a.> *") == "kerf.v1.gpu.a____"


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": 0.01},
        {"history": 1, "interval": 2},
        {"history": 100_000, "interval": 0.1},
        {"advice_window": 4000},
        {"probe_timeout": 0},
        {"disk_warning": 0.99},
        {"memory_warning": 0.99},
        {"gpu_hot_warning_celsius": 99},
        {"ecc_warning": 11},
        {"host_scope": "galaxy"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MonitorSettings(**wrong)
