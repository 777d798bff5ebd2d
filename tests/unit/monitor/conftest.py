"""Nodes and GPUs to judge, with figures that a test changes one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFacts,
    GpuFigures,
    GpuPresence,
    HostFigures,
    Snapshot,
    measured,
    readings_of,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def make_gpu() -> Callable[..., GpuFigures]:
    """A GPU with every figure measured: half busy, 8 of 16 GiB, 60 °C."""

    def make(**changes: Any) -> GpuFigures:
        gpu = GpuFigures(0, "GPU-1", "Fake 16GB")
        every: dict[str, Any] = {name: measured(1) for name in readings_of(gpu)}
        gpu = replace(gpu, **every)
        gpu = replace(
            gpu,
            utilization=measured(0.5),
            memory_total_bytes=measured(16 << 30),
            memory_used_bytes=measured(8 << 30),
            temperature_celsius=measured(60),
            ecc_uncorrected_errors=measured(0),
            energy_joules=measured(1000),
            throttle_availability=Availability.MEASURED,
            processes_availability=Availability.MEASURED,
        )
        return replace(gpu, **changes)

    return make


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """A host with every figure measured, a quarter of everything in use, so many seconds after noon."""

    def make(seconds: float = 0, gpus: tuple[GpuFigures, ...] = (), **host_changes: Any) -> Snapshot:
        host = HostFigures(
            cpu_utilization=measured(0.25),
            cpu_count=measured(4),
            memory_total_bytes=measured(16 << 30),
            memory_used_bytes=measured(4 << 30),
            disk_total_bytes=measured(400 << 30),
            disk_used_bytes=measured(100 << 30),
            load_1m=measured(1),
        )
        presence = GpuPresence.PRESENT if gpus else GpuPresence.ABSENT
        facts = GpuFacts(presence, "as the test says", "570.1", gpus)
        return Snapshot("here", NOON + timedelta(seconds=seconds), replace(host, **host_changes), facts)

    return make
