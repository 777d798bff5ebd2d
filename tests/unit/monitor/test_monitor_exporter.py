"""What Prometheus sees: names and units of DCGM's exporter, and no series for what was not measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kerf_monitor.adapters.exporter import NodeCollector
from kerf_monitor.domain.health import Health, HealthState
from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFacts,
    GpuFigures,
    GpuPresence,
    Reading,
    Snapshot,
    measured,
    readings_of,
    unknown,
    unsupported,
)

MakeGpu = Callable[..., GpuFigures]
MakeSnapshot = Callable[..., Snapshot]
LABELS = {"gpu": "0", "UUID": "GPU-1", "device": "nvidia0", "modelName": "Fake 16GB", "Hostname": "here"}
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(snapshot: Snapshot | None, *, fresh: bool = True) -> Series:
    """Series by name and labels, after a way through Prometheus's text format."""
    if snapshot is not None and fresh:
        snapshot = replace(snapshot, time=datetime.now(UTC))
    registry = CollectorRegistry()
    registry.register(
        NodeCollector(lambda: snapshot, lambda _: Health(HealthState.WARNING, ()), lambda: 3, timedelta(seconds=60))
    )
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def gpu_value(series: Series, name: str) -> float | None:
    return series.get((name, frozenset(LABELS.items())))


def names(series: Series) -> set[str]:
    return {name for name, _ in series}


def test_gpu_series_have_the_names_units_and_labels_of_dcgm(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    gpu = make_gpu(utilization=measured(0.37), power_watts=measured(250.5), throttle_reasons=("thermal",))
    series = scraped(make_snapshot(gpus=(gpu,)))
    assert gpu_value(series, "DCGM_FI_DEV_GPU_UTIL") == 37
    assert gpu_value(series, "DCGM_FI_DEV_FB_USED") == 8 << 10  # MiB
    assert gpu_value(series, "DCGM_FI_DEV_FB_FREE") == 8 << 10
    assert gpu_value(series, "DCGM_FI_DEV_GPU_TEMP") == 60
    assert gpu_value(series, "DCGM_FI_DEV_POWER_USAGE") == 250.5
    assert gpu_value(series, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 1_000_000  # mJ
    assert gpu_value(series, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL") == 0  # measured: a zero is told
    assert series[("kerf_gpu_throttled", frozenset((LABELS | {"reason": "thermal"}).items()))] == 1
    assert sum(name.startswith("DCGM_") for name in names(series)) == len(readings_of(gpu)) + 1


def test_node_series(make_snapshot: MakeSnapshot) -> None:
    series = scraped(make_snapshot())
    none: frozenset[tuple[str, str]] = frozenset()
    assert series[("kerf_node_cpu_utilization", none)] == 0.25
    assert series[("kerf_node_memory_used_bytes", none)] == 4 << 30
    assert series[("kerf_node_gpus", none)] == 0  # it is known that there is none
    assert series[("kerf_node_sessions_running", none)] == 3
    assert series[("kerf_node_health", frozenset({("state", "warning")}))] == 1
    assert series[("kerf_node_health", frozenset({("state", "ok")}))] == 0


def test_what_was_not_measured_has_no_series(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    gpu = make_gpu(
        utilization=unknown("no"),
        temperature_celsius=Reading(Availability.STALE, 60, "old"),
        energy_joules=unsupported("no"),
        memory_used_bytes=unknown("no"),
        throttle_reasons=("thermal",),
        throttle_availability=Availability.STALE,
    )
    found = names(scraped(make_snapshot(gpus=(gpu,), load_1m=unknown("no"))))
    missing = {
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_FREE",
        "kerf_gpu_throttled",
        "kerf_node_load_1m",
    }
    assert found & missing == set()
    assert {"DCGM_FI_DEV_FB_TOTAL", "kerf_node_cpu_count"} <= found


def test_one_gpu_of_two_that_is_not_read_has_no_series_while_the_other_has(
    make_snapshot: MakeSnapshot, make_gpu: MakeGpu
) -> None:
    series = scraped(make_snapshot(gpus=(make_gpu(), make_gpu(index=1, uuid="GPU-2", utilization=unknown("no")))))
    assert [dict(labels)["UUID"] for name, labels in series if name == "DCGM_FI_DEV_GPU_UTIL"] == ["GPU-1"]


def test_whether_there_are_gpus_is_not_told_while_it_is_not_known(make_snapshot: MakeSnapshot) -> None:
    silent = replace(make_snapshot(), gpu=GpuFacts(GpuPresence.UNKNOWN, "fails"))
    assert "kerf_node_gpus" not in names(scraped(silent))


def test_readings_that_are_too_old_are_not_told(make_snapshot: MakeSnapshot) -> None:
    only_sessions = {"kerf_node_sessions_running"}
    assert names(scraped(make_snapshot(), fresh=False)) == only_sessions
    assert names(scraped(None)) == only_sessions
