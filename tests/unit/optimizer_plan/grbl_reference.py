"""The referee of the time estimate: GRBL 1.1's planner, literally and slowly.

A ring buffer of 16 slots with head, tail and "planned" pointers, the reverse and the forward pass over it, the profile
of the running block in GRBL's own terms (accelerate until, decelerate after), kept until the planner asks for another,
cut into segments that wait in a queue for the step timer, and a serial line on which each byte takes its time. Nothing
is shared with what it judges.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RING = 16
QUEUE = 5
SEGMENT = 0.01
CLOCK = 16e6
LARGE = 1e38
NOTHING_MM = 1e-6


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
    steps_per_mm: tuple[float, float] = (80.0, 80.0)


@dataclass
class Block:
    millimeters: float = 0.0
    steps: float = 0.0
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
        self.tail_changes: Callable[[], None] = lambda: None

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
        block.steps = max(
            1.0, *(round(abs(way) * per) for way, per in zip((line.x, line.y), self.c.steps_per_mm, strict=True))
        )
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
        if index == self.tail:
            self.tail_changes()
        while index != self.planned:
            following, current = current, self.ring[index]
            index = self.before(index)
            if index == self.tail:
                self.tail_changes()
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


class Stepper:
    """Cuts planned blocks into segments of 10 ms, ahead of the timer that makes their steps."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        planner.tail_changes = self.reload
        self.queue: deque[tuple[float, bool]] = deque()  # seconds, and whether a block ends with it
        self.block: Block | None = None  # the one whose profile holds
        self.begun = False  # the block at the tail is partly cut
        self.speed = self.exit = self.top = self.until = self.after = 0.0
        self.steps = self.per_mm = self.remainder = self.tick = 0.0
        self.ramp = ""

    def reload(self) -> None:
        """The planner has changed the block that is being cut."""
        if self.block is not None:
            self.block.entry_speed_sqr = self.speed**2
            self.block = None

    def prepare(self) -> None:
        """Fill the queue."""
        while len(self.queue) < QUEUE and self.planner.head != self.planner.tail:
            if self.block is None:
                self.load()
            self.cut()

    def load(self) -> None:
        block = self.block = self.planner.ring[self.planner.tail]
        if not self.begun:
            self.begun, self.steps, self.remainder = True, block.steps, 0.0
            self.per_mm = block.steps / block.millimeters
            self.speed = math.sqrt(block.entry_speed_sqr)
        left, inverse, entry_sqr = block.millimeters, 0.5 / block.acceleration, block.entry_speed_sqr
        exit_sqr, nominal = self.planner.exit_speed_sqr(), block.nominal()
        self.exit, self.ramp, self.until, self.after, self.top = math.sqrt(exit_sqr), "up", left, 0.0, nominal
        intersect = 0.5 * (left + inverse * (entry_sqr - exit_sqr))
        if intersect <= 0.0:
            self.until, self.top = 0.0, self.exit  # speeding up only
        elif intersect >= left:
            self.ramp = "down"  # slowing down only
        else:
            self.after = inverse * (nominal * nominal - exit_sqr)
            if self.after >= intersect:
                self.until = self.after = intersect
                self.top = math.sqrt(2 * block.acceleration * intersect + exit_sqr)
            elif math.isclose(entry_sqr, nominal * nominal, rel_tol=1e-12):
                self.ramp = "even"
            else:
                self.until -= inverse * (nominal * nominal - entry_sqr)

    def cut(self) -> None:
        """One segment: a whole one, a longer one where it would make no step, or what is left of the block."""
        block = self.block
        assert block is not None
        left, seconds, limit = block.millimeters, 0.0, SEGMENT
        at_most = max(left - 1.25 / self.per_mm, 0.0)
        while True:
            took, left = self.advance(block, left, limit - seconds)
            seconds += took
            if left <= 0.0 or (seconds >= limit - 1e-15 and left <= at_most):
                break
            if seconds >= limit - 1e-15:
                limit += SEGMENT
        self.queue.append((self.timed(seconds, left), left <= 0.0))
        block.millimeters = left
        if left <= 0.0:
            self.planner.discard()
            self.block, self.begun = None, False

    def advance(self, block: Block, left: float, took: float) -> tuple[float, float]:
        """Along one ramp for so many seconds, or to its end: the seconds, and what is left of the block."""
        change = block.acceleration * took
        if self.ramp == "up":
            reached = left - took * (self.speed + 0.5 * change)
            if reached >= self.until:
                self.speed += change
                return took, reached
            took = 2 * (block.millimeters - self.until) / (self.speed + self.top)
            self.speed, self.ramp = self.top, "down" if self.until == self.after else "even"
            return took, self.until
        if self.ramp == "even":
            reached = left - self.top * took
            if reached >= self.after:
                return took, reached
            self.ramp = "down"
            return (left - self.after) / self.top, self.after
        reached = left - took * (self.speed - 0.5 * change)
        if self.speed > change and reached > NOTHING_MM:
            self.speed -= change
            return took, reached
        took = 2 * left / (self.speed + self.exit)
        self.speed = self.exit
        return took, 0.0

    def timed(self, seconds: float, left: float) -> float:
        """The seconds that the timer makes of a segment, whose steps are whole."""
        after = self.per_mm * left
        per_step = (seconds + self.remainder) / (self.steps - after)
        cycles, level = math.ceil(CLOCK * per_step), 0
        while level < 3 and cycles >= CLOCK / 8000 * 2**level:
            level += 1
        self.tick = (min(cycles >> level, 0xFFFF) + 1) / CLOCK
        count, self.steps = self.steps - math.ceil(after), math.ceil(after)
        self.remainder = (self.steps - after) * per_step
        return count * (1 << level) * self.tick


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
    stepper = Stepper(planner)
    now, segment_ends, still_at, done, parsed, cycling = 0.0, math.inf, 0.0, 0, 0, False
    while True:
        wire.send(now)
        if cycling:
            stepper.prepare()
            if segment_ends == math.inf:
                segment_ends = max(now, still_at) + stepper.queue[0][0]
        resting = planner.head == planner.tail and not stepper.queue
        here = wire.arrivals.get(parsed, math.inf) <= now + 1e-12
        if here and not planner.full() and (resting or not lines[parsed].stops):
            planner.buffer_line(lines[parsed])
            wire.planned(lines[parsed].size, now)
            parsed += 1
            continue
        if not cycling and planner.head != planner.tail:
            cycling = True
            continue
        arrives = wire.arrivals.get(parsed, math.inf)
        answers = wire.answered[0][0] if wire.answered else math.inf
        now = min(time for time in (segment_ends, arrives, answers) if time > now or time == segment_ends)
        if now == segment_ends:
            done += stepper.queue.popleft()[1]
            if done == len(lines):
                return now
            segment_ends = now + stepper.queue[0][0] if stepper.queue else math.inf
            if not stepper.queue and planner.head == planner.tail:
                cycling, still_at = False, now + stepper.tick
