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
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, PlacedRaster, Work
from kerf_optimizer.domain.planning.spec import Check, OperationKind, Verdict

TOLERANCE_UM = 2
MAX_PARITY_WORK = 20_000_000
"""Sampled points × edges that the hatch check looks at."""
MIN_SAMPLED_UM = 10
"""Shorter stretches lie so close to an edge that rounding decides."""
Segments = NDArray[np.int64]


def check_gcode(gcode: bytes, work: Work) -> list[Check]:
    """Lint and read back. Raises Internal (SAFETY_LINTER or READ_BACK) where anything is wrong."""
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
        checks.append(_check_layer(layer, starts[mine], ends[mine]))
    return checks


def _check_moves(motions: Motions, work: Work) -> Check:
    path = work.toolpath
    if len(motions.line) != len(path):
        raise _differs("gcode-read-back", f"{len(motions.line)} moves instead of {len(path)}")
    off_x, off_y = motions.x_mm * UM_PER_MM - path.x_um, motions.y_mm * UM_PER_MM - path.y_um
    off_um = float(np.maximum(np.abs(off_x), np.abs(off_y)).max())
    if off_um > TOLERANCE_UM:
        raise _differs("gcode-read-back", f"a move ends {off_um:.1f} µm from where it should")
    if not np.array_equal(motions.mode == 0, path.rapid):
        raise _differs("gcode-read-back", "a travel move and a feed move are mixed up")
    if not np.array_equal(np.where(motions.burning, motions.s, 0), path.s):
        raise _differs("gcode-read-back", "the power of a move differs")
    feeding = ~path.rapid
    if not np.array_equal(motions.feed_mm_per_min[feeding], path.feed_mm_per_min[feeding]):
        raise _differs("gcode-read-back", "the feed of a move differs")
    detail = f"{len(path)} moves: targets within {off_um:.3f} µm, order, power and feed equal"
    return Check("gcode-read-back", Verdict.PASSED, detail)


def _burnt(motions: Motions) -> tuple[Segments, Segments]:
    """Starts and ends (n, 2) in micrometres of the burning moves, in order."""
    targets = np.rint(np.stack([motions.x_mm, motions.y_mm], axis=1) * UM_PER_MM).astype(np.int64)
    burning = np.flatnonzero(motions.burning)
    return targets[np.maximum(burning - 1, 0)], targets[burning]


def _check_layer(layer: Layer, starts: Segments, ends: Segments) -> Check:
    name = f"geometry:{layer.name}"
    if layer.kind is OperationKind.ENGRAVE_RASTER:
        detail = _check_rasters(name, layer, starts, ends)
    elif layer.kind is OperationKind.ENGRAVE_FILL:
        detail = _check_hatch(name, layer.paths, starts, ends)
    else:
        detail = _check_edges(name, layer, starts, ends)
    return Check(name, Verdict.PASSED, detail)


def _check_rasters(name: str, layer: Layer, starts: Segments, ends: Segments) -> str:
    """Paint what burns onto pixels again and compare with the picture, for each copy."""
    middle_mm = (starts + ends) / (2 * UM_PER_MM)
    claimed = 0
    for raster in layer.rasters:
        low = np.array([raster.left_mm, raster.front_mm])
        high = low + np.array(raster.burn.shape[::-1]) * raster.pitch_mm
        inside = ((middle_mm > low) & (middle_mm < high)).all(axis=1)
        claimed += int(inside.sum())
        painted, meant = _painted(raster, layer.interval_mm, starts[inside], ends[inside])
        if not np.array_equal(painted, meant * layer.passes):
            raise _differs(name, "the burnt pixels are not the picture's")
    if claimed != len(starts):
        raise _differs(name, "something burns outside the picture")
    return f"{len(layer.rasters)} picture(s) painted again from the G-code, every pixel equal, {layer.passes} pass(es)"


def _painted(
    raster: PlacedRaster, interval_mm: float, starts: Segments, ends: Segments
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """How often each pixel of each scan line burns, and the picture along these lines; int16 (lines, columns)."""
    rows, columns = raster.burn.shape
    lines = max(1, round(rows * raster.pitch_mm / interval_mm))
    line = np.floor((starts[:, 1] / UM_PER_MM - raster.front_mm) / interval_mm).astype(np.int64)
    x_mm = np.sort(np.stack([starts[:, 0], ends[:, 0]], axis=1), axis=1) / UM_PER_MM
    column = np.rint((x_mm - raster.left_mm) / raster.pitch_mm).astype(np.int64)
    if ((line < 0) | (line >= lines)).any() or (column < 0).any() or (column > columns).any():
        raise _differs("raster", "something burns outside the picture")
    steps = np.zeros((lines, columns + 1), dtype=np.int16)
    np.add.at(steps, (line, column[:, 0]), 1)
    np.add.at(steps, (line, column[:, 1]), -1)
    row = np.floor((np.arange(lines) + 0.5) * interval_mm / raster.pitch_mm).astype(np.int64)
    meant = raster.burn[::-1][np.minimum(row, rows - 1)].astype(np.int16)
    return np.cumsum(steps, axis=1, dtype=np.int16)[:, :-1], meant


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
    along, gap = ends[:, 0] - starts[:, 0], starts[1:, 0] - ends[:-1, 0]
    burnt_mid = ((starts + ends) / 2)[np.abs(along) > MIN_SAMPLED_UM]
    onwards = (np.sign(gap) == np.sign(along[1:])) & (np.sign(gap) == np.sign(along[:-1]))
    in_row = (starts[1:, 1] == ends[:-1, 1]) & onwards & (np.abs(gap) > MIN_SAMPLED_UM)
    gap_mid = ((ends[:-1] + starts[1:]) / 2)[in_row]
    sample = max(1, MAX_PARITY_WORK // max(1, 2 * len(edges_um)))
    burnt_mid, gap_mid = _sampled(burnt_mid, sample), _sampled(gap_mid, sample)
    if not _parity_is(burnt_mid, edges_um, 1).all():
        raise _differs(name, "a hatch line lies outside the paths")
    if not _parity_is(gap_mid, edges_um, 0).all():
        raise _differs(name, "a place inside the paths has no hatch line")
    return f"{len(burnt_mid)} of {len(starts)} hatch lines inside, {len(gap_mid)} gaps outside the paths"


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
        on_edge = (np.abs(rise) <= TOLERANCE_UM).any()
        fits[index] = on_edge or np.count_nonzero(rise > 0) % 2 == wanted
    return fits


def _differs(name: str, text: str) -> Internal:
    return Internal("READ_BACK", f"Check {name} failed, the files were thrown away: {text}.")
