"""How long a toolpath takes, as low, expected and high, and what holds it back.

GRBL is simulated: planner, junctions, look-ahead and serial line; without its laser mode it stops at each change of
power. Marlin and Smoothieware plan alike but not the same: for them the ends of the interval are stated, and its
middle (geometric) stands for the expected time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine.arcs import sweep_rad
from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath
from kerf_optimizer.domain.motion import STEPS_PER_MM, MotionProgram, PlannerSettings, arc_chords, run_seconds
from kerf_optimizer.domain.presets import Dialect, MachineProfile

ACCELERATION_SPREAD = 1.25
"""Profiles are nominal and a controller's `$120` is its owner's: low and high allow for so much more and less."""
ANSWER_SECONDS = 0.002
"""A sender that waits for each `ok`: four bytes back at 115200 baud, and as much again for a USB bridge."""
LONG_RING, SHORT_RING = 64, 8
"""Look-ahead of other firmwares, at its best and at its worst."""
GRBL_DIALECTS = frozenset({Dialect.GRBL_M4, Dialect.GRBL_M3, Dialect.GRBL_NO_LASER_MODE})
_ALL_DIGITS = 10 ** np.arange(1, 10, dtype=np.int64)


class TimeBound(Enum):
    """What a burn spends most of its time on, and so what would make it faster."""

    FEED = "feed"
    ACCELERATION = "acceleration"
    SERIAL_LINE = "serial line"


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds from the first byte sent to the last stop.

    `low_seconds`: no serial line and brisker axes. `high_seconds`: slower axes, and a sender that waits for each
    answer. The expected time is the sum of three parts: at the feeds asked for, what speeding up and slowing down add,
    and what the serial line adds. `simulated` False = the firmware is not GRBL, and only the interval means anything.
    """

    low_seconds: float
    expected_seconds: float
    high_seconds: float
    feed_seconds: float
    acceleration_seconds: float
    serial_seconds: float
    simulated: bool = True

    @property
    def between_seconds(self) -> tuple[float, float]:
        """The ends of the interval."""
        return self.low_seconds, self.high_seconds

    @property
    def bounded_by(self) -> TimeBound:
        """The largest of the three parts."""
        parts = {
            TimeBound.FEED: self.feed_seconds,
            TimeBound.ACCELERATION: self.acceleration_seconds,
            TimeBound.SERIAL_LINE: self.serial_seconds,
        }
        return max(parts, key=lambda bound: parts[bound])


def estimate_time(
    path: Toolpath, machine: MachineProfile, check_cancelled: Callable[[], None] = lambda: None
) -> TimeEstimate:
    """How long the toolpath takes, from its first target on; all zero for fewer than two targets.

    Calls `check_cancelled` between simulations and passes on what it raises.
    """
    program = motion_program(path, machine)

    def seconds(settings: PlannerSettings) -> float:
        check_cancelled()
        ends = run_seconds(program, settings)
        return float(ends[-1]) if len(ends) else 0.0

    grbl = planner_settings(machine)
    no_line = dataclasses.replace(grbl, serial_bytes_per_s=math.inf)
    waiting = dataclasses.replace(grbl, receive_bytes=0, reply_seconds=ANSWER_SECONDS)
    simulated = machine.dialect in GRBL_DIALECTS
    low = seconds(_accelerated(no_line, ACCELERATION_SPREAD, grbl.ring_slots if simulated else LONG_RING))
    high = seconds(_accelerated(waiting, 1 / ACCELERATION_SPREAD, grbl.ring_slots if simulated else SHORT_RING))
    planned = seconds(no_line)
    expected = seconds(grbl) if simulated else math.sqrt(low * high)
    at_feed = _at_feed_seconds(program, machine)
    # Rounding alone could make a part that is nothing a hair less than nothing.
    slowed = max(min(planned, expected) - at_feed, 0.0)
    return TimeEstimate(
        low_seconds=min(low, expected),
        expected_seconds=expected,
        high_seconds=max(high, expected),
        feed_seconds=min(at_feed, expected),
        acceleration_seconds=slowed,
        serial_seconds=max(expected - at_feed - slowed, 0.0),
        simulated=simulated,
    )


def estimate_seconds(path: Toolpath, machine: MachineProfile) -> float:
    """What GRBL takes where no serial line holds it up: moves alone. 0 for fewer than two targets."""
    ends = run_seconds(
        motion_program(path, machine), dataclasses.replace(planner_settings(machine), serial_bytes_per_s=math.inf)
    )
    return float(ends[-1]) if len(ends) else 0.0


def planner_settings(machine: MachineProfile) -> PlannerSettings:
    """GRBL's settings on this machine."""
    return PlannerSettings(
        max_rate_mm_per_min=machine.axis_feeds_mm_per_min,
        acceleration_mm_per_s2=machine.axis_accelerations_mm_per_s2,
        junction_deviation_mm=machine.junction_deviation_mm,
    )


def _accelerated(settings: PlannerSettings, factor: float, ring_slots: int) -> PlannerSettings:
    x, y = settings.acceleration_mm_per_s2
    return dataclasses.replace(settings, acceleration_mm_per_s2=(x * factor, y * factor), ring_slots=ring_slots)


