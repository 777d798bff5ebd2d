"""Runs a small job of every kind, so that the first real one waits for no compiler.

`python -m kerf_optimizer.domain.rehearsal` does so when an environment or an image is made: the kernels then lie in
numba's cache, and a service that starts only reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from kerf_optimizer.domain.compiled import compile_all
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.planning import (
    Operation,
    OperationKind,
    OutputFormat,
    PathStyle,
    Placement,
    PlanSpec,
    plan_burn,
)
from kerf_optimizer.domain.svg import read_svg

_CURVES = "M9 2C12 9 15 9 18 2Z M20 2L22 2L24 2L29 7 M2 5A3 3 0 1 1 8 5A3 3 0 1 1 2 5Z"
_SVG = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="30mm" height="9mm" viewBox="0 0 30 9"><path d="{_CURVES}"/></svg>'
)


def rehearse(check_cancelled: Callable[[], None] = lambda: None) -> float:
    """Compile all kernels, or read them from the cache; the seconds that it took. Blocks.

    Calls `check_cancelled` between its jobs and passes on what it raises.
    """
    began = time.monotonic()
    compile_all()
    style = PathStyle(arc_tolerance_mm=0.02, lead_mm=1.0, overcut_mm=0.5, merge=True)
    drawings = (read_svg(_SVG.encode()), _parts())
    for drawing in drawings:
        check_cancelled()
        kinds = (OperationKind.ENGRAVE_FILL, OperationKind.SCORE, OperationKind.CUT)
        for chosen, path_style in ((kinds, style), (kinds[1:], PathStyle()), ((kinds[2], kinds[2]), PathStyle())):
            operations = tuple(Operation(0, kind) for kind in chosen)
            _plan(operations, drawing, path_style, check_cancelled)
    burn = np.arange(64).reshape(8, 8) % 3 > 0
    _plan((Operation(0, OperationKind.ENGRAVE_RASTER),), Raster(burn, 0.2), PathStyle(), check_cancelled)
    return time.monotonic() - began


def _parts() -> Drawing:
    """Squares in squares and loose lines: enough for every step of putting paths in order."""
    paths: list[Path] = []
    for place in range(6):
        x, y = 10.0 * (place % 4), 10.0 * (place // 4)
        for inset in (1.0, 3.0):
            low, high = inset, 9.0 - inset
            corners = np.array([[low, low], [high, low], [high, high], [low, high]])
            paths.append(path_of(corners + np.array([x, y]), closed=True))
        paths.append(path_of([[x + 4, y + 4], [x + 5, y + 4.5]], closed=False))
        paths.append(path_of([[x + 0.2, y + 0.2], [x + 0.7, y + 9]], closed=False))
    return Drawing(40.0, 30.0, tuple(paths))


def _plan(
    operations: tuple[Operation, ...],
    source: Raster | Drawing,
    style: PathStyle,
    check_cancelled: Callable[[], None],
) -> None:
    placement = Placement(offset_x_mm=30.0, offset_y_mm=30.0)
    outputs = (OutputFormat.GCODE,)
    spec = PlanSpec("birch-3mm", operations, placement=placement, path_style=style, outputs=outputs)
    plan_burn(spec, [source], check_cancelled)


if __name__ == "__main__":
    print(f"kernels are ready after {rehearse():.1f} s")
