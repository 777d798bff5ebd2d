"""Proves the files: each is parsed again and compared with what was meant. A check that fails is an error.

The G-code is judged three times: by the safety linter, against the toolpath move by move, and against the geometry
that was placed (pixels, edges, areas), which the planner's own arithmetic had no hand in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.lint_rules import LintRules
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.reader import Motions, read_motions, read_program
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, Work
from kerf_optimizer.domain.planning.cover import burnt_points, check_cover
from kerf_optimizer.domain.planning.following import AS_DRAWN
from kerf_optimizer.domain.planning.pixels import check_rasters
from kerf_optimizer.domain.planning.spec import Check, OperationKind, PathStyle, Verdict

TOLERANCE_UM = 2
ON_EDGE_UM = 3
"""A line at an angle is rounded twice, and so are the edges that it is compared with."""
MAX_PARITY_WORK = 20_000_000
"""Sampled points × edges that the hatch check looks at."""
MIN_SAMPLED_UM = 10
"""Shorter stretches lie so close to an edge that rounding decides."""
Segments = NDArray[np.int64]


def check_gcode(gcode: bytes, work: Work, style: PathStyle = AS_DRAWN) -> list[Check]:
    """Lint and read back; `style` says how far paths may be rounded and overcut.

    Raises Internal (SAFETY_LINTER or READ_BACK) where anything is wrong.
    """
    rules = LintRules(work.machine, work.material, work.margin_mm, max(layer.s_value for layer in work.layers))
    violations = lint(gcode, rules)
    if violations:
        first = violations[0]
        text = f"line {first.line} {first.text!r}: {first.rule.value}, {first.message}"
        count = len(violations)
        raise Internal("SAFETY_LINTER", f"The G-code is unsafe and was thrown away ({count} findings): {text}.")
    program = read_program(gcode)
    motions = read_motions(program)
    checks = [Check("safety-linter", Verdict.PASSED, f"{program.line_count} lines, no violation")]
    checks.append(_check_moves(motions, work))
    starts, ends = _burnt(motions)
    owner = work.toolpath.layer[motions.burning]
    for index, layer in enumerate(work.layers):
        mine = owner == index
        follows = layer.kind in (OperationKind.SCORE, OperationKind.CUT)
        if follows and (style.arc_tolerance_mm > 0 or style.overcut_mm > 0):
            checks.append(check_cover(layer, burnt_points(motions, np.flatnonzero(motions.burning)[mine]), style))
        else:
            checks.append(_check_layer(layer, starts[mine], ends[mine], motions.s[motions.burning][mine]))
    return checks


def _check_moves(motions: Motions, work: Work) -> Check:
    path = work.toolpath
    if len(motions.line) != len(path):
        raise _differs("gcode-read-back", f"{len(motions.line)} moves instead of {len(path)}")
    off_x, off_y = motions.x_mm * UM_PER_MM - path.x_um, motions.y_mm * UM_PER_MM - path.y_um
    off_um = float(np.maximum(np.abs(off_x), np.abs(off_y)).max())
    if off_um > TOLERANCE_UM:
        raise _differs("gcode-read-back", f"a move ends {off_um:.1f} µm from where it should")
    turn = np.zeros(len(path), dtype=np.int8) if path.turn is None else path.turn
    if not np.array_equal((motions.mode == 3).astype(np.int8) - (motions.mode == 2), turn):
        raise _differs("gcode-read-back", "a straight move and an arc are mixed up")
    if path.i_um is not None and path.j_um is not None and turn.any():
        arcs = path.arcs
        off_i = motions.i_mm[arcs] * UM_PER_MM - path.i_um[arcs]
        off_j = motions.j_mm[arcs] * UM_PER_MM - path.j_um[arcs]
        if not float(np.maximum(np.abs(off_i), np.abs(off_j)).max()) <= TOLERANCE_UM:
            raise _differs("gcode-read-back", "the centre of an arc differs")
    if not np.array_equal(motions.mode == 0, path.rapid):
        raise _differs("gcode-read-back", "a travel move and a feed move are mixed up")
    if not np.array_equal(np.where(motions.burning, motions.s, 0), path.s):
        raise _differs("gcode-read-back", "the power of a move differs")
    feeding = ~path.rapid
    if not np.array_equal(motions.feed_mm_per_min[feeding], path.feed_mm_per_min[feeding]):
        raise _differs("gcode-read-back", "the feed of a move differs")
    z_um = 0 if path.z_um is None else path.z_um
    if not np.array_equal(np.rint(motions.z_mm * UM_PER_MM), np.broadcast_to(z_um, len(path))):
        raise _differs("gcode-read-back", "the height of a move differs")
    detail = f"{len(path)} moves: targets within {off_um:.3f} µm, order, power and feed equal"
    return Check("gcode-read-back", Verdict.PASSED, detail)


def _burnt(motions: Motions) -> tuple[Segments, Segments]:
    """Starts and ends (n, 2) in micrometres of the burning moves, in order."""
    targets = np.rint(np.stack([motions.x_mm, motions.y_mm], axis=1) * UM_PER_MM).astype(np.int64)
    burning = np.flatnonzero(motions.burning)
    return targets[np.maximum(burning - 1, 0)], targets[burning]


def _check_layer(layer: Layer, starts: Segments, ends: Segments, s: NDArray[np.float64]) -> Check:
    name = f"geometry:{layer.name}"
    if layer.kind is OperationKind.ENGRAVE_RASTER:
        detail = check_rasters(name, layer, starts, ends, np.rint(s).astype(np.int64))
    elif layer.kind is OperationKind.ENGRAVE_FILL:
        detail = _check_hatch(name, layer.paths, starts, ends)
    else:
        detail = _check_edges(name, layer, starts, ends)
    return Check(name, Verdict.PASSED, detail)


def _check_edges(name: str, layer: Layer, starts: Segments, ends: Segments) -> str:
    """The edges of all paths, each as often as there are passes, whatever the order and the direction."""
    meant = np.tile(_edges(layer.paths), (layer.passes, 1))
    burnt = _undirected(starts, ends)
    if len(meant) != len(burnt):
        raise _differs(name, f"{len(burnt)} edges burn instead of {len(meant)}")
    meant, burnt = meant[np.lexsort(meant.T)], burnt[np.lexsort(burnt.T)]
    off_um = int(np.abs(meant - burnt).max()) if len(meant) else 0
    if off_um > TOLERANCE_UM:
        raise _differs(name, f"an edge lies {off_um} µm from where it should")
    return f"{len(layer.paths)} path(s), {len(meant)} edges within {off_um} µm, {layer.passes} pass(es)"


def _edges(paths: Sequence[Path]) -> Segments:
    """Edges with a length, (n, 4) in micrometres, the smaller end first."""
    out = [np.zeros((0, 4), dtype=np.int64)]
    for path in paths:
        points = np.rint(path.points_mm * UM_PER_MM).astype(np.int64)
        ring = np.concatenate([points, points[:1]]) if path.closed else points
        out.append(_undirected(ring[:-1], ring[1:]))
    edges = np.concatenate(out)
    has_length: NDArray[np.bool_] = (edges[:, :2] != edges[:, 2:]).any(axis=1)
    kept: Segments = edges[has_length]
    return kept


def _undirected(starts: Segments, ends: Segments) -> Segments:
    swap = (starts[:, 0] > ends[:, 0]) | ((starts[:, 0] == ends[:, 0]) & (starts[:, 1] > ends[:, 1]))
    return np.where(swap[:, None], np.hstack([ends, starts]), np.hstack([starts, ends]))


def _check_hatch(name: str, paths: Sequence[Path], starts: Segments, ends: Segments) -> str:
    """Middles of hatch lines lie inside, middles of the gaps between them outside: by rays to the back."""
    edges_um = _edges([path for path in paths if path.closed])
    along, gap = (ends - starts).astype(np.float64), (starts[1:] - ends[:-1]).astype(np.float64)
    long, wide = np.hypot(along[:, 0], along[:, 1]), np.hypot(gap[:, 0], gap[:, 1])
    burnt_mid = ((starts + ends) / 2)[long > MIN_SAMPLED_UM]
    onwards = _goes_on(along[:-1], gap, long[:-1]) & _goes_on(along[1:], gap, long[1:])
    gap_mid = ((ends[:-1] + starts[1:]) / 2)[onwards & (wide > MIN_SAMPLED_UM)]
    sample = max(1, MAX_PARITY_WORK // max(1, 2 * len(edges_um)))
    burnt_mid, gap_mid = _sampled(burnt_mid, sample), _sampled(gap_mid, sample)
    if not _parity_is(burnt_mid, edges_um, 1).all():
        raise _differs(name, "a hatch line lies outside the paths")
    if not _parity_is(gap_mid, edges_um, 0).all():
        raise _differs(name, "a place inside the paths has no hatch line")
    return f"{len(burnt_mid)} of {len(starts)} hatch lines inside, {len(gap_mid)} gaps outside the paths"


def _goes_on(along: NDArray[np.float64], gap: NDArray[np.float64], long: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each gap runs on in a line's direction, give or take the rounding of its ends."""
    across = np.abs(along[:, 0] * gap[:, 1] - along[:, 1] * gap[:, 0])
    onwards: NDArray[np.bool_] = ((along * gap).sum(axis=1) > 0) & (across <= TOLERANCE_UM * long)
    return onwards


