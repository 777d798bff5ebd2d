"""The readings of the last while."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from datetime import datetime, timedelta

from kerf_monitor.domain.snapshot import Snapshot


class History:
    """A bounded ring of snapshots, oldest first."""

    def __init__(self, kept: timedelta, interval: timedelta) -> None:
        self._kept = kept
        # Bounded by number too: a clock that is set back must not let it grow.
        self._ring: deque[Snapshot] = deque(maxlen=int(kept / interval) + 2)

    def add(self, snapshot: Snapshot) -> None:
        """Append a newer snapshot and drop what is too old."""
        self._ring.append(snapshot)
        while self._ring[0].time < snapshot.time - self._kept:
            self._ring.popleft()

    def since(self, begin: datetime) -> list[Snapshot]:
        """Snapshots from `begin` on."""
        return [snapshot for snapshot in self._ring if snapshot.time >= begin]

    def window(self, span: timedelta) -> list[Snapshot]:
        """Snapshots of the last `span`, counted back from the newest."""
        return self.since(self._ring[-1].time - min(span, self._kept)) if self._ring else []


def evenly_spaced(snapshots: list[Snapshot], most: int) -> list[Snapshot]:
    """At most `most` of them, spread evenly over their time, with the first and the last."""
    if len(snapshots) <= most:
        return snapshots
    if most <= 1:
        return snapshots[-most:] if most else []
    times = [snapshot.time for snapshot in snapshots]
    step = (times[-1] - times[0]) / (most - 1)
    chosen: list[int] = []
    for number in range(most):
        at = min(bisect_left(times, times[0] + number * step), len(times) - 1)
        if not chosen or at > chosen[-1]:
            chosen.append(at)
    return [snapshots[at] for at in chosen]