def motion_program(path: Toolpath, machine: MachineProfile) -> MotionProgram:
    """What the controller plans: each arc as its chords, of which the first waits for the line's bytes.

    All ends lie where the motors can stop.
    """
    feed = np.where(path.rapid, np.inf, np.minimum(path.feed_mm_per_min, machine.max_feed_mm_per_min))
    stops = np.zeros(len(path), dtype=np.bool_)
    if machine.dialect is Dialect.GRBL_NO_LASER_MODE:
        stops[1:] = path.s[1:] != path.s[:-1]
    points_mm, line = _chord_ends(path)
    points_mm = np.rint(points_mm * STEPS_PER_MM) / STEPS_PER_MM
    begins = _changes(line)
    sent, held = np.where(begins, line_bytes(path)[line], 0), stops[line] & begins
    return MotionProgram(np.diff(points_mm, axis=0), feed[line][1:], sent[1:], held[1:])


def _chord_ends(path: Toolpath) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The ends of all straight steps (m, 2) in millimetres, and the move that each belongs to, int64 (m,)."""
    target_mm = np.stack([path.x_um, path.y_um], axis=1) / UM_PER_MM
    if path.turn is None or path.i_um is None or path.j_um is None:
        return target_mm, np.arange(len(path))
    arcs = path.arcs
    start_mm, turn = target_mm[arcs - 1], path.turn[arcs]
    center_mm = start_mm + np.stack([path.i_um[arcs], path.j_um[arcs]], axis=1) / UM_PER_MM
    swept = sweep_rad(start_mm, target_mm[arcs], center_mm, turn)
    offset_mm = start_mm - center_mm
    radius_mm = np.hypot(offset_mm[:, 0], offset_mm[:, 1])
    chords = np.ones(len(path), dtype=np.int64)
    chords[arcs] = arc_chords(radius_mm, swept)
    line = np.repeat(np.arange(len(path)), chords)
    number = np.arange(len(line)) - np.repeat(np.cumsum(chords) - chords, chords) + 1
    points_mm = target_mm[line]
    # All but the last chord of an arc end on the circle; `which` counts arcs.
    inner = np.flatnonzero(number < chords[line])
    which = np.searchsorted(arcs, line[inner])
    share = number[inner] / chords[line[inner]]
    angle = np.arctan2(offset_mm[which, 1], offset_mm[which, 0]) + turn[which] * swept[which] * share
    points_mm[inner] = center_mm[which] + radius_mm[which, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points_mm, line


def _at_feed_seconds(program: MotionProgram, machine: MachineProfile) -> float:
    """Time of all steps at the speed asked for, rapid ones at the most that the axes allow."""
    length_mm = np.hypot(program.step_mm[:, 0], program.step_mm[:, 1])
    # The axis that takes longer limits a slanted rapid move.
    rapid_minutes = (np.abs(program.step_mm) / np.array(machine.axis_feeds_mm_per_min)).max(axis=1, initial=0.0)
    with np.errstate(invalid="ignore"):
        minutes = np.where(np.isinf(program.feed_mm_per_min), rapid_minutes, length_mm / program.feed_mm_per_min)
    return float(minutes.sum() * 60)


def line_bytes(path: Toolpath) -> NDArray[np.int64]:
    """Bytes of each move's G-code line, the newline included, int64 (n,), as the writer for GRBL makes them."""
    turn = np.zeros(len(path), dtype=np.int8) if path.turn is None else path.turn
    straight = ~path.rapid & (turn == 0)
    first_feed = straight & np.append(True, ~straight[:-1])
    x, y = _word_bytes(path.x_um, UM_PER_MM, 4), _word_bytes(path.y_um, UM_PER_MM, 4)
    s, feed = _word_bytes(path.s, 1, 0), _word_bytes(path.feed_mm_per_min, 1, 0)
    y_moves = _changes(path.y_um)
    x_moves = _changes(path.x_um) | ~y_moves
    following = x * x_moves + y * y_moves + s * _changes(path.s) + feed * _changes(path.feed_mm_per_min)
    # Whole lines begin with a word of two letters; in the others the first word has no space before it.
    whole = 2 + x + y + s + feed * ~path.rapid
    sizes = np.where(straight & ~first_feed, following - 1, whole) + 1
    if path.i_um is not None and path.j_um is not None:
        centers = _word_bytes(path.i_um, UM_PER_MM, 4) + _word_bytes(path.j_um, UM_PER_MM, 4)
        sizes += np.where(turn != 0, centers, 0)
    if path.z_um is not None:
        sizes[path.z_changes] += _word_bytes(path.z_um, UM_PER_MM, 4)[path.z_changes]
    return sizes


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = np.append(True, values[1:] != values[:-1])
    return changed


def _word_bytes(value: NDArray[np.int64] | NDArray[np.int32], unit: int, decimals: int) -> NDArray[np.int64]:
    """A space, a letter, a sign if any, the digits of whole units, and the point with its decimals."""
    digits = 1 + np.searchsorted(_ALL_DIGITS, np.abs(value) // unit, side="right")
    return 2 + (value < 0) + digits + decimals
