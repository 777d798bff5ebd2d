"""Readings at an interval: what goes stale, what hangs, who watches."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from kerf_monitor.domain.history import History, evenly_spaced
from kerf_monitor.domain.node import Node
from kerf_monitor.domain.probes import PatientProbe, Silent
from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFacts,
    GpuFigures,
    GpuPresence,
    GpuProcess,
    HostFigures,
    Snapshot,
    carry_over,
    measured,
    nothing_read,
    readings_of,
    unknown,
    unsupported,
)

MakeGpu = Callable[..., GpuFigures]
MakeSnapshot = Callable[..., Snapshot]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SHORT = timedelta(seconds=0.2)
SOON = 5.0


class FakeGpuProbe:
    """Answers `facts`; blocks while `gate` is closed."""

    def __init__(self, facts: GpuFacts) -> None:
        self.facts = facts
        self.gate = threading.Event()
        self.gate.set()
        self.asked = 0

    def read(self) -> GpuFacts:
        self.asked += 1
        self.gate.wait()
        return self.facts


class FakeHostProbe:
    def __init__(self) -> None:
        self.figures = HostFigures(**{name: measured(1) for name in readings_of(HostFigures())})
        self.error: Exception | None = None

    def read(self) -> HostFigures:
        if self.error:
            raise self.error
        return self.figures


@pytest.fixture
def gpu_probe(make_gpu: MakeGpu) -> Iterator[FakeGpuProbe]:
    probe = FakeGpuProbe(GpuFacts(GpuPresence.PRESENT, "1 GPU", "570.1", (make_gpu(),)))
    yield probe
    probe.gate.set()


def node_of(gpu: FakeGpuProbe, host: FakeHostProbe | None = None, **changes: Any) -> Node:
    options: dict[str, Any] = {
        "interval": timedelta(seconds=0.05),
        "timeout": SHORT,
        "forget_after": timedelta(hours=1),
    }
    history = History(timedelta(minutes=1), timedelta(seconds=1))
    return Node("here", host or FakeHostProbe(), gpu, history, **(options | changes))


def test_an_unknown_figure_keeps_its_last_value_as_stale_however_often_it_fails() -> None:
    first = HostFigures(load_1m=measured(3), cpu_count=unsupported("none"))
    second = carry_over(HostFigures(load_1m=unknown("broken")), first, NOON)
    third = carry_over(HostFigures(load_1m=unknown("still")), second, NOON + timedelta(hours=1))
    for figures in (second, third):
        assert figures.load_1m.availability is Availability.STALE
        assert figures.load_1m.value == 3
        assert "12:00:00" in figures.load_1m.reason  # when it was measured, not when it was told last
    assert third.load_1m.reason.startswith("still")
    assert second.cpu_utilization.availability is Availability.UNKNOWN  # never had a value
    assert carry_over(HostFigures(load_1m=measured(0)), third, NOON).load_1m == measured(0)
    assert carry_over(HostFigures(load_1m=unsupported("gone")), first, NOON).load_1m.value == 0


def test_nothing_read_leaves_unsupported_alone(make_gpu: MakeGpu) -> None:
    gpu = nothing_read(make_gpu(energy_joules=unsupported("no such counter")), "silence")
    assert gpu.energy_joules.availability is Availability.UNSUPPORTED
    assert gpu.utilization == unknown("silence")
    assert gpu.throttle_availability is Availability.UNKNOWN


async def test_a_hung_driver_blocks_nothing_and_its_figures_go_stale_and_come_back(
    gpu_probe: FakeGpuProbe, make_gpu: MakeGpu
) -> None:
    held = make_gpu(throttle_reasons=("power cap",), processes=(GpuProcess(7, "python", measured(1)),))
    gpu_probe.facts = replace(gpu_probe.facts, gpus=(held,))
    node = node_of(gpu_probe)
    assert (await node.sample()).gpu_silent_since is None
    gpu_probe.gate.clear()
    began = time.monotonic()
    await node.sample()
    await node.sample()
    snapshot = await node.sample()
    assert time.monotonic() - began < SOON
    assert gpu_probe.asked == 2  # one read hangs; no second one was started behind it
    assert snapshot.gpu.presence is GpuPresence.PRESENT
    assert "NVML has not answered" in snapshot.gpu.message
    (gpu,) = snapshot.gpu.gpus
    assert {reading.availability for reading in readings_of(gpu).values()} == {Availability.STALE}
    assert gpu.utilization.value == 0.5
    assert (gpu.throttle_reasons, gpu.throttle_availability) == (("power cap",), Availability.STALE)
    assert (len(gpu.processes), gpu.processes_availability) == (1, Availability.STALE)
    assert snapshot.gpu_silent_since is not None
    assert snapshot.host.load_1m.measured
    gpu_probe.gate.set()
    again = await node.sample()
    assert again.gpu_silent_since is None
    assert again.gpu.gpus[0].utilization.measured


async def test_a_long_silence_ends_in_unknown_without_gpus(gpu_probe: FakeGpuProbe) -> None:
    node = node_of(gpu_probe, forget_after=timedelta(0))
    await node.sample()
    gpu_probe.facts = GpuFacts(GpuPresence.UNKNOWN, "it fails")
    snapshot = await node.sample()
    assert (snapshot.gpu.presence, snapshot.gpu.gpus) == (GpuPresence.UNKNOWN, ())
    assert snapshot.gpu.driver_version == "570.1"


async def test_a_driver_that_never_answered_is_unknown(gpu_probe: FakeGpuProbe) -> None:
    gpu_probe.gate.clear()
    snapshot = await node_of(gpu_probe).sample()
    assert (snapshot.gpu.presence, snapshot.gpu.gpus) == (GpuPresence.UNKNOWN, ())
    assert snapshot.gpu_silent_since is not None


async def test_a_gpu_that_was_taken_out_is_gone(gpu_probe: FakeGpuProbe) -> None:
    node = node_of(gpu_probe)
    await node.sample()
    gpu_probe.facts = GpuFacts(GpuPresence.ABSENT, "no GPU")
    snapshot = await node.sample()
    assert (snapshot.gpu, snapshot.gpu_silent_since) == (GpuFacts(GpuPresence.ABSENT, "no GPU"), None)


async def test_a_probe_that_breaks_its_promise_costs_only_its_figures(
    gpu_probe: FakeGpuProbe, caplog: pytest.LogCaptureFixture
) -> None:
    host = FakeHostProbe()
    host.error = ValueError("surprise")
    node = node_of(gpu_probe, host)
    snapshot = await node.sample()
    assert {each.availability for each in readings_of(snapshot.host).values()} == {Availability.UNKNOWN}
    assert snapshot.gpu.gpus[0].utilization.measured
    assert "the host broke" in caplog.text
    host.error = None
    assert (await node.sample()).host.load_1m.measured


HANGS = """
import asyncio, threading
from datetime import timedelta
from kerf_monitor.domain.probes import PatientProbe, Silent

