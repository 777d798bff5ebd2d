"""The planner of GRBL 1.1, its step timer and its serial line, event by event.

Written from the published description of GRBL's planner (Simen Svale Skogsrud and Sonny K. Jeon, 2009-2016): speeds are
trapezoids; a corner is passed at the speed that an arc of the junction deviation would allow; each axis limits speed
and acceleration; entry speeds are planned so that the head can stop at the end of what the ring buffer holds; a block
that joins while another runs is planned in at once.

What the planner has is cut into segments of about 10 ms, each of one speed, up to five of them ahead of the motors:
what is cut is not planned anew, so that a short line that has no follower in time ends at rest. Two kinds of events
happen: a line has arrived and finds a free slot, or a segment can be cut. The planner's forward pass needs no pass of
its own: only the exit of the block that is being cut is needed, and what it can reach is known from its speed. The
firmware's own computing takes no time here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.motion.program import MotionProgram

Floats = NDArray[np.float64]
SERIAL_BYTES_PER_S = 11_520.0
"""115200 baud with a start and a stop bit: the usual speed of GRBL's serial line."""
RECEIVE_BUFFER_BYTES = 128
RING_SLOTS = 16
"""GRBL's BLOCK_BUFFER_SIZE. One slot stays empty, so that a full ring differs from an empty one."""
MINIMUM_FEED_MM_PER_S = 1.0 / 60
SEGMENTS = 5
"""How many segments GRBL cuts ahead of the motors: it holds 6 and leaves one empty."""
SEGMENT_SECONDS = 0.01
STEPS_AT_LEAST = 1.25
"""Of a segment."""
NOTHING_MM = 1e-6
"""What a rounding error may leave of a block that ends with its segment; at next to no speed it would take long."""
CLOCK_HZ = 16_000_000.0
"""Of the ATmega328P."""
SLOW_STEPS_HZ = 8000.0
"""Below it a step is made of two ticks, below its half and its quarter of four and of eight."""
MOST_TICKS = 8.0
LONGEST_TICK = 65_535.0
"""Cycles that the timer can be told."""
STEPS_PER_MM = 80.0
"""A belt of 2 mm over 20 teeth, 200 full steps per turn, 16 microsteps: what most lasers with GRBL have."""
_STRAIGHT = 0.999999
"""Cosine from which GRBL takes two moves for straight on, or for a full turn back."""
_NO_LIMIT = 1e38


@dataclass(frozen=True)
class PlannerSettings:
    """Settings of a controller: `$110`, `$111` (rates), `$120`, `$121` (acceleration), `$11` (junction deviation),
    `$100`, `$101` (steps).

    Pairs are (x, y). `serial_bytes_per_s` infinity = the controller reads a file. A sender keeps at most
    `receive_bytes` on their way; 0 = it waits for the answer to each line. `reply_seconds` is how long an answer takes.
    """

    max_rate_mm_per_min: tuple[float, float]
    acceleration_mm_per_s2: tuple[float, float]
    junction_deviation_mm: float
    steps_per_mm: tuple[float, float] = (STEPS_PER_MM, STEPS_PER_MM)
    ring_slots: int = RING_SLOTS
    serial_bytes_per_s: float = SERIAL_BYTES_PER_S
    receive_bytes: int = RECEIVE_BUFFER_BYTES
    reply_seconds: float = 0.0