def _sampled(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if len(points) <= count:
        return points
    return points[np.linspace(0, len(points) - 1, count).astype(np.int64)]


def _parity_is(points: NDArray[np.float64], edges: Segments, wanted: int) -> NDArray[np.bool_]:
    """Even-odd rule by a ray in +y from each point, bool (n,). A point on an edge, within rounding, may be either."""
    fits = np.ones(len(points), dtype=np.bool_)
    x0, y0, x1, y1 = edges.T.astype(np.float64)
    for index, (x, y) in enumerate(points):
        over = (x0 <= x) & (x < x1)
        rise = y0[over] + (y1[over] - y0[over]) * ((x - x0[over]) / (x1[over] - x0[over])) - y
        fits[index] = np.count_nonzero(rise > 0) % 2 == wanted or _nearest_edge_um(x, y, edges) <= ON_EDGE_UM
    return fits


def _nearest_edge_um(x: float, y: float, edges: Segments) -> float:
    """Distance from a point to the nearest edge; edges have a length."""
    start, step = edges[:, :2].astype(np.float64), (edges[:, 2:] - edges[:, :2]).astype(np.float64)
    away = np.array([x, y]) - start
    share = np.clip((away * step).sum(axis=1) / (step**2).sum(axis=1), 0, 1)
    return float(np.hypot(*(away - step * share[:, None]).T).min())


def _differs(name: str, text: str) -> Internal:
    return Internal("READ_BACK", f"Check {name} failed, the files were thrown away: {text}.")
