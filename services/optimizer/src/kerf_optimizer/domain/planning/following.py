"""Moves along paths: to a path, over it and off it, with arcs, leads and overcut where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.machine.work import UM_PER_MM
from kerf_optimizer.domain.planning.arc_fitting import fit_arcs
from kerf_optimizer.domain.planning.scan import Arcs, Moves
from kerf_optimizer.domain.planning.spec import PathStyle

MAX_ARC_TOLERANCE_MM = 0.5
MAX_LEAD_MM = 50.0
MAX_OVERCUT_MM = 20.0
AS_DRAWN = PathStyle()


def check_path_style(style: PathStyle) -> None:
    """Raise InvalidArgument naming `path_style.<field>` for a figure out of range."""
    for field, value, most in (
        ("arc_tolerance_mm", style.arc_tolerance_mm, MAX_ARC_TOLERANCE_MM),
        ("lead_mm", style.lead_mm, MAX_LEAD_MM),
        ("overcut_mm", style.overcut_mm, MAX_OVERCUT_MM),
    ):
        if not math.isfinite(value) or not 0 <= value <= most:
            raise InvalidArgument.of_field(f"path_style.{field}", f"{value:g} is outside 0 to {most:g}.")


def run_moves(runs: Sequence[NDArray[np.float64]], style: PathStyle = AS_DRAWN, *, cut: bool = False) -> Moves:
    """Moves along runs of points in millimetres, (n, 2) each: rapid to the first, burning through the others.

    Points closer than a micrometre become one; a run that has no length then is left out. Only a `cut` goes on over
    its start.
    """
    rounded = [np.rint(run * UM_PER_MM).astype(np.int64) for run in runs]
    rounded = [run[np.append(True, np.any(np.diff(run, axis=0) != 0, axis=1))] for run in rounded]
    rounded = [run for run in rounded if len(run) > 1]
    if cut and style.overcut_mm > 0:
        rounded = [_overcut(run, style.overcut_mm * UM_PER_MM) for run in rounded]
    if not rounded:
        empty = np.zeros(0, dtype=np.int64)
        return Moves(empty, empty, empty.astype(np.bool_), empty.astype(np.bool_))
    each = [_one_run(run, style) for run in rounded]
    turn = np.concatenate([moves.arcs.turn for moves in each if moves.arcs is not None])
    i_um = np.concatenate([moves.arcs.i_um for moves in each if moves.arcs is not None])
    j_um = np.concatenate([moves.arcs.j_um for moves in each if moves.arcs is not None])
    return Moves(
        x_um=np.concatenate([moves.x_um for moves in each]),
        y_um=np.concatenate([moves.y_um for moves in each]),
        burns=np.concatenate([moves.burns for moves in each]),
        rapid=np.concatenate([moves.rapid for moves in each]),
        arcs=Arcs(turn, i_um, j_um) if turn.any() else None,
    )


def _one_run(run: NDArray[np.int64], style: PathStyle) -> Moves:
    """The rapid move, the run-up if any, the burn, the run-out if any; arcs always given."""
    fitted = fit_arcs(run / UM_PER_MM, style.arc_tolerance_mm)
    lead_um = style.lead_mm * UM_PER_MM
    first = [_beyond(run[1], run[0], lead_um), run[0]] if lead_um else [run[0]]
    last = [_beyond(run[-2], run[-1], lead_um)] if lead_um else []
    begin = np.append(0, fitted.end[:-1])
    center_um = np.rint(fitted.center_mm * UM_PER_MM).astype(np.int64) - run[begin]
    center_um[fitted.turn == 0] = 0
    before, after = np.zeros((len(first), 2), dtype=np.int64), np.zeros((len(last), 2), dtype=np.int64)
    offset = np.concatenate([before, center_um, after])
    target = np.concatenate([np.array(first), run[fitted.end], np.array(last, dtype=np.int64).reshape(-1, 2)])
    turn = np.concatenate([np.zeros(len(first)), fitted.turn, np.zeros(len(last))]).astype(np.int8)
    number = np.arange(len(target))
    burns = (number >= len(first)) & (number < len(target) - len(last))
    return Moves(target[:, 0], target[:, 1], burns, number == 0, Arcs(turn, offset[:, 0], offset[:, 1]))


def _beyond(inner: NDArray[np.int64], end: NDArray[np.int64], way_um: float) -> NDArray[np.int64]:
    """The point so far behind `end` as one comes from `inner`."""
    step = (end - inner).astype(np.float64)
    point: NDArray[np.int64] = np.rint(end + step * (way_um / np.hypot(step[0], step[1]))).astype(np.int64)
    return point


def _overcut(run: NDArray[np.int64], way_um: float) -> NDArray[np.int64]:
    """A closed run, and its beginning once more for `way_um`, once around at most; an open one as it is."""
    if (run[0] != run[-1]).any():
        return run
    step = np.diff(run, axis=0)
    gone = np.cumsum(np.hypot(step[:, 0], step[:, 1]))
    if gone[-1] <= way_um:
        return np.concatenate([run, run[1:]])
    whole = int(np.searchsorted(gone, way_um, side="right"))
    rest = way_um - (gone[whole - 1] if whole else 0.0)
    stop = np.rint(run[whole] + step[whole] * (rest / np.hypot(step[whole, 0], step[whole, 1]))).astype(np.int64)
    again = run[1 : whole + 1]
    if (stop == (again[-1] if whole else run[0])).all():
        return np.concatenate([run, again])
    return np.concatenate([run, again, stop[None]])
