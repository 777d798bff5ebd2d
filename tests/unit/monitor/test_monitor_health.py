"""Health and advice: each finding from the figure that it names, and none without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kerf_monitor.domain.advice import advice_for
from kerf_monitor.domain.health import Health, HealthState, health_of
from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFacts,
    GpuFigures,
    GpuPresence,
    HostFigures,
    Reading,
    Snapshot,
    measured,
    nothing_read,
    unknown,
    unsupported,
)
from kerf_monitor.settings import MonitorSettings
from kerf_monitor.wiring import limits_of, thresholds_of

MakeGpu = Callable[..., GpuFigures]
MakeSnapshot = Callable[..., Snapshot]
LIMITS = limits_of(MonitorSettings())
THRESHOLDS = thresholds_of(MonitorSettings())
GIB = 1 << 30


def reasons(health: Health) -> list[tuple[str, str]]:
    return [(finding.state.name, finding.reason) for finding in health.findings]


def test_a_well_node_has_no_findings(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    for snapshot in (make_snapshot(), make_snapshot(gpus=(make_gpu(),))):
        assert health_of(snapshot, LIMITS) == Health(HealthState.OK, ())
    starting = make_snapshot(cpu_utilization=unknown("only one reading yet"))
    assert health_of(starting, LIMITS).state is HealthState.OK


@pytest.mark.parametrize(
    ("changes", "state", "reason", "figure"),
    [
        ({"disk_used_bytes": measured(340 * GIB)}, "WARNING", "DISK_NEARLY_FULL", "85% of the disk"),
        ({"disk_used_bytes": measured(380 * GIB)}, "CRITICAL", "DISK_NEARLY_FULL", "380.0 of 400.0 GiB"),
        ({"memory_used_bytes": measured(15 * GIB)}, "WARNING", "MEMORY_NEARLY_FULL", "94% of memory"),
        ({"memory_used_bytes": measured(16 * GIB)}, "CRITICAL", "MEMORY_NEARLY_FULL", "warning from 90%"),
        ({"load_1m": unknown("no /proc")}, "WARNING", "HOST_FIGURE_MISSING", "no /proc"),
        ({"load_1m": Reading(Availability.STALE, 1, "old")}, "WARNING", "HOST_FIGURE_MISSING", "old"),
    ],
)
def test_host_findings(
    make_snapshot: MakeSnapshot, changes: dict[str, Any], state: str, reason: str, figure: str
) -> None:
    health = health_of(make_snapshot(**changes), LIMITS)
    assert reasons(health) == [(state, reason)]
    assert figure in health.findings[0].message
    assert health.state.name == state


def test_below_the_limit_is_no_finding_and_a_stale_figure_is_not_judged(make_snapshot: MakeSnapshot) -> None:
    assert health_of(make_snapshot(disk_used_bytes=measured(339 * GIB)), LIMITS).findings == ()
    stale = health_of(make_snapshot(disk_used_bytes=Reading(Availability.STALE, 400 * GIB, "old")), LIMITS)
    assert reasons(stale) == [("WARNING", "HOST_FIGURE_MISSING")]


@pytest.mark.parametrize(
    ("changes", "state", "reason", "figure"),
    [
        ({"temperature_celsius": measured(85)}, "WARNING", "GPU_HOT", "85°C"),
        ({"temperature_celsius": measured(95)}, "CRITICAL", "GPU_HOT", "critical from 92"),
        ({"ecc_uncorrected_errors": measured(1)}, "WARNING", "GPU_ECC_ERRORS", "1 uncorrected"),
        ({"ecc_uncorrected_errors": measured(10)}, "CRITICAL", "GPU_ECC_ERRORS", "10 uncorrected"),
        ({"throttle_reasons": ("power cap", "thermal")}, "WARNING", "GPU_THROTTLED", "down: thermal;"),
        ({"power_watts": unknown("NVML: Unknown")}, "WARNING", "GPU_FIGURE_MISSING", "power_watts"),
    ],
)
def test_gpu_findings(
    make_snapshot: MakeSnapshot, make_gpu: MakeGpu, changes: dict[str, Any], state: str, reason: str, figure: str
) -> None:
    health = health_of(make_snapshot(gpus=(make_gpu(**changes),)), LIMITS)
    assert reasons(health) == [(state, reason)]
    assert figure in health.findings[0].message


def test_no_finding_for_a_power_cap_for_what_a_gpu_lacks_or_for_stale_throttling(
    make_snapshot: MakeSnapshot, make_gpu: MakeGpu
) -> None:
    for changes in (
        {"throttle_reasons": ("power cap",)},
        {"energy_joules": unsupported("no"), "ecc_uncorrected_errors": unsupported("no ECC")},
        {"throttle_reasons": ("thermal",), "throttle_availability": Availability.STALE},
    ):
        assert health_of(make_snapshot(gpus=(make_gpu(**changes),)), LIMITS).findings == ()


def test_a_temperature_of_before_is_not_judged(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    gpu = make_gpu(temperature_celsius=Reading(Availability.STALE, 95, "NVML: Timeout"))
    assert reasons(health_of(make_snapshot(gpus=(gpu,)), LIMITS)) == [("WARNING", "GPU_FIGURE_MISSING")]


def test_a_lost_gpu_is_critical(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    lost = nothing_read(make_gpu(), "GPU is lost")
    health = health_of(make_snapshot(gpus=(make_gpu(uuid="GPU-0"), lost)), LIMITS)
    assert reasons(health) == [("CRITICAL", "GPU_LOST")]


def test_silence_of_nvml_is_one_finding_and_becomes_critical(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    silent = nothing_read(make_gpu(), "no answer")
    for seconds, state in ((5, "WARNING"), (60, "CRITICAL")):
        snapshot = make_snapshot(gpus=(silent,))
        snapshot = replace(snapshot, gpu_silent_since=snapshot.time - timedelta(seconds=seconds))
        health = health_of(snapshot, LIMITS)
        assert reasons(health) == [(state, "NVML_SILENT")]
        assert f"for {seconds} s" in health.findings[0].message


def test_nothing_measured_is_unknown_not_well(make_snapshot: MakeSnapshot) -> None:
    blind = replace(make_snapshot(), host=HostFigures(), gpu=GpuFacts(GpuPresence.ABSENT, "no GPU"))
    health = health_of(blind, LIMITS)
    assert health.state is HealthState.UNKNOWN
    assert reasons(health) == [("UNKNOWN", "NOTHING_MEASURED")]


def test_the_worst_finding_is_first_and_is_the_state(make_snapshot: MakeSnapshot) -> None:
    health = health_of(make_snapshot(memory_used_bytes=measured(15 * GIB), disk_used_bytes=measured(399 * GIB)), LIMITS)
    assert reasons(health) == [("CRITICAL", "DISK_NEARLY_FULL"), ("WARNING", "MEMORY_NEARLY_FULL")]
    assert health.state is HealthState.CRITICAL


def five_minutes(make_snapshot: MakeSnapshot, gpu: GpuFigures | None = None, **changes: Any) -> list[Snapshot]:
    return [make_snapshot(second, (gpu,) if gpu else (), **changes) for second in range(0, 301, 10)]


def told(snapshots: list[Snapshot], gpu_sessions: int = 0) -> list[str]:
    return [advice.reason for advice in advice_for(snapshots, gpu_sessions, THRESHOLDS)]


def test_a_node_that_does_well_gets_no_advice(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    assert told(five_minutes(make_snapshot, make_gpu()), 3) == []
    assert told([]) == []


@pytest.mark.parametrize(
    ("host", "gpu", "gpu_sessions", "reason", "figure"),
    [
        ({"cpu_utilization": measured(0.97)}, {}, 0, "CPU_SATURATED", "97% busy over the last 5 min"),
        ({"memory_used_bytes": measured(15 * GIB)}, {}, 0, "HOST_MEMORY_NEARLY_FULL", "15.0 of 16.0 GiB"),
        ({"disk_used_bytes": measured(350 * GIB)}, {}, 0, "FREE_DISK", "350.0 of 400.0 GiB"),
        ({}, {"memory_used_bytes": measured(15 * GIB)}, 0, "GPU_MEMORY_NEARLY_FULL", "15.0 of 16.0 GiB"),
        ({}, {"utilization": measured(0.01)}, 0, "GPU_IDLE", "1.0% busy"),
        ({}, {"utilization": measured(0)}, 7, "GPU_NOT_USED", "7 sessions"),
        ({}, {"throttle_reasons": ("thermal",)}, 0, "GPU_TOO_HOT", "100% of the last 5 min"),
        (
            {},
            {"throttle_reasons": ("power cap",), "power_limit_watts": measured(300)},
            0,
            "GPU_POWER_CAPPED",
            "300 W",
        ),
    ],
)
def test_advice_names_its_figures(
    make_snapshot: MakeSnapshot,
    make_gpu: MakeGpu,
    host: dict[str, Any],
    gpu: dict[str, Any],
    gpu_sessions: int,
    reason: str,
    figure: str,
) -> None:
    (advice,) = advice_for(five_minutes(make_snapshot, make_gpu(**gpu), **host), gpu_sessions, THRESHOLDS)
    assert advice.reason == reason
    assert figure in advice.message


def test_advice_waits_for_half_of_its_window(make_snapshot: MakeSnapshot) -> None:
    busy = five_minutes(make_snapshot, cpu_utilization=measured(1))
    assert told(busy[:15]) == []
    assert told(busy[:16]) == ["CPU_SATURATED"]
    assert told([busy[0], busy[-1]]) == []  # two readings are no mean


def test_advice_does_not_rest_on_what_was_not_measured(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    unread = make_gpu(utilization=unknown("no"), memory_used_bytes=unknown("no"))
    assert told(five_minutes(make_snapshot, unread, cpu_utilization=unknown("no")), 5) == []
    once = five_minutes(make_snapshot, cpu_utilization=unknown("no"))
    once[3] = make_snapshot(30, cpu_utilization=measured(1))
    assert told(once) == []


def test_the_most_useful_advice_is_first(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    gpu = make_gpu(utilization=measured(0))
    many = five_minutes(make_snapshot, gpu, cpu_utilization=measured(1), disk_used_bytes=measured(399 * GIB))
    assert told(many) == ["FREE_DISK", "CPU_SATURATED", "GPU_IDLE"]
