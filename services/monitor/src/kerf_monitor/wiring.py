"""The monitor's parts, made from its settings."""

from __future__ import annotations

import re
from contextlib import aclosing
from datetime import timedelta

from kerf_core.bus import Bus
from kerf_monitor.adapters.host import Cgroup, HostReader
from kerf_monitor.adapters.nvml import NvmlProbe
from kerf_monitor.domain.advice import Thresholds
from kerf_monitor.domain.health import Limits
from kerf_monitor.domain.history import History
from kerf_monitor.domain.node import Node
from kerf_monitor.domain.probes import GpuProbe
from kerf_monitor.domain.sessions import SessionBook
from kerf_monitor.messages import snapshot_message
from kerf_monitor.settings import MonitorSettings


def build_node(settings: MonitorSettings, gpu: GpuProbe | None = None) -> Node:
    """The node with its probes. `gpu`: instead of NVML."""
    cgroup = Cgroup() if settings.host_scope == "container" else None
    return Node(
        settings.node_name,
        HostReader(settings.disk_path, cgroup=cgroup),
        gpu or NvmlProbe(settings.max_gpu_processes),
        History(settings.history, settings.interval),
        interval=settings.interval,
        timeout=settings.probe_timeout,
        forget_after=settings.nvml_silence_critical,
    )


def build_book(settings: MonitorSettings, node: Node) -> SessionBook:
    """The book of this node's sessions; it takes the node's readings."""
    book = SessionBook(
        settings.node_name,
        max_sessions=settings.max_sessions,
        max_workers=settings.max_workers,
        placement_wait=settings.placement_wait,
        readings_since=node.history.since,
    )
    node.listen(book.observe)
    return book


def limits_of(settings: MonitorSettings) -> Limits:
    """Where health finds fault."""
    return Limits(
        disk=(settings.disk_warning, settings.disk_critical),
        memory=(settings.memory_warning, settings.memory_critical),
        gpu_celsius=(settings.gpu_hot_warning_celsius, settings.gpu_hot_critical_celsius),
        ecc=(settings.ecc_warning, settings.ecc_critical),
        nvml_silence=settings.nvml_silence_critical,
    )


def thresholds_of(settings: MonitorSettings) -> Thresholds:
    """From where on there is advice."""
    return Thresholds(
        window=settings.advice_window,
        disk=settings.disk_warning,
        memory=settings.memory_warning,
        gpu_memory=settings.gpu_memory_full,
        gpu_idle=settings.gpu_idle,
        cpu=settings.cpu_saturated,
        throttled=settings.throttled_share,
    )


async def publish_all(bus: Bus, node: Node, interval: timedelta) -> None:
    """Tell whoever listens, until the node drains; what nobody hears is lost, the next one comes soon."""
    subject = gpu_subject(node.name)
    async with aclosing(node.watch(interval)) as snapshots:
        async for snapshot in snapshots:
            await bus.publish(subject, snapshot_message(snapshot).SerializeToString())


def gpu_subject(node: str) -> str:
    """`kerf.v1.gpu.<node>`; what would be no single token becomes `_`."""
    return f"kerf.v1.gpu.{re.sub(r'[^A-Za-z0-9-]', '_', node)}"