def run_seconds(program: MotionProgram, settings: PlannerSettings) -> Floats:
    """When each step ends, counted from the first byte sent; float64, one per step that has a length.

    O(steps): a few million per second once compiled.
    """
    moving = program.without_rests()
    if not len(moving):
        return np.zeros(0)
    step_mm = np.ascontiguousarray(moving.step_mm, dtype=np.float64)
    steps = np.maximum(np.rint(np.abs(step_mm) * np.array(settings.steps_per_mm)).max(axis=1), 1.0)
    length_mm, nominal, twice_accel, entry_squared = _blocks(
        step_mm,
        np.ascontiguousarray(moving.feed_mm_per_min / 60, dtype=np.float64),
        np.array(settings.max_rate_mm_per_min) / 60,
        np.array(settings.acceleration_mm_per_s2, dtype=np.float64),
        float(settings.junction_deviation_mm),
    )
    return _run(
        length_mm,
        nominal,
        twice_accel,
        entry_squared,
        steps,
        np.ascontiguousarray(moving.line_bytes, dtype=np.float64),
        np.ascontiguousarray(moving.stops),
        settings.ring_slots - 1,
        (1.0 / settings.serial_bytes_per_s, float(settings.receive_bytes), float(settings.reply_seconds)),
    )


@compiled()
def _within_axes(limits: Floats, x: float, y: float) -> float:
    """The most along the unit vector (x, y) that exceeds no axis's limit."""
    most = _NO_LIMIT
    if x != 0.0:
        most = min(most, limits[0] / abs(x))
    if y != 0.0:
        most = min(most, limits[1] / abs(y))
    return most


@compiled()
def _junction_squared(px: float, py: float, ux: float, uy: float, accel: Floats, deviation_mm: float) -> float:
    """Greatest v² between two unit vectors: a·δ·sin(θ/2)/(1 − sin(θ/2)) (Jeon 2011), a along their difference."""
    cosine = -(px * ux + py * uy)
    if cosine > _STRAIGHT:
        return 0.0
    if cosine < -_STRAIGHT:
        return _NO_LIMIT
    jx, jy = ux - px, uy - py
    size = math.sqrt(jx * jx + jy * jy)
    half_sine = math.sqrt(0.5 * (1.0 - cosine))
    across = _within_axes(accel, jx / size, jy / size)
    return across * deviation_mm * half_sine / (1.0 - half_sine)


