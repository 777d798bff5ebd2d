"""All that the optimizer has to show, in one run: `python -m bench.optimizer [--json] [--quick]`.

Raster modes and order are those of `bench.optimizer_raster` and `bench.optimizer_plan`; the other rows are made here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from bench import optimizer_plan, optimizer_raster
from bench._report import Result, arguments, machine_facts, show
from bench.optimizer_rows import curved_art, estimates, exports, large_raster, start_up

BENCH = "optimizer"
PACKAGES = ("numba", "numpy", "scipy", "shapely", "pillow", "opencv-python-headless", "svgelements", "ezdxf")


@dataclass(frozen=True)
class Plan:
    """How much to look at."""

    drawings: int
    pictures: int
    side_px: int
    figures: tuple[str, ...]
    jobs: int
    raster: optimizer_raster.Plan
    order: optimizer_plan.Plan


FULL = Plan(500, 60, 4096, tuple(curved_art.FIGURES), 200, optimizer_raster.FULL, optimizer_plan.FULL)
QUICK = Plan(15, 6, 256, ("gear", "clouds"), 6, optimizer_raster.QUICK, optimizer_plan.QUICK)


def parts(plan: Plan) -> dict[str, Callable[[], list[Result]]]:
    """What is shown, by name, in the order in which it runs: memory is looked at first, in a process that is small."""
    return {
        "start-up": start_up.measure,
        "large raster": lambda: large_raster.measure(plan.side_px),
        "raster modes": lambda: optimizer_raster.rows(optimizer_raster.measure(plan.raster)),
        "order and speed of the estimate": lambda: optimizer_plan.measure(plan.order),
        "estimates": lambda: estimates.measure(plan.jobs),
        "curved art": lambda: curved_art.measure(plan.figures),
        "exports": lambda: exports.measure(plan.drawings, plan.pictures),
    }


def measure(plan: Plan) -> list[Result]:
    """All rows."""
    rows = []
    for name, part in parts(plan).items():
        print(f"{BENCH}: {name}", file=sys.stderr, flush=True)
        rows += part()
    return rows


def main() -> int:
    options = arguments(BENCH, (__doc__ or "").splitlines()[0]).parse_args()
    rows = measure(QUICK if options.quick else FULL)
    show(options, BENCH, machine_facts({name: version(name) for name in PACKAGES}), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
