"""A monitor's readings in words: what was not measured is said so, and is never a number. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kerf.monitor.v1.monitor_pb2 import (
    Availability,
    GetHealthResponse,
    GetNodeResponse,
    Gpu,
    GpuState,
    GpuSupport,
    HealthState,
    Host,
    NodeSnapshot,
    Reading,
    Session,
)
from kerf_client.facts import as_duration

Row = tuple[str, str]
_GIB = 2.0**30
_WITH_VALUE = frozenset({Availability.AVAILABILITY_MEASURED, Availability.AVAILABILITY_STALE})


def share(value: float) -> str:
    """`12 %` of 0.12."""
    return f"{100 * value:.0f} %"


def gibibytes(value: float) -> str:
    """`3.1 GiB`, or `820 MiB` where that reads better."""
    return f"{value / _GIB:.1f} GiB" if value >= _GIB else f"{value / 2**20:.0f} MiB"


def with_unit(unit: str, digits: int = 0) -> Callable[[float], str]:
    """Writes a number with its unit."""
    return lambda value: f"{value:.{digits}f} {unit}".rstrip()


def value_of(reading: Reading) -> float | None:
    """The figure of a fresh measurement; None for everything else."""
    fresh = reading.availability == Availability.AVAILABILITY_MEASURED
    return reading.value if fresh and math.isfinite(reading.value) else None


def reading_text(reading: Reading, write: Callable[[float], str]) -> str:
    """The figure as `write` puts it, or why there is none."""
    why = f" ({reading.reason})" if reading.reason else ""
    if reading.availability in _WITH_VALUE and math.isfinite(reading.value):
        stale = reading.availability == Availability.AVAILABILITY_STALE
        return f"{write(reading.value)}, stale{why}" if stale else write(reading.value)
    return f"{availability_word(reading.availability)}{why}"


def availability_word(availability: Availability.ValueType) -> str:
    """`not supported` or `unknown`, for what has no value."""
    return "not supported" if availability == Availability.AVAILABILITY_UNSUPPORTED else "unknown"


def moment(time: Timestamp) -> str:
    """`2026-03-01 12:00:00 UTC`; `unknown` for an impossible one."""
    try:
        return f"{datetime.fromtimestamp(time.seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if time.seconds else "unknown"
    except (ValueError, OverflowError, OSError):
        return "unknown"


def gpu_support_text(support: GpuSupport) -> str:
    """`no GPU: …` plainly, or how many there are."""
    words = {GpuState.GPU_STATE_ABSENT: "no GPU", GpuState.GPU_STATE_PRESENT: "GPU present"}
    word = words.get(support.state, "GPU unknown")
    if not support.message or support.message.lower().startswith(word.lower()):
        return support.message or word
    return f"{word}: {support.message}"


def host_rows(host: Host) -> list[Row]:
    """Name and text of each figure."""
    return [
        ("CPU busy", reading_text(host.cpu_utilization, share)),
        ("CPUs", reading_text(host.cpu_count, with_unit(""))),
        ("load (1 min)", reading_text(host.load_1m, with_unit("", 2))),
        ("memory", _part(host.memory_used_bytes, host.memory_total_bytes)),
        ("disk", _part(host.disk_used_bytes, host.disk_total_bytes)),
    ]


def gpu_rows(gpu: Gpu) -> list[Row]:
    """Name and text of each figure."""
    return [
        ("busy", reading_text(gpu.utilization, share)),
        ("memory busy", reading_text(gpu.memory_utilization, share)),
        ("memory", _part(gpu.memory_used_bytes, gpu.memory_total_bytes)),
        ("temperature", reading_text(gpu.temperature_celsius, with_unit("°C"))),
        ("power", reading_text(gpu.power_watts, with_unit("W"))),
        ("power limit", reading_text(gpu.power_limit_watts, with_unit("W"))),
        ("SM clock", reading_text(gpu.sm_clock_mhz, with_unit("MHz"))),
        ("memory clock", reading_text(gpu.memory_clock_mhz, with_unit("MHz"))),
        ("held down by", _listed(gpu.throttle_reasons, gpu.throttle_availability, "nothing")),
        ("uncorrected ECC errors", reading_text(gpu.ecc_uncorrected_errors, with_unit(""))),
        ("PCIe sent", reading_text(gpu.pcie_tx_bytes_per_second, _per_second)),
        ("PCIe received", reading_text(gpu.pcie_rx_bytes_per_second, _per_second)),
        ("energy", reading_text(gpu.energy_joules, lambda value: f"{value / 1000:.1f} kJ")),
        ("MIG", "on" if gpu.mig_enabled else "off"),
        ("processes", _listed(_processes(gpu), gpu.processes_availability, "none")),
    ]


def _part(used: Reading, total: Reading) -> str:
    return f"{reading_text(used, gibibytes)} of {reading_text(total, gibibytes)}"


def _per_second(value: float) -> str:
    return f"{value / 2**20:.1f} MiB/s"


def _processes(gpu: Gpu) -> list[str]:
    return [
        f"{process.name or 'name unknown'} ({process.pid}): {reading_text(process.memory_used_bytes, gibibytes)}"
        for process in gpu.processes
    ]


def _listed(texts: Iterable[str], availability: Availability.ValueType, nothing: str) -> str:
    if availability not in _WITH_VALUE:
        return availability_word(availability)
    text = ", ".join(texts) or nothing
    return f"{text}, stale" if availability == Availability.AVAILABILITY_STALE else text


def health_word(state: HealthState.ValueType) -> str:
    """`ok`, `warning`, `critical`; anything else is `unknown`."""
    words = {
        HealthState.HEALTH_STATE_OK: "ok",
        HealthState.HEALTH_STATE_WARNING: "warning",
        HealthState.HEALTH_STATE_CRITICAL: "critical",
    }
    return words.get(state, "unknown")


def health_lines(health: GetHealthResponse) -> list[str]:
    """The verdict, then each finding."""
    found = [f"{health_word(each.state)}  {each.reason}: {each.message}" for each in health.findings]
    return [f"health: {health_word(health.state)}", *found]


SESSION_HEADER = ("Job", "Stage", "Kind", "Worker", "Began", "Took", "Outcome", "On the device", "GPU memory, peak")


def session_row(session: Session, *, reasons: bool = True) -> tuple[str, ...]:
    """One text per column of SESSION_HEADER. Peaks are those of all that ran on the node meanwhile.

    Without `reasons` a figure that is not known is only said to be so.
    """
    device, memory = Reading(), Reading()
    device.CopyFrom(session.device_seconds)
    memory.CopyFrom(session.peak_gpu_memory_bytes)
    if not reasons:
        device.reason = memory.reason = ""
    took = None
    if session.HasField("start_time") and session.HasField("end_time"):
        took = (session.end_time.ToNanoseconds() - session.start_time.ToNanoseconds()) / 1e9
    running = not session.outcome and not session.HasField("end_time")
    return (
        session.job,
        session.stage,
        session.kind,
        session.worker,
        moment(session.start_time),
        "still running" if running else _took(took),
        "runs" if running else session.outcome or "unknown",
        reading_text(device, with_unit("s", 1)),
        reading_text(memory, gibibytes),
    )


def _took(seconds: float | None) -> str:
    if seconds is None or seconds < 0:
        return "unknown"
    return f"{seconds:.1f} s" if seconds < 60 else as_duration(seconds)


@dataclass(frozen=True)
class Track:
    """One figure over the snapshots of a history; None = it was not measured then."""

    name: str
    unit: str
    values: list[float | None]

    @property
    def summary(self) -> str:
        """Least, mean and most, and how many of the snapshots have it."""
        known = [value for value in self.values if value is not None]
        if not known:
            return "not measured"
        low, mean, high = (f"{each:.4g} {self.unit}" for each in (min(known), sum(known) / len(known), max(known)))
        return f"least {low}, mean {mean}, most {high} ({len(known)} of {len(self.values)} measured)"


def snapshots_of(node: GetNodeResponse) -> list[NodeSnapshot]:
    """The history, the newest reading last; empty where none was asked for or is there."""
    before = [each for each in node.history if each.time.ToNanoseconds() < node.now.time.ToNanoseconds()]
    return [*before, node.now] if before else []


def tracks(history: list[NodeSnapshot]) -> list[Track]:
    """What is worth following: the host's and each GPU's load and memory, temperature, power."""
    found = [
        Track("CPU busy", "%", [_scaled(each.host.cpu_utilization, 100) for each in history]),
        Track("host memory in use", "GiB", [_scaled(each.host.memory_used_bytes, 1 / _GIB) for each in history]),
    ]
    for index in sorted({gpu.index for snapshot in history for gpu in snapshot.gpus}):
        gpus = [next((gpu for gpu in snapshot.gpus if gpu.index == index), Gpu()) for snapshot in history]
        found += [
            Track(f"GPU {index} busy", "%", [_scaled(gpu.utilization, 100) for gpu in gpus]),
            Track(f"GPU {index} memory in use", "GiB", [_scaled(gpu.memory_used_bytes, 1 / _GIB) for gpu in gpus]),
            Track(f"GPU {index} temperature", "°C", [value_of(gpu.temperature_celsius) for gpu in gpus]),
            Track(f"GPU {index} power", "W", [value_of(gpu.power_watts) for gpu in gpus]),
        ]
    return found


def _scaled(reading: Reading, factor: float) -> float | None:
    value = value_of(reading)
    return None if value is None else value * factor


def monitor_json(message: Message) -> dict[str, object]:
    """A message as JSON in which every reading has a `value`: the number, also 0, or null where there is none."""
    result: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    _write_values(message, result)
    return result


def _write_values(message: Message, described: dict[str, object]) -> None:
    if isinstance(message, Reading):
        known = message.availability in _WITH_VALUE and math.isfinite(message.value)
        described["availability"] = Availability.Name(message.availability)
        described["value"] = message.value if known else None
        return
    for field, value in message.ListFields():
        written = described.get(field.name)
        pairs = [(value, written)] if isinstance(value, Message) else []
        if isinstance(written, list) and field.message_type is not None:
            pairs = list(zip(value, written, strict=True))
        for part, text in pairs:
            if isinstance(text, dict):
                _write_values(part, text)
