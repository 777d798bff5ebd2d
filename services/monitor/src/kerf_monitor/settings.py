"""The monitor's settings: the only place where it reads the environment."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kerf_core.settings import Duration, ServiceSettings, service_config

_MOST_SNAPSHOTS = 20_000


class MonitorSettings(ServiceSettings):
    """kerf monitor: tells how a node and its GPUs are doing, and which stage attempts ran there."""

    model_config = service_config("monitor")

    interval: Duration = Field(timedelta(seconds=2), description="Time between readings.")
    history: Duration = Field(timedelta(minutes=30), description="How long readings are kept.")
    probe_timeout: Duration = Field(
        timedelta(seconds=1.5), description="Wait for NVML, and for the host, before a reading counts as not answered."
    )
    host_scope: Literal["container", "node"] = Field(
        "container", description="container: CPU and memory within the cgroup v2 limits, if any; node: the whole host."
    )
    disk_path: Path = Field(Path("/"), description="A path on the file system that is watched.")
    max_gpu_processes: int = Field(64, ge=1, le=1024, description="Processes told for each GPU; the largest first.")
    max_watchers: int = Field(256, ge=1, description="WatchNode streams at once.")

    max_sessions: int = Field(5000, ge=1, le=100_000, description="Sessions kept; the oldest ended ones go first.")
    max_workers: int = Field(10_000, ge=1, description="Workers whose node is remembered.")
    placement_wait: Duration = Field(
        timedelta(seconds=15), description="How long an attempt waits for its worker's announcement to tell the node."
    )

    disk_warning: float = Field(0.85, gt=0, le=1, description="Share of the disk in use that is a warning.")
    disk_critical: float = Field(0.95, gt=0, le=1, description="Share of the disk in use that is critical.")
    memory_warning: float = Field(0.90, gt=0, le=1, description="Share of the host's memory in use: warning.")
    memory_critical: float = Field(0.97, gt=0, le=1, description="Share of the host's memory in use: critical.")
    gpu_hot_warning_celsius: float = Field(85, gt=0, description="Temperature of a GPU that is a warning.")
    gpu_hot_critical_celsius: float = Field(92, gt=0, description="Temperature of a GPU that is critical.")
    ecc_warning: int = Field(1, ge=1, description="Uncorrected ECC errors of a GPU that are a warning.")
    ecc_critical: int = Field(10, ge=1, description="Uncorrected ECC errors of a GPU that are critical.")
    nvml_silence_critical: Duration = Field(
        timedelta(seconds=60), description="Silence of NVML that is critical, and forgets its last figures."
    )

    advice_window: Duration = Field(timedelta(minutes=5), description="Recommendations rest on so long a time.")
    gpu_memory_full: float = Field(0.90, gt=0, le=1, description="Peak share of GPU memory that calls for advice.")
    gpu_idle: float = Field(0.05, ge=0, lt=1, description="Mean GPU utilization up to which it counts as idle.")
    cpu_saturated: float = Field(0.90, gt=0, le=1, description="Mean CPU utilization that counts as saturated.")
    throttled_share: float = Field(0.25, gt=0, le=1, description="Share of readings with held-down clocks to speak of.")

    @property
    def node_name(self) -> str:
        """The node, by the rule that workers follow when they announce theirs."""
        return self.node or socket.gethostname()

    @model_validator(mode="after")
    def _limits_hold_together(self) -> MonitorSettings:
        rules = [
            (self.interval >= timedelta(seconds=0.1), "interval must be at least 0.1 s"),
            (self.history >= self.interval, "history must not be shorter than interval"),
            (self.history <= _MOST_SNAPSHOTS * self.interval, f"history must hold at most {_MOST_SNAPSHOTS} intervals"),
            (self.advice_window <= self.history, "advice_window must not be longer than history"),
            (self.probe_timeout > timedelta(0), "probe_timeout must be positive"),
            (self.disk_warning <= self.disk_critical, "disk_warning must not exceed disk_critical"),
            (self.memory_warning <= self.memory_critical, "memory_warning must not exceed memory_critical"),
            (
                self.gpu_hot_warning_celsius <= self.gpu_hot_critical_celsius,
                "gpu_hot_warning_celsius must not exceed gpu_hot_critical_celsius",
            ),
            (self.ecc_warning <= self.ecc_critical, "ecc_warning must not exceed ecc_critical"),
        ]
        broken = [text for holds, text in rules if not holds]
        if broken:
            raise ValueError("; ".join(broken))
        return self
