"""How long a toolpath takes, by the planner of GRBL 1.1: trapezoidal speeds, junction deviation, a short look-ahead.

An estimate: it knows neither the controller's settings as they are nor what the serial line holds up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath
from kerf_optimizer.domain.presets import MachineProfile

PLANNER_BLOCKS = 15
"""GRBL 1.1 plans at most so many moves ahead and must be able to stop within them."""
_TINY = 1e-9


def estimate_seconds(path: Toolpath, machine: MachineProfile) -> float:
    """Expected duration in seconds, from the first target to the last. 0 for fewer than two moves."""
    return float(move_seconds(path, machine).sum())


def move_seconds(path: Toolpath, machine: MachineProfile) -> NDArray[np.float64]:
    """Duration of each move that has a length, in order, float64.

    Speeds are limited by the feed, by the junction deviation (Sonny Jeon, GRBL 2011) and by what can be braked within
    the look-ahead. With w = v², both passes of the planner are running minima of w ± 2·a·position: no loop is needed.
    """
    step_mm = np.stack([np.diff(path.x_um), np.diff(path.y_um)], axis=1) / UM_PER_MM
    length_mm = np.hypot(step_mm[:, 0], step_mm[:, 1])
    moving = length_mm > 0
    if not moving.any():
        return np.zeros(0)
    step_mm, length_mm = step_mm[moving], length_mm[moving]
    feed = np.where(path.rapid, machine.max_feed_mm_per_min, path.feed_mm_per_min)[1:][moving]
    nominal = np.minimum(feed, machine.max_feed_mm_per_min) / 60.0
    accel = machine.acceleration_mm_per_s2
    ends = _end_speeds_squared(step_mm / length_mm[:, None], length_mm, nominal, machine)
    enter, leave = np.sqrt(ends[:-1]), np.sqrt(ends[1:])
    peak = np.minimum(nominal, np.sqrt((ends[:-1] + ends[1:]) / 2 + accel * length_mm))
    peak = np.maximum(peak, np.maximum(enter, leave))
    ramps_mm = (2 * peak**2 - ends[:-1] - ends[1:]) / (2 * accel)
    cruise_mm = np.maximum(length_mm - ramps_mm, 0)
    seconds: NDArray[np.float64] = (2 * peak - enter - leave) / accel + cruise_mm / np.maximum(peak, _TINY)
    return seconds


def _end_speeds_squared(
    direction: NDArray[np.float64],
    length_mm: NDArray[np.float64],
    nominal: NDArray[np.float64],
    machine: MachineProfile,
) -> NDArray[np.float64]:
    """v² at the n + 1 ends of n moves; 0 at the first and at the last."""
    two_a = 2 * machine.acceleration_mm_per_s2
    limit = np.zeros(len(length_mm) + 1)
    limit[1:-1] = np.minimum(_junction_squared(direction, machine), np.minimum(nominal[:-1], nominal[1:]) ** 2)
    position = np.concatenate([[0.0], np.cumsum(length_mm)])
    ahead = np.minimum(np.arange(len(position)) + PLANNER_BLOCKS, len(position) - 1)
    limit = np.minimum(limit, two_a * (position[ahead] - position))
    braked = np.minimum.accumulate((limit + two_a * position)[::-1])[::-1] - two_a * position
    reached = np.minimum.accumulate(braked - two_a * position) + two_a * position
    return np.maximum(reached, 0.0)


def _junction_squared(direction: NDArray[np.float64], machine: MachineProfile) -> NDArray[np.float64]:
    """Greatest v² at each of the n − 1 corners: a·δ·sin(θ/2)/(1 − sin(θ/2)), θ the angle between the two moves."""
    cosine = np.clip(-np.sum(direction[:-1] * direction[1:], axis=1), -1.0, 1.0)
    half_sine = np.sqrt((1 - cosine) / 2)
    squared: NDArray[np.float64] = (
        machine.acceleration_mm_per_s2 * machine.junction_deviation_mm * half_sine / np.maximum(1 - half_sine, _TINY)
    )
    squared[cosine > 1 - 1e-6] = 0.0  # a full turn back stops
    return squared
