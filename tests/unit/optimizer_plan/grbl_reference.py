"""The referee of the time estimate: GRBL 1.1's planner, literally and slowly.

A ring buffer of 16 slots with head, tail and "planned" pointers, the reverse and the forward pass over it, the profile
of the running block in GRBL's own terms (accelerate until, decelerate after), executed in slices of at
most half a millisecond, and a serial line on which each byte takes its time. Nothing is shared with what it judges.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

RING = 16
SLICE_SECONDS = 0.0005
LARGE = 1e38


@dataclass
class Line:
    """One G1 or G0: vector in mm, feed in mm/min (inf = rapid), bytes, and whether motion must end before it."""

    x: float
    y: float
    feed: float
    size: int
    stops: bool = False


@dataclass
class Controller:
    """Rates in mm/min, accelerations in mm/s²."""

    rate: tuple[float, float]
    accel: tuple[float, float]
    deviation: float
    bytes_per_s: float
    receive: int = 128
    reply: float = 0.0


@dataclass
class Block:
    millimeters: float = 0.0
    acceleration: float = 0.0
    programmed_rate: float = 0.0
    rapid_rate: float = 0.0
    max_junction_speed_sqr: float = 0.0
    max_entry_speed_sqr: float = 0.0
    entry_speed_sqr: float = 0.0

    def nominal(self) -> float:
        return max(min(self.programmed_rate, self.rapid_rate), 1 / 60)


def limit_by_axis(limits: tuple[float, float], x: float, y: float) -> float:
    value = LARGE
    for limit, part in zip(limits, (x, y), strict=True):
        if part != 0:
            value = min(value, abs(limit / part))
    return value


class Planner:
    def __init__(self, controller: Controller) -> None:
        self.c = controller
        self.ring = [Block() for _ in range(RING)]
        self.head = self.tail = self.planned = 0
        self.previous_unit = (0.0, 0.0)
        self.previous_nominal = 0.0

    @staticmethod
    def after(index: int) -> int:
        return (index + 1) % RING

    @staticmethod
    def before(index: int) -> int:
        return (index - 1) % RING

    def full(self) -> bool:
        return self.tail == self.after(self.head)

    def buffer_line(self, line: Line) -> None:
        block = self.ring[self.head] = Block()
        block.millimeters = math.hypot(line.x, line.y)
        unit = (line.x / block.millimeters, line.y / block.millimeters)
        block.acceleration = limit_by_axis(self.c.accel, *unit)
        block.rapid_rate = limit_by_axis((self.c.rate[0] / 60, self.c.rate[1] / 60), *unit)
        block.programmed_rate = block.rapid_rate if math.isinf(line.feed) else line.feed / 60
        if self.head == self.tail:
            block.max_junction_speed_sqr = 0.0
        else:
            cosine = -(self.previous_unit[0] * unit[0] + self.previous_unit[1] * unit[1])
            if cosine > 0.999999:
                block.max_junction_speed_sqr = 0.0
            elif cosine < -0.999999:
                block.max_junction_speed_sqr = LARGE
            else:
                jx, jy = unit[0] - self.previous_unit[0], unit[1] - self.previous_unit[1]
                size = math.hypot(jx, jy)
                accel = limit_by_axis(self.c.accel, jx / size, jy / size)
                half = math.sqrt(0.5 * (1.0 - cosine))
                block.max_junction_speed_sqr = accel * self.c.deviation * half / (1.0 - half)
        nominal = block.nominal()
        block.max_entry_speed_sqr = min(nominal, self.previous_nominal) ** 2
        block.max_entry_speed_sqr = min(block.max_entry_speed_sqr, block.max_junction_speed_sqr)
        self.previous_nominal, self.previous_unit = nominal, unit
        self.head = self.after(self.head)
        self.recalculate()

    def recalculate(self) -> None:
        index = self.before(self.head)
        if index == self.planned:
            return
        current = self.ring[index]
        current.entry_speed_sqr = min(current.max_entry_speed_sqr, 2 * current.acceleration * current.millimeters)
        index = self.before(index)
        while index != self.planned:
            following, current = current, self.ring[index]
            index = self.before(index)
            if current.entry_speed_sqr != current.max_entry_speed_sqr:
                speed = following.entry_speed_sqr + 2 * current.acceleration * current.millimeters
                current.entry_speed_sqr = min(speed, current.max_entry_speed_sqr)
        following = self.ring[self.planned]
        index = self.after(self.planned)
        while index != self.head:
            current, following = following, self.ring[index]
            if current.entry_speed_sqr < following.entry_speed_sqr:
                speed = current.entry_speed_sqr + 2 * current.acceleration * current.millimeters
                if speed < following.entry_speed_sqr:
                    following.entry_speed_sqr = speed
                    self.planned = index
            if following.entry_speed_sqr == following.max_entry_speed_sqr:
                self.planned = index
            index = self.after(index)

    def exit_speed_sqr(self) -> float:
        following = self.after(self.tail)
        return 0.0 if following == self.head else self.ring[following].entry_speed_sqr

    def discard(self) -> None:
        following = self.after(self.tail)
        if self.tail == self.planned:
            self.planned = following
        self.tail = following


@dataclass
class Profile:
    """Of the running block: distances count what is left of it."""

    accelerate_until: float
    decelerate_after: float
    exit_speed: float
    maximum_speed: float


def profile_of(block: Block, exit_sqr: float) -> Profile:
    left, inverse = block.millimeters, 0.5 / block.acceleration
    nominal = block.nominal()
    intersect = 0.5 * (left + inverse * (block.entry_speed_sqr - exit_sqr))
    if intersect > 0.0:
        if intersect < left:
            after = inverse * (nominal * nominal - exit_sqr)
            if after < intersect:
                until = left - inverse * (nominal * nominal - block.entry_speed_sqr)
                return Profile(until, after, math.sqrt(exit_sqr), nominal)
            top = math.sqrt(2 * block.acceleration * intersect + exit_sqr)
            return Profile(intersect, intersect, math.sqrt(exit_sqr), top)
        return Profile(left, left, math.sqrt(exit_sqr), math.sqrt(block.entry_speed_sqr))  # slowing down only
    return Profile(0.0, 0.0, math.sqrt(exit_sqr), math.sqrt(exit_sqr))  # speeding up only


class Line115200:
    """The sender and the wire: at most so many bytes without an answer."""

    def __init__(self, lines: Sequence[Line], controller: Controller) -> None:
        self.waiting = deque(enumerate(lines))
        self.c = controller
        self.on_the_way: deque[int] = deque()  # sizes of lines that were sent and are not planned
        self.arrivals: dict[int, float] = {}
        self.free_at = 0.0
        self.answered: deque[tuple[float, int]] = deque()
        self.unanswered = 0
        self.send(0.0)

    def send(self, now: float) -> None:
        while self.answered and self.answered[0][0] <= now:
            when, size = self.answered.popleft()
            self.unanswered -= size
            self.push(when)
        self.push(now)

    def push(self, now: float) -> None:
        while self.waiting and (self.unanswered == 0 or self.unanswered + self.waiting[0][1].size <= self.c.receive):
            number, line = self.waiting.popleft()
            self.free_at = max(self.free_at, now)
            for _ in range(line.size):
                self.free_at += 1.0 / self.c.bytes_per_s
            self.arrivals[number] = self.free_at
            self.unanswered += line.size

    def planned(self, size: int, now: float) -> None:
        self.answered.append((now + self.c.reply, size))
        self.send(now)


def reference_seconds(lines: Sequence[Line], controller: Controller) -> float:
    """How long the program takes."""
    planner, wire = Planner(controller), Line115200(lines, controller)
    now, speed, done, parsed = 0.0, 0.0, 0, 0
    while done < len(lines):
        wire.send(now)
        while parsed < len(lines) and wire.arrivals.get(parsed, math.inf) <= now + 1e-12 and not planner.full():
            line = lines[parsed]
            if line.stops and planner.head != planner.tail:
                break
            planner.ring[planner.tail].entry_speed_sqr = speed * speed  # as st_update_plan_block_parameters does
            planner.buffer_line(line)
            wire.planned(line.size, now)
            parsed += 1
        if planner.head == planner.tail:
            due = [wire.arrivals[parsed]] if parsed in wire.arrivals else [wire.answered[0][0]]
            now = max(now, min(due))
            continue
        block = planner.ring[planner.tail]
        block.entry_speed_sqr = speed * speed
        profile = profile_of(block, planner.exit_speed_sqr())
        until = wire.arrivals.get(parsed, math.inf) - now
        took, left, speed = _slice(block, profile, speed, min(SLICE_SECONDS, until if until > 0 else SLICE_SECONDS))
        now += took
        block.millimeters = left
        if left <= 0.0:
            speed = profile.exit_speed
            planner.discard()
            done += 1
    return now


def _slice(block: Block, profile: Profile, speed: float, most: float) -> tuple[float, float, float]:
    """At most so many seconds, fewer where a phase of the profile or the block ends: (seconds, what is left, speed)."""
    left = block.millimeters
    if left > profile.accelerate_until + 1e-12:
        ends_at, ends_with, accel = profile.accelerate_until, profile.maximum_speed, block.acceleration
    elif left > profile.decelerate_after + 1e-12:
        ends_at, ends_with, accel = profile.decelerate_after, profile.maximum_speed, 0.0
    else:
        ends_at, ends_with, accel = 0.0, profile.exit_speed, -block.acceleration
    if accel == 0.0:
        rest = (left - ends_at) / profile.maximum_speed
        speed = profile.maximum_speed
    else:
        rest = (ends_with - speed) / accel
    if rest <= most:
        return max(rest, 0.0), ends_at, ends_with
    reached = speed + accel * most
    return most, left - 0.5 * (speed + reached) * most, reached
