"""The newest readings as Prometheus metrics. What is not measured now has no series: a missing figure is not 0.

GPU series bear the names, units and labels of NVIDIA's DCGM exporter, so that dashboards made for it work here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kerf_monitor.domain.health import Health, HealthState
from kerf_monitor.domain.snapshot import Availability, GpuFigures, GpuPresence, Reading, Snapshot, readings_of

_HOST = {
    "cpu_utilization": ("kerf_node_cpu_utilization", "Busy share of all CPUs, 0-1."),
    "cpu_count": ("kerf_node_cpu_count", "Logical CPUs that may be used."),
    "memory_total_bytes": ("kerf_node_memory_total_bytes", "Memory in all."),
    "memory_used_bytes": ("kerf_node_memory_used_bytes", "Memory in use."),
    "disk_total_bytes": ("kerf_node_disk_total_bytes", "Watched file system in all."),
    "disk_used_bytes": ("kerf_node_disk_used_bytes", "Watched file system in use."),
    "load_1m": ("kerf_node_load_1m", "Runnable processes, one-minute mean."),
}
_PERCENT, _PER_MIB, _MILLI = 100.0, 1 / 2**20, 1000.0
_GPU: dict[str, tuple[str, str, float]] = {
    "utilization": ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", _PERCENT),
    "memory_utilization": ("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).", _PERCENT),
    "memory_used_bytes": ("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", _PER_MIB),
    "memory_total_bytes": ("DCGM_FI_DEV_FB_TOTAL", "Framebuffer memory in all (in MiB).", _PER_MIB),
    "temperature_celsius": ("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", 1.0),
    "power_watts": ("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", 1.0),
    "power_limit_watts": ("DCGM_FI_DEV_POWER_MGMT_LIMIT", "Power limit in force (in W).", 1.0),
    "sm_clock_mhz": ("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", 1.0),
    "memory_clock_mhz": ("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", 1.0),
    "ecc_uncorrected_errors": ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Uncorrected ECC errors since the driver load.", 1.0),
    "pcie_tx_bytes_per_second": ("DCGM_FI_PROF_PCIE_TX_BYTES", "PCIe bytes sent a second.", 1.0),
    "pcie_rx_bytes_per_second": ("DCGM_FI_PROF_PCIE_RX_BYTES", "PCIe bytes received a second.", 1.0),
    "energy_joules": ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Energy since the driver load (in mJ).", _MILLI),
}
"""Reading -> name, help, factor from our unit to DCGM's."""
_GPU_LABELS = ("gpu", "UUID", "device", "modelName", "Hostname")


class NodeCollector(Collector):
    """Reads the node's newest snapshot at every scrape; runs in the metrics server's thread."""

    def __init__(
        self,
        newest: Callable[[], Snapshot | None],
        health: Callable[[Snapshot], Health],
        sessions_running: Callable[[], int],
        too_old: timedelta,
    ) -> None:
        """`too_old`: age from which a snapshot is not told any more."""
        self._newest = newest
        self._health = health
        self._sessions_running = sessions_running
        self._too_old = too_old

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is known before the first scrape; without this, registering would scrape."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See prometheus_client."""
        yield _gauge("kerf_node_sessions_running", "Stage attempts that run on this node.", self._sessions_running())
        snapshot = self._newest()
        if snapshot is None or datetime.now(UTC) - snapshot.time > self._too_old:
            return
        yield _gauge("kerf_node_reading_timestamp_seconds", "When it was read.", snapshot.time.timestamp())
        for name, reading in readings_of(snapshot.host).items():
            if reading.measured:
                yield _gauge(*_HOST[name], reading.value)
        if snapshot.gpu.presence is not GpuPresence.UNKNOWN:
            yield _gauge("kerf_node_gpus", "GPUs that NVML lists.", len(snapshot.gpu.gpus))
        state = self._health(snapshot).state
        family = GaugeMetricFamily("kerf_node_health", "1 for the state that the node is in.", labels=["state"])
        for each in HealthState:
            family.add_metric([each.name.lower()], float(each is state))
        yield family
        yield from _gpu_families(snapshot)


def _gpu_families(snapshot: Snapshot) -> Iterator[GaugeMetricFamily]:
    """Each name once, with one sample for each GPU that has it."""
    for reading_name, (name, text, factor) in _GPU.items():
        family = GaugeMetricFamily(name, text, labels=_GPU_LABELS)
        for gpu in snapshot.gpu.gpus:
            reading: Reading = getattr(gpu, reading_name)
            if reading.measured:
                family.add_metric(_labels(gpu, snapshot.node), reading.value * factor)
        if family.samples:
            yield family
    free = GaugeMetricFamily("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", labels=_GPU_LABELS)
    held = GaugeMetricFamily(
        "kerf_gpu_throttled", "1 for each reason that holds clocks down now.", labels=[*_GPU_LABELS, "reason"]
    )
    for gpu in snapshot.gpu.gpus:
        labels = _labels(gpu, snapshot.node)
        if gpu.memory_total_bytes.measured and gpu.memory_used_bytes.measured:
            free.add_metric(labels, (gpu.memory_total_bytes.value - gpu.memory_used_bytes.value) * _PER_MIB)
        if gpu.throttle_availability is Availability.MEASURED:
            for reason in gpu.throttle_reasons:
                held.add_metric([*labels, reason], 1.0)
    yield from (family for family in (free, held) if family.samples)


def _labels(gpu: GpuFigures, node: str) -> list[str]:
    return [str(gpu.index), gpu.uuid, f"nvidia{gpu.index}", gpu.name, node]


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
