"""Proves the files: each is parsed again and compared with what was meant. A check that fails is an error.

The G-code is judged three times: by the safety linter, against the toolpath move by move, and against the geometry
that was placed (pixels, edges, areas), which the planner's own arithmetic had no hand in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.blocks import BLOCK_BYTES, read_blocks
from kerf_optimizer.domain.machine.lint_rules import LintRules
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.reader import Motions, read_motions
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, Work
from kerf_optimizer.domain.planning.compared_moves import TOLERANCE_UM, ComparedMoves
from kerf_optimizer.domain.planning.cover import burnt_points, check_cover
from kerf_optimizer.domain.planning.following import AS_DRAWN
from kerf_optimizer.domain.planning.pixels import PaintedRasters
from kerf_optimizer.domain.planning.spec import Check, OperationKind, PathStyle, Verdict

ON_EDGE_UM = 3
"""A line at an angle is rounded twice, and so are the edges that it is compared with."""
MAX_PARITY_WORK = 20_000_000
"""Sampled points × edges that the hatch check looks at."""
MIN_SAMPLED_UM = 10
"""Shorter stretches lie so close to an edge that rounding decides."""
Ints = NDArray[np.int64]
Segments = NDArray[np.int64]


def check_gcode(gcode: bytes, work: Work, style: PathStyle = AS_DRAWN, block_bytes: int = BLOCK_BYTES) -> list[Check]:
    """Lint and read back; `style` says how far paths may be rounded and overcut.

    Reads `block_bytes` at a time: memory grows with the pictures and the drawings, not with the moves. Raises Internal
    (SAFETY_LINTER or READ_BACK) where anything is wrong.
    """
    rules = LintRules(work.machine, work.material, work.margin_mm, max(layer.s_value for layer in work.layers))
    violations = lint(gcode, rules, block_bytes)
    if violations:
        first = violations[0]
        text = f"line {first.line} {first.text!r}: {first.rule.value}, {first.message}"
        count = len(violations)
        raise Internal("SAFETY_LINTER", f"The G-code is unsafe and was thrown away ({count} findings): {text}.")
    moves, proofs = ComparedMoves(work.toolpath), [_proof(layer, style) for layer in work.layers]
    line_count = 0
    for program in read_blocks(gcode, block_bytes=block_bytes):
        line_count = program.in_file(program.line_count)
        motions = read_motions(program)
        burning, owner = moves.add(motions, int(np.searchsorted(motions.line, program.prelude)))
        for index, proof in enumerate(proofs):
            mine = burning[owner == index]
            if len(mine):
                proof.add(motions, mine)
    checks = [Check("safety-linter", Verdict.PASSED, f"{line_count} lines, no violation"), moves.compared()]
    return [*checks, *(proof.compared() for proof in proofs)]


class _Proof(Protocol):
    """Gathers what burns of one layer and compares it with what was placed."""

    def add(self, motions: Motions, moves: Ints) -> None:
        """Take more burning moves, indices of `motions`, in the order of the file."""

    def compared(self) -> Check:
        """Compare; raises Internal (READ_BACK)."""


def _proof(layer: Layer, style: PathStyle) -> _Proof:
    if layer.kind is OperationKind.ENGRAVE_RASTER:
        return _RasterProof(layer)
    follows = layer.kind is not OperationKind.ENGRAVE_FILL
    if follows and (style.arc_tolerance_mm > 0 or style.overcut_mm > 0):
        return _CoverProof(layer, style)
    return _PathProof(layer)


class _RasterProof:
    def __init__(self, layer: Layer) -> None:
        self._name = f"geometry:{layer.name}"
        self._painted = PaintedRasters(self._name, layer)

    def add(self, motions: Motions, moves: Ints) -> None:
        self._painted.add(*_ends(motions, moves), np.rint(motions.s[moves]).astype(np.int64))

    def compared(self) -> Check:
        return Check(self._name, Verdict.PASSED, self._painted.compared())


class _CoverProof:
    def __init__(self, layer: Layer, style: PathStyle) -> None:
        self._layer, self._style = layer, style
        self._burnt: list[NDArray[np.float64]] = []

    def add(self, motions: Motions, moves: Ints) -> None:
        self._burnt += burnt_points(motions, moves)

    def compared(self) -> Check:
        return check_cover(self._layer, self._burnt, self._style)


class _PathProof:
    """Edges and hatch lines: as many as the drawing has, or its area has room for."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._burnt = [np.zeros((2, 0, 2), dtype=np.int64)]

    def add(self, motions: Motions, moves: Ints) -> None:
        self._burnt.append(np.stack(_ends(motions, moves)))

    def compared(self) -> Check:
        layer, name = self._layer, f"geometry:{self._layer.name}"
        starts, ends = np.concatenate(self._burnt, axis=1)
        if layer.kind is OperationKind.ENGRAVE_FILL:
            detail = _check_hatch(name, layer.paths, starts, ends)
        else:
            detail = _check_edges(name, layer, starts, ends)
        return Check(name, Verdict.PASSED, detail)


def _ends(motions: Motions, moves: Ints) -> tuple[Segments, Segments]:
    """Starts and ends (n, 2) of moves in micrometres."""
    x, y = np.rint(motions.x_mm * UM_PER_MM), np.rint(motions.y_mm * UM_PER_MM)
    before = np.maximum(moves - 1, 0)
    starts, ends = np.stack([x[before], y[before]], axis=1), np.stack([x[moves], y[moves]], axis=1)
    return starts.astype(np.int64), ends.astype(np.int64)


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
