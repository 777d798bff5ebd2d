"""Order of paths beside vpype, and the speed of the time estimate: `python -m bench.optimizer_plan [--json] [--quick]`.

Both sides get the same lines and start where they like; travel is what lies between one line's end and the next one's
start. Each runs in one process with one thread; they take turns, drawing by drawing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path as FilePath
from statistics import median
from typing import Any

import numpy as np

from bench._report import Result, arguments, machine_facts, show, target_against
from bench.peers.setup import FOLDER, peer_python
from bench.plan_order.drawings import DRAWINGS, random_lines
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.motion import MotionProgram, PlannerSettings, run_seconds
from kerf_optimizer.domain.planning.ordering import Points, order_runs

BENCH = "optimizer_plan"
VPYPE = "vpype"
SIDE = FilePath(__file__).parent / "plan_order" / "vpype_side.py"
SEGMENTS_PER_S = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    drawings: tuple[str, ...]
    random_counts: tuple[int, ...]
    segments: int
    rounds: int


FULL = Plan(tuple(DRAWINGS), (1000, 3000), 2_000_000, 5)
QUICK = Plan(("hatching", "waves"), (100,), 50_000, 2)


@dataclass(frozen=True)
class Sorted:
    """What one side made of one drawing."""

    travel_mm: float
    seconds: float


def as_drawn(path: Path) -> Points:
    """The line as a plotter draws it: a closed path comes back to its start."""
    return np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm


def kerf_sorts(paths: Sequence[Path]) -> Sorted:
    """Kerf's own side, from the corner of the sheet."""
    began = time.perf_counter()
    runs = order_runs(paths, np.zeros(2), lambda: None)
    seconds = time.perf_counter() - began
    heads, tails = np.array([run[0] for run in runs]), np.array([run[-1] for run in runs])
    return Sorted(float(np.hypot(*(heads[1:] - tails[:-1]).T).sum()), seconds)


class VpypeSide:
    """A vpype process that answers one drawing after the other."""

    def __init__(self, process: subprocess.Popen[str], folder: FilePath) -> None:
        self._process, self._file = process, folder / "drawing.npz"

    def sorts(self, paths: Sequence[Path]) -> Sorted:
        """Raises RuntimeError where vpype gave up or lost lines."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines: dict[str, Any] = {f"line_{number}": as_drawn(path) for number, path in enumerate(paths)}
        np.savez(self._file, **lines)
        self._process.stdin.write(json.dumps({"file": str(self._file)}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"vpype ended with {self._process.wait(timeout=10)}")
        found = json.loads(answer)
        if found["lines"] != len(paths):
            raise RuntimeError(f"vpype has {found['lines']} lines of {len(paths)}")
        return Sorted(found["travel_mm"], found["seconds"])


@contextmanager
def vpype_side() -> Iterator[VpypeSide | None]:
    """The peer, warmed up; None where it is not installed. Its process is gone afterwards."""
    if not peer_python(VPYPE).exists():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="kerf-bench-") as folder:
        command = [str(peer_python(VPYPE)), str(SIDE)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                side = VpypeSide(process, FilePath(folder))
                side.sorts(random_lines(20))
                yield side
            finally:
                process.kill()


def peer_name() -> str:
    """The peer with its version, from the pins of its environment."""
    pins = dict(line.split("==") for line in (FOLDER / "vpype.txt").read_text().split("\n") if "==" in line[:40])
    return f"vpype {pins['vpype']} linesort --two-opt"


def order_rows(name: str, kerf: Sorted, vpype: Sorted | None) -> list[Result]:
    """Travel and time of one drawing, both to be at most the peer's."""
    rows = []
    for what, unit, own, other in (
        ("travel", "mm", kerf.travel_mm, vpype.travel_mm if vpype else None),
        ("time", "s", kerf.seconds, vpype.seconds if vpype else None),
    ):
        rows.append(
            Result(
                name=f"{what}, {name}",
                value=own,
                unit=unit,
                lower_is_better=True,
                peer=peer_name(),
                peer_value=other,
                target=target_against(other, 1.0, lower_is_better=True),
                why="" if vpype else "vpype is not installed: make bench-setup",
            )
        )
    return rows


def segments_per_second(count: int, rounds: int) -> float:
    """Simulated steps per second of a curve of short steps, the median of some rounds."""
    heading = np.cumsum(np.random.default_rng(0).normal(size=count) * 0.3)
    program = MotionProgram(
        step_mm=np.stack([np.cos(heading), np.sin(heading)], axis=1) * 0.2,
        feed_mm_per_min=np.full(count, 3000.0),
        line_bytes=np.full(count, 14),
        stops=np.zeros(count, dtype=np.bool_),
    )
    settings = PlannerSettings((6000.0, 6000.0), (500.0, 500.0), 0.01)
    run_seconds(program, settings)  # compiles
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        run_seconds(program, settings)
        taken.append(time.perf_counter() - began)
    return count / median(taken)


def measure(plan: Plan) -> list[Result]:
    """All rows."""
    kerf_sorts(random_lines(30))
    kerf_sorts(DRAWINGS["stars"]()[:30])
    rows = [
        Result(
            name="time estimate: simulated steps per second",
            value=segments_per_second(plan.segments, plan.rounds),
            unit="1/s",
            lower_is_better=False,
            target=f">= {SEGMENTS_PER_S}",
        )
    ]
    inputs = {name: DRAWINGS[name]() for name in plan.drawings}
    inputs |= {f"{count} random lines": random_lines(count) for count in plan.random_counts}
    with vpype_side() as vpype:
        for name, paths in inputs.items():
            print(f"{BENCH}: {name}, {len(paths)} paths", file=sys.stderr, flush=True)
            kerf = kerf_sorts(paths)
            rows += order_rows(name, kerf, vpype.sorts(paths) if vpype else None)
    return rows


def main() -> int:
    options = arguments(BENCH, (__doc__ or "").splitlines()[0]).parse_args()
    rows = measure(QUICK if options.quick else FULL)
    show(options, BENCH, machine_facts({name: version(name) for name in ("numba", "numpy", "scipy", "shapely")}), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
