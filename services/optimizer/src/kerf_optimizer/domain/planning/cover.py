"""Proves paths that burn as arcs or go on over their starts: what burns covers what was meant, and nothing else.

Read from the G-code; what was meant are the placed paths, which the planner's own arithmetic had no hand in.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.arcs import arc_points
from kerf_optimizer.domain.machine.reader import Motions
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer
from kerf_optimizer.domain.planning.spec import Check, PathStyle, Verdict

Points = NDArray[np.float64]
ROUNDING_MM = 0.002
CHORD_MM = 0.0005
"""How far the chords that an arc is judged by lie from it."""
SAMPLES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
"""Places along each straight piece that are looked at."""
MAX_SAMPLES = 400_000
LENGTH_SHARE = 0.02
"""How much longer or shorter than its chords an arc may make a path."""


def burnt_points(motions: Motions, moves: NDArray[np.int64]) -> list[Points]:
    """What each of the moves draws, points (k, 2) in millimetres, arcs as fine chords."""
    target = np.stack([motions.x_mm, motions.y_mm], axis=1)
    out = []
    for move in moves.tolist():
        start, end = target[max(move - 1, 0)], target[move]
        turn = {2: -1, 3: 1}.get(int(motions.mode[move]), 0)
        if turn:
            center = start + np.array([motions.i_mm[move], motions.j_mm[move]])
            out.append(arc_points(start, end, center, turn, CHORD_MM))
        else:
            out.append(np.stack([start, end]))
    return out


def check_cover(layer: Layer, burnt: list[Points], style: PathStyle) -> Check:
    """Raises Internal (READ_BACK) where the two differ by more than the style allows."""
    name = f"geometry:{layer.name}"
    rings = [np.concatenate([p.points_mm, p.points_mm[:1]]) if p.closed else p.points_mm for p in layer.paths]
    allowed_mm = style.arc_tolerance_mm + CHORD_MM + ROUNDING_MM
    off_mm = max(_farthest(burnt, rings), _farthest(rings, burnt))
    if off_mm > allowed_mm:
        raise _differs(name, f"what burns and the paths are {off_mm:.4f} mm apart")
    meant_mm = layer.passes * sum(path.length_mm for path in layer.paths)
    more_mm = layer.passes * sum(_goes_around(path) for path in layer.paths) * style.overcut_mm
    slack_mm = LENGTH_SHARE * meant_mm + allowed_mm * len(burnt)
    burnt_mm = sum(float(np.hypot(*np.diff(points, axis=0).T).sum()) for points in burnt)
    if not meant_mm - slack_mm <= burnt_mm <= meant_mm + more_mm + slack_mm:
        raise _differs(name, f"{burnt_mm:.2f} mm burn instead of {meant_mm:.2f} mm")
    detail = (
        f"{len(layer.paths)} path(s), {len(burnt)} moves, at most {off_mm:.4f} mm apart, {burnt_mm:.2f} mm burn, "
        f"{layer.passes} pass(es)"
    )
    return Check(name, Verdict.PASSED, detail)


def _goes_around(path: Path) -> bool:
    """Whether it comes back to where it began, closed or not: to the micrometre, which is all that is written."""
    return path.closed or bool((np.abs(path.points_mm[-1] - path.points_mm[0]) <= 1 / UM_PER_MM).all())


def _farthest(lines: list[Points], others: list[Points]) -> float:
    """The greatest distance from places along the lines to the nearest of the others' segments, in millimetres."""
    segments = np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in others])
    starts = np.concatenate([line[:-1] for line in lines])
    steps = np.concatenate([np.diff(line, axis=0) for line in lines])
    places = (starts[:, None] + steps[:, None] * SAMPLES[None, :, None]).reshape(-1, 2)
    if len(places) > MAX_SAMPLES:
        places = places[np.linspace(0, len(places) - 1, MAX_SAMPLES).astype(np.int64)]
    lines_of_two: NDArray[np.object_] = np.array(shapely.linestrings(segments), dtype=object)
    tree = shapely.STRtree(lines_of_two)
    _, distance_mm = tree.query_nearest(shapely.points(places), return_distance=True, all_matches=False)
    return float(distance_mm.max())


def _differs(name: str, text: str) -> Internal:
    return Internal("READ_BACK", f"Check {name} failed, the files were thrown away: {text}.")
