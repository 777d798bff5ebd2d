"""What would make a node do better: few sentences, each resting on figures of the last minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from kerf_monitor.domain.health import SEVERE_THROTTLING
from kerf_monitor.domain.snapshot import Availability, GpuFigures, Reading, Snapshot

GPU_KINDS = frozenset({"diffusion", "captioner", "trainer"})
"""Workers that can use a GPU."""
_FEWEST = 5
_LEAST_COVERED = 0.5


@dataclass(frozen=True)
class Thresholds:
    """From where on there is something to say: shares 0–1. `window`: the time that advice rests on."""

    window: timedelta
    disk: float
    memory: float
    gpu_memory: float
    gpu_idle: float
    cpu: float
    throttled: float


@dataclass(frozen=True)
class Advice:
    """One recommendation."""

    reason: str
    message: str


@dataclass(frozen=True)
class _Period:
    snapshots: list[Snapshot]
    text: str


def advice_for(snapshots: list[Snapshot], gpu_sessions: int, thresholds: Thresholds) -> list[Advice]:
    """The most useful first; nothing before half of the window was watched.

    `snapshots`: those of the window, oldest first. `gpu_sessions`: how many of GPU_KINDS ran in it.
    """
    if len(snapshots) < _FEWEST:
        return []
    covered = snapshots[-1].time - snapshots[0].time
    if covered < _LEAST_COVERED * thresholds.window:
        return []
    period = _Period(snapshots, f"the last {_minutes(covered)}")
    found = [
        *_disk(snapshots[-1], thresholds),
        *_memory(period, thresholds),
        *_gpus(period, gpu_sessions, thresholds),
        *_cpu(period, thresholds),
    ]
    return sorted(found, key=lambda advice: _ORDER.index(advice.reason))


_ORDER = (
    "FREE_DISK",
    "GPU_TOO_HOT",
    "GPU_MEMORY_NEARLY_FULL",
    "HOST_MEMORY_NEARLY_FULL",
    "GPU_NOT_USED",
    "CPU_SATURATED",
    "GPU_POWER_CAPPED",
    "GPU_IDLE",
)


def _disk(now: Snapshot, thresholds: Thresholds) -> Iterator[Advice]:
    used, total = now.host.disk_used_bytes, now.host.disk_total_bytes
    if used.measured and total.measured and total.value > 0 and used.value / total.value >= thresholds.disk:
        full = f"{_gib(used.value)} of {_gib(total.value)} GiB of the disk are in use"
        text = f"{full}: remove models or old data, or grow it"
        yield Advice("FREE_DISK", text)


def _memory(period: _Period, thresholds: Thresholds) -> Iterator[Advice]:
    peak = _peak_share(
        (snapshot.host.memory_used_bytes, snapshot.host.memory_total_bytes) for snapshot in period.snapshots
    )
    if peak and peak[0] / peak[1] >= thresholds.memory:
        yield Advice(
            "HOST_MEMORY_NEARLY_FULL",
            f"memory reached {_gib(peak[0])} of {_gib(peak[1])} GiB in {period.text}: run fewer stages at once"
            " (STAGE_SLOTS), keep fewer models loaded, or add memory",
        )


def _cpu(period: _Period, thresholds: Thresholds) -> Iterator[Advice]:
    mean = _mean([snapshot.host.cpu_utilization for snapshot in period.snapshots])
    if mean is not None and mean >= thresholds.cpu:
        yield Advice(
            "CPU_SATURATED",
            f"the CPUs were {mean:.0%} busy over {period.text}: move workers to other nodes or add CPUs;"
            " more slots would not make it faster",
        )


def _gpus(period: _Period, gpu_sessions: int, thresholds: Thresholds) -> Iterator[Advice]:
    for newest in period.snapshots[-1].gpu.gpus:
        series = [gpu for snapshot in period.snapshots for gpu in snapshot.gpu.gpus if gpu.uuid == newest.uuid]
        yield from _gpu_memory(newest, series, period, thresholds)
        yield from _gpu_use(newest, series, period, gpu_sessions, thresholds)
        yield from _gpu_clocks(newest, series, period, thresholds)


def _gpu_memory(
    newest: GpuFigures, series: list[GpuFigures], period: _Period, thresholds: Thresholds
) -> Iterator[Advice]:
    peak = _peak_share((gpu.memory_used_bytes, gpu.memory_total_bytes) for gpu in series)
    if peak and peak[0] / peak[1] >= thresholds.gpu_memory:
        yield Advice(
            "GPU_MEMORY_NEARLY_FULL",
            f"memory of GPU {newest.index} reached {_gib(peak[0])} of {_gib(peak[1])} GiB in {period.text}:"
            " keep fewer models loaded, ask for smaller pictures, or use half precision",
        )


def _gpu_use(
    newest: GpuFigures, series: list[GpuFigures], period: _Period, gpu_sessions: int, thresholds: Thresholds
) -> Iterator[Advice]:
    mean = _mean([gpu.utilization for gpu in series])
    if mean is None or mean > thresholds.gpu_idle:
        return
    busy = f"GPU {newest.index} was {mean:.1%} busy over {period.text}"
    if gpu_sessions:
        yield Advice(
            "GPU_NOT_USED",
            f"{busy} although {gpu_sessions} sessions of workers that can use one ran on this node:"
            " see that they do (DEVICE)",
        )
    else:
        yield Advice("GPU_IDLE", f"{busy} and no session that could use it ran: it can take work, or be switched off")


def _gpu_clocks(
    newest: GpuFigures, series: list[GpuFigures], period: _Period, thresholds: Thresholds
) -> Iterator[Advice]:
    told = [gpu for gpu in series if gpu.throttle_availability is Availability.MEASURED]

    def share(counts: Callable[[str], bool]) -> float:
        return sum(any(counts(reason) for reason in gpu.throttle_reasons) for gpu in told) / len(told) if told else 0.0

    hot = share(lambda reason: reason in SEVERE_THROTTLING)
    if hot >= thresholds.throttled:
        held = f"GPU {newest.index} held its clocks down in {hot:.0%} of {period.text}"
        yield Advice("GPU_TOO_HOT", f"{held}: improve its cooling or its power supply")
    capped = share(lambda reason: reason == "power cap")
    if capped >= thresholds.throttled and newest.power_limit_watts.measured:
        yield Advice(
            "GPU_POWER_CAPPED",
            f"GPU {newest.index} ran at its power limit of {newest.power_limit_watts.value:.0f} W in {capped:.0%} of"
            f" {period.text}: a higher limit, where cooling allows it, would make it faster",
        )


def _mean(readings: list[Reading]) -> float | None:
    """Mean of what was measured; None if that is less than half."""
    values = [reading.value for reading in readings if reading.measured]
    return sum(values) / len(values) if values and 2 * len(values) >= len(readings) else None


def _peak_share(pairs: Iterator[tuple[Reading, Reading]]) -> tuple[float, float] | None:
    """The pair (used, total) with the greatest share."""
    known = [(used.value, total.value) for used, total in pairs if used.measured and total.measured and total.value > 0]
    return max(known, key=lambda pair: pair[0] / pair[1]) if known else None


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f}"


def _minutes(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
