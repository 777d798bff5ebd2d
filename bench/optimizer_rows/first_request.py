"""A process that starts as the optimizer's service does and gets its first requests; `bench.optimizer_rows.start_up`
runs it. Prints one JSON object: seconds of the rehearsal, of a second one, and of the first requests, and which kernels
were compiled by the rehearsal and while requests ran. With `--sealed` it can write nowhere.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from bench.optimizer_rows.exports import drawing_work, picture_work
from bench.optimizer_rows.sealed import refuse_writes
from bench.plan_order.drawings import DRAWINGS
from kerf_optimizer.domain.burn_model import BurnModel, Spot, burn_dither
from kerf_optimizer.domain.error_diffusion import STUCKI, diffuse
from kerf_optimizer.domain.geometry import Drawing, path_of
from kerf_optimizer.domain.machine.timing import estimate_time
from kerf_optimizer.domain.planning import Operation, OperationKind, OutputFormat, PathStyle, PlanSpec, plan_burn
from kerf_optimizer.domain.rehearsal import rehearse


def requests() -> None:
    """Pictures and plans of all kinds."""
    gray = np.arange(40_000, dtype=np.uint32).reshape(200, 200).astype(np.uint8)
    diffuse(gray, STUCKI, serpentine=True)
    burn_dither(gray, BurnModel(Spot(0.15, 0.15), 0.1, 2.0))
    for number in range(4):
        for work in (drawing_work(number), picture_work(number)):
            estimate_time(work.toolpath, work.machine)
    stars = Drawing(300.0, 300.0, tuple(path_of(p.points_mm + 10, closed=p.closed) for p in DRAWINGS["stars"]()[:40]))
    for style in (PathStyle(), PathStyle(arc_tolerance_mm=0.02, overcut_mm=1.0, merge=True)):
        for kinds in ((OperationKind.CUT,), (OperationKind.ENGRAVE_FILL, OperationKind.SCORE, OperationKind.CUT)):
            operations = tuple(Operation(0, kind) for kind in kinds)
            spec = PlanSpec("birch-3mm", operations, path_style=style, outputs=(OutputFormat.GCODE,))
            plan_burn(spec, [stars], lambda: None)


def compiled_by(work: Callable[[], None]) -> list[str]:
    """The functions that numba compiles, and finds in no cache, while `work` runs."""
    event: Any = import_module("numba.core.event")  # it has no annotations
    listener = event.RecordingListener()
    event.register("numba:compile", listener)
    try:
        work()
    finally:
        event.unregister("numba:compile", listener)
    return sorted({happened.data["dispatcher"].py_func.__name__ for _, happened in listener.buffer})


def main() -> None:
    """Measure and print."""
    if "--sealed" in sys.argv[1:]:
        refuse_writes()
    seconds: list[float] = []
    early = compiled_by(lambda: seconds.append(rehearse()))
    again = rehearse()
    began = time.perf_counter()
    late = compiled_by(requests)
    took = time.perf_counter() - began
    found = {"rehearsal": seconds[0], "again": again, "requests": took, "before": early, "compiled": late}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
