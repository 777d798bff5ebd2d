"""The real GRBL, compiled for this machine, as the referee of the time estimate.

`KERF_BENCH_GRBL_SIM` names a program that runs GRBL 1.1 as grbl-sim does: it reads the bytes of the serial line from
its standard input, as fast as its line is and as long as there is room in the receive buffer, keeps `EEPROM.DAT` in
the working directory, answers into the file of its option `-g`, and prints its clock's cycles and seconds for each `%`
that comes in. The line's speed is measured, and the estimate is made for the same.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.optimizer_rows.exports import drawing_work, picture_work
from kerf_optimizer.domain.machine.gcode_lines import LineStyle, move_lines
from kerf_optimizer.domain.machine.timing import motion_program, planner_settings
from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath
from kerf_optimizer.domain.motion import STEPS_PER_MM, run_seconds
from kerf_optimizer.domain.presets import Dialect, MachineProfile

VARIABLE = "KERF_BENCH_GRBL_SIM"
MOVES, SECONDS = 400, 12.0
"""How much of a work is run at most."""
LIMIT_SECONDS = 600.0
DIALECTS = (Dialect.GRBL_M4, Dialect.GRBL_M3, Dialect.GRBL_NO_LASER_MODE)
MARK = b"(%)\n"
FILLING = (b"(" + b"-" * 61 + b")\n") * 2
"""Fills the receive buffer: what follows arrives when GRBL has let all motion end and reads on."""
_CLOCK = re.compile(rb"^\d+ (\d+\.\d+)\s*$", re.MULTILINE)
_NO_SETTINGS_YET = "error:7"


@dataclass(frozen=True)
class Job:
    """A stretch of a work, which begins with a travel move, and the machine that runs it."""

    path: Toolpath
    machine: MachineProfile


def binary() -> Path | None:
    """The simulator that the environment names; None = it names none."""
    name = os.environ.get(VARIABLE, "")
    return Path(name) if name else None


def job(number: int) -> Job:
    """Even numbers are pictures, odd ones drawings; machines with random axes that speak GRBL's dialects."""
    rng = np.random.default_rng((7, number))
    work = drawing_work(number // 2) if number % 2 else picture_work(number // 2)
    feeds, accelerations = rng.uniform(2000, 15_000, 2).round(3).tolist(), rng.uniform(200, 3000, 2).round(3).tolist()
    machine = dataclasses.replace(
        work.machine,
        dialect=DIALECTS[int(rng.integers(len(DIALECTS)))],
        max_feed_mm_per_min=min(feeds),
        max_feed_x_mm_per_min=feeds[0],
        max_feed_y_mm_per_min=feeds[1],
        acceleration_mm_per_s2=min(accelerations),
        acceleration_x_mm_per_s2=accelerations[0],
        acceleration_y_mm_per_s2=accelerations[1],
        junction_deviation_mm=round(float(rng.uniform(0.005, 0.05)), 3),
    )
    begin = int(rng.integers(0, max(1, len(work.toolpath) - MOVES)))
    path = stretch(work.toolpath, begin, begin + MOVES)
    feed = np.where(path.rapid, 0, np.minimum(path.feed_mm_per_min, int(machine.max_feed_mm_per_min)))
    path = dataclasses.replace(path, feed_mm_per_min=feed.astype(np.int32))
    return Job(shortened(path, machine), machine)


def stretch(path: Toolpath, begin: int, end: int) -> Toolpath:
    """Some moves of a toolpath, the first of them made a travel move."""
    arrays: dict[str, Any] = {field.name: getattr(path, field.name) for field in dataclasses.fields(path)}
    cut: dict[str, Any] = {name: None if array is None else array[begin:end].copy() for name, array in arrays.items()}
    part = Toolpath(**cut)
    part.rapid[0], part.s[0], part.feed_mm_per_min[0] = True, 0, 0
    if part.turn is not None:
        part.turn[0] = 0
    return part


def shortened(path: Toolpath, machine: MachineProfile) -> Toolpath:
    """What a machine does within `SECONDS`, and one move more."""
    low, high = 2, len(path)
    while low < high:
        middle = (low + high) // 2
        if estimated_seconds(Job(stretch(path, 0, middle), machine), np.inf) < SECONDS:
            low = middle + 1
        else:
            high = middle
    return stretch(path, 0, low)


def estimated_seconds(one: Job, bytes_per_s: float) -> float:
    """Kerf's estimate, for a serial line of this speed."""
    settings = dataclasses.replace(planner_settings(one.machine), serial_bytes_per_s=bytes_per_s)
    ends = run_seconds(motion_program(one.path, one.machine), settings)
    return float(ends[-1]) if len(ends) else 0.0


def program(one: Job) -> bytes:
    """All that goes down the line: settings, the way to the first target, a mark, the moves, a mark at rest."""
    machine, path = one.machine, one.path
    laser_mode = machine.dialect is not Dialect.GRBL_NO_LASER_MODE
    (feed_x, feed_y), (accel_x, accel_y) = machine.axis_feeds_mm_per_min, machine.axis_accelerations_mm_per_s2
    head = [
        "$1=255",  # motors stay on, or each stop would cost 25 ms
        f"$11={machine.junction_deviation_mm:.3f}",
        "$12=0.002",
        f"$30={machine.s_max:g}",
        "$31=0",
        f"$32={laser_mode:d}",
        f"$100={STEPS_PER_MM:g}",
        f"$101={STEPS_PER_MM:g}",
        f"$110={feed_x:.3f}",
        f"$111={feed_y:.3f}",
        f"$120={accel_x:.3f}",
        f"$121={accel_y:.3f}",
        "$130=3000",
        "$131=3000",
        "G21 G90 G17 G94",
        f"G0 X{path.x_um[0] / UM_PER_MM:.3f} Y{path.y_um[0] / UM_PER_MM:.3f} S0",
        "M4 S0" if machine.dialect is Dialect.GRBL_M4 else "M3 S0",  # waits for the end of the way
    ]
    moves = b"".join(move_lines(path, LineStyle(own_motion=False, s_decimals=0), 1, len(path)))
    return b"".join([*(f"{line}\n".encode("ascii") for line in head), FILLING, MARK, moves, b"M5 S0\n", FILLING, MARK])


def marks(simulator: Path, sent: bytes) -> list[float]:
    """The simulated seconds at which the marks arrive.

    Raises RuntimeError where the simulator fails or GRBL refuses a line.
    """
    with tempfile.TemporaryDirectory(prefix="kerf-bench-") as folder:
        answers = Path(folder) / "answers.txt"
        command = [str(simulator), "-n", "-t", "1", "-b", os.devnull, "-s", os.devnull, "-g", str(answers)]
        done = subprocess.run(
            command, input=sent, cwd=folder, stdout=subprocess.PIPE, timeout=LIMIT_SECONDS, check=False
        )
        said = answers.read_text(encoding="utf-8", errors="replace").splitlines() if answers.exists() else []
    refused = [line for line in said if line.startswith(("error", "ALARM")) and line != _NO_SETTINGS_YET]
    found = [float(match) for match in _CLOCK.findall(done.stdout)]
    if done.returncode or refused or len(found) != sent.count(b"%"):
        raise RuntimeError(f"{simulator} ended with {done.returncode}, {len(found)} marks, {refused[:3]}")
    return found


def line_bytes_per_s(simulator: Path) -> float:
    """The speed of the simulator's serial line, from comments between two marks."""
    comments = FILLING * 8
    first, last = marks(simulator, MARK + comments + MARK)
    return (len(comments) + len(MARK)) / (last - first)


def off_percent(one: Job, simulator: Path, bytes_per_s: float) -> float:
    """By how much the estimate is off, whatever the sign."""
    first, last = marks(simulator, program(one))
    return 100 * abs(estimated_seconds(one, bytes_per_s) / (last - first) - 1)


def deviations(simulator: Path, jobs: int) -> list[float]:
    """Of all jobs."""
    bytes_per_s = line_bytes_per_s(simulator)
    return [off_percent(job(number), simulator, bytes_per_s) for number in range(jobs)]
