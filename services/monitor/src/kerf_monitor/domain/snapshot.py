"""What is known about a node at one moment. Unknown is never zero: every figure says whether it was measured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar


class Availability(Enum):
    """Why a reading has a value, or has none."""

    MEASURED = "measured"
    UNKNOWN = "unknown"
    STALE = "stale"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure. `value` means something if MEASURED or STALE only; `reason` says why there is no fresh one."""

    availability: Availability
    value: float = 0.0
    reason: str = ""
    measured_at: datetime | None = None
    """When a stale value was measured."""

    @property
    def measured(self) -> bool:
        """True if `value` is of now."""
        return self.availability is Availability.MEASURED

    @property
    def known(self) -> bool:
        """True if there is a value, of now or of before."""
        return self.availability in (Availability.MEASURED, Availability.STALE)


def measured(value: float) -> Reading:
    """A fresh figure."""
    return Reading(Availability.MEASURED, float(value))


def unknown(reason: str) -> Reading:
    """It should be known and is not."""
    return Reading(Availability.UNKNOWN, reason=reason)


def unsupported(reason: str) -> Reading:
    """There is no such thing here."""
    return Reading(Availability.UNSUPPORTED, reason=reason)


_NOT_READ = unknown("it was not read")


@dataclass(frozen=True, slots=True)
class HostFigures:
    """Host figures: shares 0–1, bytes, processes."""

    cpu_utilization: Reading = _NOT_READ
    cpu_count: Reading = _NOT_READ
    memory_total_bytes: Reading = _NOT_READ
    memory_used_bytes: Reading = _NOT_READ
    disk_total_bytes: Reading = _NOT_READ
    disk_used_bytes: Reading = _NOT_READ
    load_1m: Reading = _NOT_READ


class GpuPresence(Enum):
    """Whether there are GPUs."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process on a GPU; the name is empty if it is not known."""

    pid: int
    name: str
    memory_used_bytes: Reading


@dataclass(frozen=True, slots=True)
class GpuFigures:
    """One GPU. Units are in the names; utilizations are shares 0–1."""

    index: int
    uuid: str
    name: str
    utilization: Reading = _NOT_READ
    memory_utilization: Reading = _NOT_READ
    memory_total_bytes: Reading = _NOT_READ
    memory_used_bytes: Reading = _NOT_READ
    temperature_celsius: Reading = _NOT_READ
    power_watts: Reading = _NOT_READ
    power_limit_watts: Reading = _NOT_READ
    sm_clock_mhz: Reading = _NOT_READ
    memory_clock_mhz: Reading = _NOT_READ
    ecc_uncorrected_errors: Reading = _NOT_READ
    pcie_tx_bytes_per_second: Reading = _NOT_READ
    pcie_rx_bytes_per_second: Reading = _NOT_READ
    energy_joules: Reading = _NOT_READ
    throttle_reasons: tuple[str, ...] = ()
    throttle_availability: Availability = Availability.UNKNOWN
    mig_enabled: bool = False
    processes: tuple[GpuProcess, ...] = ()
    processes_availability: Availability = Availability.UNKNOWN


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What NVML said about GPUs at all; `gpus` is empty unless PRESENT."""

    presence: GpuPresence
    message: str
    driver_version: str = ""
    gpus: tuple[GpuFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node at one moment. `time` is in UTC."""

    node: str
    time: datetime
    host: HostFigures = field(default_factory=HostFigures)
    gpu: GpuFacts = GpuFacts(GpuPresence.UNKNOWN, "NVML was not asked yet")
    gpu_silent_since: datetime | None = None
    """Since when NVML has not answered, or answers that it fails; None = it answers."""


Figures = TypeVar("Figures", HostFigures, GpuFigures)


def readings_of(figures: HostFigures | GpuFigures) -> dict[str, Reading]:
    """Every reading by its name."""
    found = {}
    for each in dataclasses.fields(figures):
        value = getattr(figures, each.name)
        if isinstance(value, Reading):
            found[each.name] = value
    return found


def carry_over(now: Figures, before: Figures, before_time: datetime) -> Figures:
    """`now`, where each unknown reading that had a value before keeps it as STALE, with the reason and its age."""
    earlier = readings_of(before)
    stale: dict[str, Any] = {
        name: _stale(earlier[name], reading.reason, before_time)
        for name, reading in readings_of(now).items()
        if reading.availability is Availability.UNKNOWN and earlier[name].known
    }
    return dataclasses.replace(now, **stale)


def carry_over_lists(now: GpuFigures, before: GpuFigures) -> GpuFigures:
    """The same for throttle reasons and processes."""
    kept: dict[str, Any] = {}
    for items, availability in (
        ("throttle_reasons", "throttle_availability"),
        ("processes", "processes_availability"),
    ):
        had_some = getattr(before, availability) in (Availability.MEASURED, Availability.STALE)
        if getattr(now, availability) is Availability.UNKNOWN and had_some:
            kept |= {items: getattr(before, items), availability: Availability.STALE}
    return dataclasses.replace(now, **kept)


def _stale(before: Reading, reason: str, before_time: datetime) -> Reading:
    since = before.measured_at or before_time
    return Reading(Availability.STALE, before.value, f"{reason}; measured at {since:%H:%M:%S} UTC", since)


def nothing_read(before: Figures, reason: str) -> Figures:
    """The same device with nothing read: every reading UNKNOWN, but what is UNSUPPORTED stays so."""
    lost: dict[str, Any] = {
        name: unknown(reason)
        for name, reading in readings_of(before).items()
        if reading.availability is not Availability.UNSUPPORTED
    }
    if isinstance(before, GpuFigures):
        for items, availability in (
            ("throttle_reasons", "throttle_availability"),
            ("processes", "processes_availability"),
        ):
            if getattr(before, availability) is not Availability.UNSUPPORTED:
                lost |= {items: (), availability: Availability.UNKNOWN}
    return dataclasses.replace(before, **lost)
