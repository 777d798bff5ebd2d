"""The planner of GRBL 1.1 and its serial line, event by event.

Written from the published description of GRBL's planner (Simen Svale Skogsrud and Sonny K. Jeon, 2009-2016): speeds are
trapezoids; a corner is passed at the speed that an arc of the junction deviation would allow; each axis limits speed
and acceleration; entry speeds are planned so that the head can stop at the end of what the ring buffer holds; a block
that joins while another runs is planned in at once.

Two kinds of events happen: a line has arrived and finds a free slot, or the running block ends. Between them the head
follows one trapezoid, so that nothing is sampled. The planner's forward pass needs no pass of its own: only the running
block's exit is needed, and what it can reach is known from its speed.
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
_STRAIGHT = 0.999999
"""Cosine from which GRBL takes two moves for straight on, or for a full turn back."""
_NO_LIMIT = 1e38


@dataclass(frozen=True)
class PlannerSettings:
    """Settings of a controller: `$110`, `$111` (rates), `$120`, `$121` (acceleration), `$11` (junction deviation).

    Pairs are (x, y). `serial_bytes_per_s` infinity = the controller reads a file. A sender keeps at most
    `receive_bytes` on their way; 0 = it waits for the answer to each line. `reply_seconds` is how long an answer takes.
    """

    max_rate_mm_per_min: tuple[float, float]
    acceleration_mm_per_s2: tuple[float, float]
    junction_deviation_mm: float
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
    length_mm, nominal, twice_accel, entry_squared = _blocks(
        np.ascontiguousarray(moving.step_mm, dtype=np.float64),
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
        np.ascontiguousarray(moving.line_bytes, dtype=np.float64),
        np.ascontiguousarray(moving.stops),
        settings.ring_slots - 1,
        1.0 / settings.serial_bytes_per_s,
        float(settings.receive_bytes),
        float(settings.reply_seconds),
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
def _trapezoid(
    squared: float, left_mm: float, exit_squared: float, nominal: float, twice_accel: float
) -> tuple[float, float, float]:
    """Peak speed, and the seconds of speeding up and of cruising, over the rest of a block."""
    peak_squared = min(nominal * nominal, 0.5 * (squared + exit_squared + twice_accel * left_mm))
    peak_squared = max(peak_squared, squared, exit_squared)
    peak = math.sqrt(peak_squared)
    cruise_mm = max(left_mm - (2.0 * peak_squared - squared - exit_squared) / twice_accel, 0.0)
    cruising = cruise_mm / peak if peak > 0.0 else 0.0
    return peak, 2.0 * (peak - math.sqrt(squared)) / twice_accel, cruising


@compiled()
def _advanced(
    squared: float, left_mm: float, exit_squared: float, nominal: float, twice_accel: float, seconds: float
) -> tuple[float, float]:
    """v² and what is left of the block after some seconds, fewer than it still takes."""
    peak, rising, cruising = _trapezoid(squared, left_mm, exit_squared, nominal, twice_accel)
    start = math.sqrt(squared)
    accel = 0.5 * twice_accel
    if seconds <= rising:
        speed = start + accel * seconds
        return speed * speed, max(left_mm - 0.5 * (start + speed) * seconds, 0.0)
    if seconds <= rising + cruising:
        gone = 0.5 * (start + peak) * rising + peak * (seconds - rising)
        return peak * peak, max(left_mm - gone, 0.0)
    falling = seconds - rising - cruising
    speed = max(peak - accel * falling, math.sqrt(exit_squared))
    return speed * speed, max((speed * speed - exit_squared) / twice_accel, 0.0)


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
    seconds_per_byte: float,
    receive_bytes: float,
    reply_seconds: float,
) -> tuple[float, int, float]:
    """When the last byte of a block's line arrives; the oldest line on its way, and their bytes with this one's.

    The sender counts: a line goes out once all bytes on their way fit into the receive buffer.
    """
    under_way += line_bytes[block]
    begin = sent_before
    while under_way > receive_bytes and oldest < block:
        begin = max(begin, planned_at[oldest] + reply_seconds)
        under_way -= line_bytes[oldest]
        oldest += 1
    return begin + line_bytes[block] * seconds_per_byte, oldest, under_way


@compiled()
def _run(
    length_mm: Floats,
    nominal: Floats,
    twice_accel: Floats,
    junction_squared: Floats,
    line_bytes: Floats,
    stops: NDArray[np.bool_],
    held: int,
    seconds_per_byte: float,
    receive_bytes: float,
    reply_seconds: float,
) -> Floats:
    """Plays the program; `held` blocks fit into the ring. Returns when each block ends."""
    count = len(length_mm)
    ends, planned_at = np.empty(count), np.zeros(count)
    most, entry = junction_squared.copy(), np.full(count, -1.0)
    now = squared = left_mm = 0.0
    tail = head = 0
    arrived, oldest, under_way = _sent(
        0, line_bytes, planned_at, 0.0, 0, 0.0, seconds_per_byte, receive_bytes, reply_seconds
    )
    while tail < count:
        exit_squared = took = 0.0
        if tail < head:
            if tail + 1 < head:
                exit_squared = min(entry[tail + 1], squared + twice_accel[tail] * left_mm)
            peak, rising, cruising = _trapezoid(squared, left_mm, exit_squared, nominal[tail], twice_accel[tail])
            falling = 2.0 * (peak - math.sqrt(exit_squared)) / twice_accel[tail]
            took = rising + cruising + falling
        can_plan = head < count and head - tail < held and not (stops[head] and tail < head)
        if can_plan and (tail == head or arrived < now + took):
            begin = max(arrived, now)
            if tail == head:  # at rest, with nothing planned
                most[head], squared, left_mm = 0.0, 0.0, length_mm[head]
            elif begin > now:
                squared, left_mm = _advanced(
                    squared, left_mm, exit_squared, nominal[tail], twice_accel[tail], begin - now
                )
            now = planned_at[head] = begin
            head += 1
            _plan_backwards(entry, most, length_mm, twice_accel, tail, head - 1)
            if head < count:
                arrived, oldest, under_way = _sent(
                    head,
                    line_bytes,
                    planned_at,
                    arrived,
                    oldest,
                    under_way,
                    seconds_per_byte,
                    receive_bytes,
                    reply_seconds,
                )
        else:
            now += took
            ends[tail] = now
            squared = exit_squared
            tail += 1
            if tail < head:
                left_mm = length_mm[tail]
    return ends