async def main():
    try:
        await PatientProbe("it", threading.Event().wait, timedelta(seconds=0.05)).read()
    except Silent as silence:
        print(silence)

asyncio.run(main())
"""


def test_a_hung_probe_does_not_keep_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "it has not answered within 0.05 s\n"


async def test_a_timeout_inside_a_probe_is_no_hang() -> None:
    answers: list[Any] = [TimeoutError("inner"), 5]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    probe = PatientProbe("it", read, timedelta(seconds=SOON))
    with pytest.raises(Silent, match="it broke: TimeoutError"):
        await probe.read()
    assert await probe.read() == 5


async def test_watching_gives_the_newest_at_once_then_every_new_one_and_ends_at_drain(
    gpu_probe: FakeGpuProbe,
) -> None:
    node = node_of(gpu_probe)
    first = await node.sample()
    sampling = asyncio.create_task(node.run())
    seen = []
    async with asyncio.timeout(SOON):
        async for snapshot in node.watch(timedelta(seconds=0.05)):
            seen.append(snapshot)
            if len(seen) == 4:
                node.drain()
    sampling.cancel()
    assert seen[0] is first
    assert len(seen) == 4
    assert [each.time for each in seen] == sorted({each.time for each in seen})


async def test_a_longer_interval_leaves_readings_out(gpu_probe: FakeGpuProbe) -> None:
    node = node_of(gpu_probe)
    sampling = asyncio.create_task(node.run())
    async with asyncio.timeout(SOON), aclosing(node.watch(timedelta(seconds=0.3))) as snapshots:
        first = await anext(snapshots)
        second = await anext(snapshots)
    sampling.cancel()
    assert second.time - first.time >= timedelta(seconds=0.27)


async def test_drain_wakes_who_waits(gpu_probe: FakeGpuProbe) -> None:
    node = node_of(gpu_probe)
    watching = asyncio.create_task(anext(aiter(node.watch(timedelta(0))), None))
    await asyncio.sleep(0)
    node.drain()
    async with asyncio.timeout(SOON):
        assert await watching is None


def test_history_is_bounded_by_time_and_by_number(make_snapshot: MakeSnapshot) -> None:
    history = History(timedelta(seconds=10), timedelta(seconds=1))
    for second in range(30):
        history.add(make_snapshot(second))
    assert [each.time for each in history.window(timedelta(days=9_999_999))] == [
        NOON + timedelta(seconds=second) for second in range(19, 30)
    ]
    assert len(history.window(timedelta(seconds=3))) == 4
    for _ in range(100):
        history.add(make_snapshot(0))  # a clock that was set back
    assert len(history.since(NOON - timedelta(days=1))) == 12


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 99, 100, 200])
def test_even_spacing_keeps_first_and_last(make_snapshot: MakeSnapshot, most: int) -> None:
    snapshots = [make_snapshot(second) for second in range(100)]
    chosen = evenly_spaced(snapshots, most)
    assert len(chosen) == min(most, 100)
    if most:
        assert chosen[-1] is snapshots[-1]
    if most >= 2:
        assert chosen[0] is snapshots[0]
        steps = {(b.time - a.time).total_seconds() for a, b in pairwise(chosen)}
        assert max(steps) - min(steps) <= 1


def test_even_spacing_is_even_in_time_where_readings_have_a_gap(make_snapshot: MakeSnapshot) -> None:
    snapshots = [make_snapshot(second) for second in (*range(50), *range(500, 550))]
    chosen = evenly_spaced(snapshots, 10)
    assert chosen[0] is snapshots[0]
    assert chosen[-1] is snapshots[-1]
    assert len(chosen) <= 4  # nothing was read between; no reading is told twice
    assert len({id(each) for each in chosen}) == len(chosen)


def test_gpu_figures_start_unread() -> None:
    assert {each.availability for each in readings_of(GpuFigures(0, "", "")).values()} == {Availability.UNKNOWN}
