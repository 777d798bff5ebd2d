"""Whether a node is well, and why not. Only fresh figures are judged; what could not be read is a finding itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFigures,
    HostFigures,
    Reading,
    Snapshot,
    readings_of,
)

SEVERE_THROTTLING = ("thermal", "hardware thermal", "hardware slowdown", "power brake")
"""A power cap is how a busy GPU is meant to run; these are not."""


class HealthState(IntEnum):
    """How a node is; a greater one is worse, and UNKNOWN is worse than OK only."""

    OK = 1
    UNKNOWN = 2
    WARNING = 3
    CRITICAL = 4


@dataclass(frozen=True)
class Limits:
    """Where warnings begin and where it becomes critical: shares 0–1, degrees Celsius, counts."""

    disk: tuple[float, float]
    memory: tuple[float, float]
    gpu_celsius: tuple[float, float]
    ecc: tuple[float, float]
    nvml_silence: timedelta


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    state: HealthState
    reason: str
    message: str


@dataclass(frozen=True)
class Health:
    """The worst of the findings."""

    state: HealthState
    findings: tuple[Finding, ...]


def health_of(snapshot: Snapshot, limits: Limits) -> Health:
    """Judge the newest readings."""
    if not any(reading.measured for reading in _all_readings(snapshot)):
        nothing = Finding(HealthState.UNKNOWN, "NOTHING_MEASURED", "no figure of this node could be read")
        silence = tuple(_nvml(snapshot, limits))
        return Health(max((each.state for each in silence), default=HealthState.UNKNOWN), (nothing, *silence))
    findings = [*_host(snapshot.host, limits), *_nvml(snapshot, limits)]
    for gpu in snapshot.gpu.gpus:
        findings += _gpu(gpu, limits, asked=snapshot.gpu_silent_since is None)
    findings.sort(key=lambda finding: -finding.state)
    return Health(max((finding.state for finding in findings), default=HealthState.OK), tuple(findings))


def _all_readings(snapshot: Snapshot) -> Iterator[Reading]:
    yield from readings_of(snapshot.host).values()
    for gpu in snapshot.gpu.gpus:
        yield from readings_of(gpu).values()


def _host(host: HostFigures, limits: Limits) -> Iterator[Finding]:
    yield from _share("DISK_NEARLY_FULL", "the disk", host.disk_used_bytes, host.disk_total_bytes, limits.disk)
    yield from _share("MEMORY_NEARLY_FULL", "memory", host.memory_used_bytes, host.memory_total_bytes, limits.memory)
    for name, reading in readings_of(host).items():
        # Of CPU time the first reading is always missing: that is no ill.
        if reading.availability is Availability.STALE or (
            reading.availability is Availability.UNKNOWN and name != "cpu_utilization"
        ):
            yield Finding(HealthState.WARNING, "HOST_FIGURE_MISSING", f"{name}: {reading.reason}")


def _nvml(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    since = snapshot.gpu_silent_since
    if since is None:
        return
    silent = snapshot.time - since
    state = HealthState.CRITICAL if silent >= limits.nvml_silence else HealthState.WARNING
    yield Finding(
        state,
        "NVML_SILENT",
        f"{snapshot.gpu.message}; so for {silent.total_seconds():.0f} s"
        f" (critical from {limits.nvml_silence.total_seconds():g} s)",
    )


def _gpu(gpu: GpuFigures, limits: Limits, *, asked: bool) -> Iterator[Finding]:
    name = f"GPU {gpu.index}"
    yield from _level("GPU_HOT", f"{name} is at", "°C", gpu.temperature_celsius, limits.gpu_celsius)
    yield from _level(
        "GPU_ECC_ERRORS", f"{name} has", " uncorrected ECC errors", gpu.ecc_uncorrected_errors, limits.ecc
    )
    severe = [reason for reason in gpu.throttle_reasons if reason in SEVERE_THROTTLING]
    if severe and gpu.throttle_availability is Availability.MEASURED:
        text = f"{name} holds its clocks down: {', '.join(severe)}; look at its cooling and its power supply"
        yield Finding(HealthState.WARNING, "GPU_THROTTLED", text)
    readings = readings_of(gpu)
    missing = [key for key, value in readings.items() if value.availability in _MISSING]
    if not missing or not asked:
        return  # where NVML is silent as a whole, that is the finding
    if not any(value.measured for value in readings.values()):
        reason = readings[missing[0]].reason
        yield Finding(HealthState.CRITICAL, "GPU_LOST", f"{name} ({gpu.name or 'name not known'}): {reason}")
    else:
        text = f"{name}: {', '.join(missing)} could not be read: {readings[missing[0]].reason}"
        yield Finding(HealthState.WARNING, "GPU_FIGURE_MISSING", text)


_MISSING = (Availability.UNKNOWN, Availability.STALE)


def _share(reason: str, what: str, used: Reading, total: Reading, limits: tuple[float, float]) -> Iterator[Finding]:
    if not (used.measured and total.measured and total.value > 0):
        return
    share = used.value / total.value
    state = _judged(share, limits)
    if state is not None:
        yield Finding(
            state,
            reason,
            f"{share:.0%} of {what} is in use: {used.value / 2**30:.1f} of {total.value / 2**30:.1f} GiB"
            f" (warning from {limits[0]:.0%}, critical from {limits[1]:.0%})",
        )


def _level(reason: str, subject: str, unit: str, reading: Reading, limits: tuple[float, float]) -> Iterator[Finding]:
    state = _judged(reading.value, limits) if reading.measured else None
    if state is not None:
        message = f"{subject} {reading.value:g}{unit} (warning from {limits[0]:g}, critical from {limits[1]:g})"
        yield Finding(state, reason, message)


def _judged(value: float, limits: tuple[float, float]) -> HealthState | None:
    if value >= limits[1]:
        return HealthState.CRITICAL
    return HealthState.WARNING if value >= limits[0] else None