@compiled()
def _blocks(
    step_mm: Floats, feed: Floats, rates: Floats, accel: Floats, deviation_mm: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Length, nominal speed, 2·acceleration and greatest v² at the entry of each block."""
    count = len(step_mm)
    length, nominal = np.empty(count), np.empty(count)
    twice_accel, entry_squared = np.empty(count), np.zeros(count)
    px = py = 0.0
    for i in range(count):
        size = math.sqrt(step_mm[i, 0] ** 2 + step_mm[i, 1] ** 2)
        ux, uy = step_mm[i, 0] / size, step_mm[i, 1] / size
        length[i] = size
        nominal[i] = max(min(feed[i], _within_axes(rates, ux, uy)), MINIMUM_FEED_MM_PER_S)
        twice_accel[i] = 2.0 * _within_axes(accel, ux, uy)
        if i:
            slower = min(nominal[i], nominal[i - 1])
            entry_squared[i] = min(_junction_squared(px, py, ux, uy, accel, deviation_mm), slower * slower)
        px, py = ux, uy
    return length, nominal, twice_accel, entry_squared


@compiled()
def _profile(
    speed: float, left_mm: float, exit_speed: float, nominal: float, accel: float
) -> tuple[float, float, float]:
    """Until how far from its end the rest of a block speeds up, from where on it slows down, and its top speed."""
    middle = 0.5 * (left_mm + (speed * speed - exit_speed * exit_speed) / (2.0 * accel))
    if middle <= 0.0:
        return 0.0, 0.0, exit_speed
    if middle >= left_mm:
        return left_mm, left_mm, speed
    slowing_mm = (nominal * nominal - exit_speed * exit_speed) / (2.0 * accel)
    if slowing_mm >= middle:
        return middle, middle, math.sqrt(2.0 * accel * middle + exit_speed * exit_speed)
    return min(left_mm - (nominal * nominal - speed * speed) / (2.0 * accel), left_mm), slowing_mm, nominal


@compiled()
def _segment(
    speed: float, left_mm: float, exit_speed: float, nominal: float, accel: float, least_mm: float
) -> tuple[float, float, float]:
    """The next segment of a block: its seconds, what it leaves of the block, and the speed at its end.

    A segment takes `SEGMENT_SECONDS`, or as many more times that as it needs to cover `least_mm`, and ends with its
    block. GRBL counts the time of speeding up from the segment's begin, also where that began a round before: the
    first segments from rest take longer than the trapezoid does, which is kept here.
    """
    begin_mm = left_mm
    goal_mm = max(left_mm - least_mm, 0.0)
    faster_until_mm, slower_after_mm, top = _profile(speed, left_mm, exit_speed, nominal, accel)
    faster, slower = faster_until_mm < left_mm, slower_after_mm >= left_mm
    seconds, limit = 0.0, SEGMENT_SECONDS
    while left_mm > 0.0:
        took = limit - seconds
        if faster:
            reached_mm = left_mm - took * (speed + 0.5 * accel * took)
            if reached_mm < faster_until_mm:
                took = 2.0 * (begin_mm - faster_until_mm) / (speed + top)
                left_mm, speed = faster_until_mm, top
                faster, slower = False, faster_until_mm == slower_after_mm
            else:
                left_mm, speed = reached_mm, speed + accel * took
        elif not slower:
            reached_mm = left_mm - top * took
            if reached_mm < slower_after_mm:
                took = (left_mm - slower_after_mm) / top
                left_mm, slower = slower_after_mm, True
            else:
                left_mm = reached_mm
        else:
            reached_mm = left_mm - took * (speed - 0.5 * accel * took)
            if speed > accel * took and reached_mm > NOTHING_MM:
                left_mm, speed = reached_mm, speed - accel * took
            else:
                took = 2.0 * left_mm / (speed + exit_speed)
                left_mm, speed = 0.0, exit_speed
        seconds += took
        if seconds >= limit:
            if left_mm <= goal_mm:
                break
            limit += SEGMENT_SECONDS
    return seconds, left_mm, speed


@compiled()
def _ticks(seconds: float, steps_before: float, steps_after: float) -> tuple[float, float]:
    """How many ticks of the step timer a segment takes, and the seconds of one. It makes whole steps.

    Slow steps are made of two, four or eight ticks, so that the other axis moves smoothly (GRBL's AMASS). A tick is a
    whole number of the clock's cycles, one more than the timer is told.
    """
    cycles = math.ceil(CLOCK_HZ * seconds / (steps_before - steps_after))
    ticks = 1.0
    while ticks < MOST_TICKS and cycles * SLOW_STEPS_HZ >= CLOCK_HZ * ticks:
        ticks *= 2.0
    told = min(math.floor(cycles / ticks), LONGEST_TICK)
    return ticks * (steps_before - math.ceil(steps_after)), (told + 1.0) / CLOCK_HZ


@compiled()
def _plan_backwards(
    entry: Floats, most: Floats, length_mm: Floats, twice_accel: Floats, running: int, last: int
) -> None:
    """The reverse pass: v² at the entries after the running block, from a stop at the end of the last.

    It ends where nothing changes any more: what lies before was planned from there.
    """
    after = 0.0
    for k in range(last, running, -1):
        planned = min(most[k], after + twice_accel[k] * length_mm[k])
        if planned == entry[k]:
            return
        entry[k] = planned
        after = planned


@compiled()
def _sent(
    block: int,
    line_bytes: Floats,
    planned_at: Floats,
    sent_before: float,
    oldest: int,
    under_way: float,
    wire: tuple[float, float, float],
) -> tuple[float, int, float]:
    """When the last byte of a block's line arrives; the oldest line on its way, and their bytes with this one's.

    The sender counts: a line goes out once all bytes on their way fit into the receive buffer.
    """
    seconds_per_byte, receive_bytes, reply_seconds = wire
    under_way += line_bytes[block]
    begin = sent_before
    while under_way > receive_bytes and oldest < block:
        begin = max(begin, planned_at[oldest] + reply_seconds)
        under_way -= line_bytes[oldest]
        oldest += 1
    return begin + line_bytes[block] * seconds_per_byte, oldest, under_way


@compiled()
def _cut(
    ramps: tuple[float, float, float, float, float], steps_per_mm: float, steps_left: float, carried: float
) -> tuple[float, float, float, float, float, float]:
    """One segment: its seconds by the timer and those of a tick; then what is left of the block, the speed, the whole
    steps left, and the seconds of a part of a step that the next one makes up for. `ramps` are `_segment`'s.
    """
    speed, left_mm, exit_speed, nominal, accel = ramps
    seconds, left_mm, speed = _segment(speed, left_mm, exit_speed, nominal, accel, STEPS_AT_LEAST / steps_per_mm)
    seconds += carried
    after = left_mm * steps_per_mm
    ticks, tick = _ticks(seconds, steps_left, after)
    whole = math.ceil(after)
    return ticks * tick, tick, left_mm, speed, float(whole), seconds * (whole - after) / (steps_left - after)


@compiled()
def _run(
    length_mm: Floats,
    nominal: Floats,
    twice_accel: Floats,
    junction_squared: Floats,
    steps: Floats,
    line_bytes: Floats,
    stops: NDArray[np.bool_],
    held: int,
    wire: tuple[float, float, float],
) -> Floats:
    """Plays the program; `held` blocks fit into the ring. `wire`: seconds per byte, bytes that the controller takes
    ahead, and seconds of an answer. Returns when each block ends.
    """
    count = len(length_mm)
    ends, planned_at = np.empty(count), np.zeros(count)
    most, entry = junction_squared.copy(), np.full(count, -1.0)
    # When the segments end that hold the slots of the queue, and when the last one does: the motors stand from then on.
    slots, slot, still_at, tick = np.zeros(SEGMENTS), 0, -1.0, 0.0
    now = speed = left_mm = steps_left = carried = 0.0
    tail = head = 0
    moving = False
    arrived, oldest, under_way = _sent(0, line_bytes, planned_at, 0.0, 0, 0.0, wire)
    while tail < count:
        cut_at = max(now, slots[slot]) if moving else now
        can_plan = head < count and head - tail < held and not (stops[head] and tail < head)
        plan_at = max(now, arrived)
        if can_plan and stops[head]:
            plan_at = max(plan_at, still_at)
        if can_plan and (tail == head or plan_at < cut_at or (not moving and plan_at <= now)):
            now = planned_at[head] = plan_at
            if tail == head:  # nothing planned: it begins from rest
                most[head], speed = 0.0, 0.0
                left_mm, steps_left, carried = length_mm[head], steps[head], 0.0
                moving = now < still_at
            head += 1
            _plan_backwards(entry, most, length_mm, twice_accel, tail, head - 1)
            if head < count:
                arrived, oldest, under_way = _sent(head, line_bytes, planned_at, arrived, oldest, under_way, wire)
            continue
        if not moving:  # all that is here is planned; the timer finishes its tick first
            moving, still_at, cut_at = True, max(now, still_at + tick), now
        now = cut_at
        exit_squared = 0.0
        if tail + 1 < head:
            exit_squared = min(entry[tail + 1], speed * speed + twice_accel[tail] * left_mm)
        took, tick, left_mm, speed, steps_left, carried = _cut(
            (speed, left_mm, math.sqrt(exit_squared), nominal[tail], 0.5 * twice_accel[tail]),
            steps[tail] / length_mm[tail],
            steps_left,
            carried,
        )
        still_at += took
        slots[slot] = still_at
        slot = (slot + 1) % SEGMENTS
        if left_mm <= 0.0:
            ends[tail] = still_at
            tail += 1
            if tail < head:
                left_mm, steps_left, carried = length_mm[tail], steps[tail], 0.0
    return ends
