"""A program as the planner of a firmware sees it: straight steps, feeds, and the bytes that bring them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRBL_ARC_TOLERANCE_MM = 0.002
"""GRBL's `$12`: how far a chord may lie from its arc."""


@dataclass(frozen=True, eq=False)
class MotionProgram:
    """Straight steps of the head in the order in which they are sent.

    `step_mm` float64 (n, 2), vectors; `feed_mm_per_min` float64 (n,), positive, infinity for a rapid move; `line_bytes`
    int64 (n,), bytes that must have arrived before the step can be planned, since the step before (0 where one line
    makes several steps); `stops` bool (n,), True where the controller lets all motion end before it takes the line.
    """

    step_mm: NDArray[np.float64]
    feed_mm_per_min: NDArray[np.float64]
    line_bytes: NDArray[np.int64]
    stops: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.step_mm)

    def without_rests(self) -> MotionProgram:
        """The same without steps of no length, which a planner drops; their bytes count for the next step."""
        moving = (self.step_mm != 0).any(axis=1)
        if moving.all():
            return self
        sent = np.diff(np.cumsum(self.line_bytes)[moving], prepend=0)
        # A stop that fell on a dropped step holds the next one back.
        stops_so_far = np.cumsum(self.stops)[moving]
        stops = np.diff(stops_so_far, prepend=0) > 0
        return MotionProgram(self.step_mm[moving], self.feed_mm_per_min[moving], sent, stops)


def arc_chords(
    radius_mm: NDArray[np.float64], sweep_rad: NDArray[np.float64], tolerance_mm: float = GRBL_ARC_TOLERANCE_MM
) -> NDArray[np.int64]:
    """Into how many chords GRBL 1.1 cuts each arc (its `mc_arc`), int64 (n,), at least 1; sweeps are positive.

    It rounds down, so that chords lie a little more than the tolerance off.
    """
    reach_mm = np.sqrt(tolerance_mm * np.maximum(2 * radius_mm - tolerance_mm, tolerance_mm))
    counts: NDArray[np.int64] = np.maximum(np.floor(0.5 * sweep_rad * radius_mm / reach_mm), 1).astype(np.int64)
    return counts
