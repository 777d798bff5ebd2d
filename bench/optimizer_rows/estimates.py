"""The time estimate against GRBL's published algorithm, written slowly and literally as a test's referee, and against
the real GRBL where there is one (`grbl_simulator`).

Jobs of the first are stretches of planned drawings and pictures, as lines that a sender streams to controllers of
random accelerations, rates and serial lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench._report import Result
from bench.optimizer_rows import grbl_simulator
from bench.optimizer_rows.exports import drawing_work, picture_work
from kerf_optimizer.domain.machine.timing import line_bytes
from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath
from kerf_optimizer.domain.motion import MotionProgram, PlannerSettings, run_seconds

# Made importable by `exports`.
from grbl_reference import Controller, Line, reference_seconds  # isort: skip

MOVES = 60
PERCENT = 1
NAME = "time estimate: off the"
NO_SIMULATOR = f"not run: {grbl_simulator.VARIABLE} names no GRBL simulator, which is not part of kerf"


@dataclass(frozen=True)
class Job:
    """What is sent, and to whom."""

    lines: tuple[Line, ...]
    controller: Controller


def random_controller(rng: np.random.Generator) -> Controller:
    """From a slow CO₂ gantry to a brisk diode; lines of 115200 baud, slower ones, and none that counts."""
    rate_x, rate_y = rng.uniform(2000, 15_000, 2).tolist()
    accel_x, accel_y = rng.uniform(200, 3000, 2).tolist()
    return Controller(
        rate=(rate_x, rate_y),
        accel=(accel_x, accel_y),
        deviation=float(rng.uniform(0.005, 0.05)),
        bytes_per_s=float(rng.choice([11_520.0, 3000.0, 1e9])),
        receive=int(rng.choice([128, 0])),
        reply=float(rng.choice([0.0, 0.002])),
    )


def job(number: int) -> Job:
    """Even numbers are pictures, odd ones drawings."""
    rng = np.random.default_rng((3, number))
    work = drawing_work(number // 2) if number % 2 else picture_work(number // 2)
    path = work.toolpath
    begin = int(rng.integers(0, max(1, len(path) - MOVES)))
    return Job(tuple(_lines(path, begin, begin + MOVES)), random_controller(rng))


def _lines(path: Toolpath, begin: int, end: int) -> list[Line]:
    x_mm, y_mm = np.diff(path.x_um) / UM_PER_MM, np.diff(path.y_um) / UM_PER_MM
    feed = np.where(path.rapid, np.inf, path.feed_mm_per_min)[1:]
    moves = zip(x_mm.tolist(), y_mm.tolist(), feed.tolist(), line_bytes(path)[1:].tolist(), strict=True)
    return [Line(x, y, f, size) for x, y, f, size in list(moves)[begin:end] if x or y]


def off_percent(one: Job) -> float:
    """By how much the estimate is off, whatever the sign."""
    c, lines = one.controller, one.lines
    program = MotionProgram(
        step_mm=np.array([[line.x, line.y] for line in lines]),
        feed_mm_per_min=np.array([line.feed for line in lines]),
        line_bytes=np.array([line.size for line in lines], dtype=np.int64),
        stops=np.zeros(len(lines), dtype=np.bool_),
    )
    settings = PlannerSettings(
        max_rate_mm_per_min=c.rate,
        acceleration_mm_per_s2=c.accel,
        junction_deviation_mm=c.deviation,
        serial_bytes_per_s=c.bytes_per_s,
        receive_bytes=c.receive,
        reply_seconds=c.reply,
    )
    return 100 * abs(float(run_seconds(program, settings)[-1]) / reference_seconds(lines, c) - 1)


def measure(jobs: int) -> list[Result]:
    """The largest errors."""
    simulator = grbl_simulator.binary()
    literal = [off_percent(job(number)) for number in range(jobs)]
    return rows(literal, grbl_simulator.deviations(simulator, jobs) if simulator else None)


def rows(literal: list[float], simulated: list[float] | None) -> list[Result]:
    """The table; without a simulator its row says so."""
    result = [_row("literal planner", literal)]
    if simulated is None:
        return [*result, Result(f"{NAME} grbl simulator", None, "%", True, target=f"<= {PERCENT}", why=NO_SIMULATOR)]
    return [*result, _row("grbl simulator", simulated)]


def _row(referee: str, found: list[float]) -> Result:
    why = f"largest of {len(found)} stretches of pictures and drawings; the mean is {np.mean(found):.4f} %"
    return Result(f"{NAME} {referee}", max(found), "%", True, target=f"<= {PERCENT}", why=why)
