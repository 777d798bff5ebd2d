"""The node: readings at an interval, their history, and those who wait for the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta

from kerf_monitor.domain.history import History
from kerf_monitor.domain.probes import GpuProbe, HostProbe, PatientProbe, Silent
from kerf_monitor.domain.snapshot import (
    GpuFacts,
    GpuPresence,
    HostFigures,
    Snapshot,
    carry_over,
    carry_over_lists,
    nothing_read,
)

Listener = Callable[[Snapshot], None]


class Node:
    """Reads the node again and again; `newest` stands once `sample` has run."""

    def __init__(
        self,
        name: str,
        host: HostProbe,
        gpu: GpuProbe,
        history: History,
        *,
        interval: timedelta,
        timeout: timedelta,
        forget_after: timedelta,
    ) -> None:
        """`timeout`: of one reading. `forget_after`: silence of NVML after which the last figures are told no more."""
        self.name = name
        self._interval = interval
        self._forget_after = forget_after
        self.history = history
        self.newest: Snapshot | None = None
        self._host = PatientProbe("the host", host.read, timeout)
        self._gpu = PatientProbe("NVML", gpu.read, timeout)
        self._listeners: list[Listener] = []
        self._changed = asyncio.Event()
        self._draining = False

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every new snapshot. It must be quick and must not raise."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Sample at every interval until cancelled."""
        seconds = self._interval.total_seconds()
        due = time.monotonic()
        while True:
            await self.sample()
            # Slots that were missed are left out: a host that stalled needs no burst of readings.
            due = max(due + seconds, time.monotonic())
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def sample(self) -> Snapshot:
        """Read everything once. Never raises: what does not answer is stale or unknown."""
        host, facts = await asyncio.gather(self._read_host(), self._read_gpu())
        now = datetime.now(UTC)
        silent_since = None
        if facts.presence is GpuPresence.UNKNOWN:
            silent_since = (self.newest.gpu_silent_since if self.newest else None) or now
        gpu = self._with_past(facts, now - silent_since if silent_since else timedelta(0))
        snapshot = Snapshot(self.name, now, host, gpu, silent_since)
        self.newest = snapshot
        self.history.add(snapshot)
        for listener in self._listeners:
            listener(snapshot)
        self._changed.set()
        self._changed = asyncio.Event()
        return snapshot

    async def watch(self, interval: timedelta) -> AsyncGenerator[Snapshot, None]:
        """The newest snapshot now, then one after every `interval`; ends when this process drains."""
        sent: Snapshot | None = None
        while not self._draining:
            changed = self._changed  # taken before the look, so that no change between is missed
            if self.newest is not None and (sent is None or self._due(self.newest, sent, interval)):
                sent = self.newest
                yield sent
            else:
                await changed.wait()

    def _due(self, newest: Snapshot, sent: Snapshot, interval: timedelta) -> bool:
        # Half an interval of ours early is due too: readings do not come to the millisecond. Clocks may be set back.
        return newest is not sent and abs(newest.time - sent.time) >= max(interval - self._interval / 2, timedelta(0))

    def drain(self) -> None:
        """End all streams."""
        self._draining = True
        self._changed.set()

    async def _read_host(self) -> HostFigures:
        before = self.newest
        try:
            host = await self._host.read()
        except Silent as silence:
            host = nothing_read(before.host if before else HostFigures(), str(silence))
        return carry_over(host, before.host, before.time) if before else host

    async def _read_gpu(self) -> GpuFacts:
        try:
            return await self._gpu.read()
        except Silent as silence:
            return GpuFacts(GpuPresence.UNKNOWN, f"{silence}: the driver may hang")

    def _with_past(self, facts: GpuFacts, silent_for: timedelta) -> GpuFacts:
        """What NVML said, with the last known figures where it said nothing, as long as they are worth telling."""
        before = self.newest
        if before is None:
            return facts
        driver_version = facts.driver_version
        if facts.presence is GpuPresence.UNKNOWN:
            driver_version = driver_version or before.gpu.driver_version
        gpus = facts.gpus
        presence = facts.presence
        if presence is GpuPresence.UNKNOWN and before.gpu.gpus and silent_for < self._forget_after:
            # NVML did answer a while ago: its GPUs stay in sight, each figure marked as not read.
            presence = GpuPresence.PRESENT
            gpus = tuple(nothing_read(gpu, facts.message) for gpu in before.gpu.gpus)
        known = {gpu.uuid: gpu for gpu in before.gpu.gpus if gpu.uuid}
        merged = tuple(
            carry_over_lists(carry_over(gpu, known[gpu.uuid], before.time), known[gpu.uuid])
            if gpu.uuid in known
            else gpu
            for gpu in gpus
        )
        return GpuFacts(presence, facts.message, driver_version, merged)
