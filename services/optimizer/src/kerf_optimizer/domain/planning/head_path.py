"""The head's path over placed layers, in the order that is safe: engrave, score, inner cuts, outer cuts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, Toolpath, power_steps
from kerf_optimizer.domain.planning.following import run_moves
from kerf_optimizer.domain.planning.greys import passes_of
from kerf_optimizer.domain.planning.ordering import Points, depths, order_owned, order_runs, owners
from kerf_optimizer.domain.planning.scan import (
    Arcs,
    Moves,
    hatch_stretches,
    raster_stretches,
    scan_moves,
    turned_raster,
)
from kerf_optimizer.domain.planning.spec import OperationKind, PathStyle, PlanLimits, ScanStyle, too_large

PARKING = -1
CheckCancelled = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Part:
    """Moves of one layer, in the place where they run."""

    layer: int
    moves: Moves
    number: int = 0
    """The pass, counted from 0."""


def head_parts(
    layers: Sequence[Layer],
    scans: Sequence[ScanStyle],
    style: PathStyle,
    start_mm: Points,
    check_cancelled: CheckCancelled,
    limits: PlanLimits,
) -> Iterator[Part]:
    """All moves in their order. Passes of a group follow each other before the next group begins."""
    here = start_mm
    for index, (layer, scan) in enumerate(zip(layers, scans, strict=True)):
        check_cancelled()
        if layer.kind is OperationKind.ENGRAVE_RASTER:
            yield from _raster_parts(index, layer, scan, limits)
        elif layer.kind is OperationKind.ENGRAVE_FILL:
            yield from _fill_parts(index, layer, scan, limits)
        elif layer.kind is OperationKind.SCORE:
            runs = order_runs(layer.paths, here, check_cancelled)
            here = runs[-1][-1] if runs else here
            yield from _repeated(index, run_moves(runs, style), layer.passes)
    yield from _cut_parts(layers, style, here, check_cancelled)


def _cut_parts(
    layers: Sequence[Layer], style: PathStyle, start_mm: Points, check_cancelled: CheckCancelled
) -> Iterator[Part]:
    """Cuts, inner ones first.

    One pass of one layer goes from part to part. Several passes go depth by depth over the whole sheet: all that lies
    in a part must have been cut through before the part is, and layers keep their order.
    """
    cutting = [index for index, layer in enumerate(layers) if layer.kind is OperationKind.CUT]
    here = start_mm
    if len(cutting) == 1 and layers[cutting[0]].passes == 1:
        paths = layers[cutting[0]].paths
        whole, piece_of, freeing = _outlines(layers[cutting[0]])
        around = owners(whole)[piece_of]
        owner = np.where(around >= 0, np.append(freeing, -1)[around], -1)
        # An open path on the outside goes before the outlines: it may lie on a part that they set free.
        closed = np.array([path.closed for path in whole], dtype=np.bool_)[piece_of]
        loose = (around < 0) & ~closed
        for chosen in (np.flatnonzero(loose), np.flatnonzero(~loose)):
            new_index = np.full(len(paths) + 1, -1)
            new_index[chosen] = np.arange(len(chosen))
            part = order_owned([paths[i] for i in chosen], here, new_index[owner[chosen]], check_cancelled)
            if part:
                here = part[-1][1][-1]
                yield Part(cutting[0], run_moves([run for _, run in part], style, cut=True))
        return
    for index, group in _cut_groups(layers):
        runs = order_runs(group, here, check_cancelled)
        here = runs[-1][-1]
        yield from _repeated(index, run_moves(runs, style, cut=True), layers[index].passes)


def _raster_parts(index: int, layer: Layer, scan: ScanStyle, limits: PlanLimits) -> Iterator[Part]:
    sets = len(scan.angles_deg) * layer.passes * len(layer.rasters)
    for number, raster in passes_of(layer):
        for angle_deg in scan.angles_deg:
            # Lines at a quarter turn are lines along X over the picture turned back, and the moves are turned.
            upright = turned_raster(raster) if angle_deg % 180 else raster
            lines = upright.burn.shape[0] * upright.pitch_mm / layer.interval_mm
            if lines * upright.burn.shape[1] > limits.max_scan_pixels:
                text = f"the scan lines would have more than {limits.max_scan_pixels} pixels; use a wider interval"
                raise too_large(text)
            stretches = raster_stretches(upright, layer.interval_mm)
            if 2 * len(stretches) * sets > limits.max_moves:
                text = f"the raster needs more than {limits.max_moves} moves; use a lower dpi or a coarser mode"
                raise too_large(text)
            turn_deg = angle_deg % 180
            moves = scan_moves(stretches, layer.overscan_mm, angle_deg=turn_deg, both_ways=scan.both_ways)
            yield Part(index, moves, number)


def _fill_parts(index: int, layer: Layer, scan: ScanStyle, limits: PlanLimits) -> Iterator[Part]:
    # Lines along X cross an edge as often as it is high; others at most as often as it is wide and high.
    along_x = scan.angles_deg == (0.0,)
    reach_mm = sum(float(np.abs(path.segments_mm[:, 1 if along_x else 0 :]).sum()) for path in layer.paths)
    if reach_mm / layer.interval_mm * layer.passes * len(scan.angles_deg) > limits.max_moves:
        raise too_large(f"the hatch needs more than {limits.max_moves} moves; use a wider interval")
    sets = []
    for angle_deg in scan.angles_deg:
        stretches = hatch_stretches(layer.paths, layer.interval_mm, angle_deg)
        sets.append(scan_moves(stretches, layer.overscan_mm, angle_deg=angle_deg, both_ways=scan.both_ways))
    yield from (Part(index, moves, number) for number in range(layer.passes) for moves in sets)


def _repeated(index: int, moves: Moves, passes: int) -> Iterator[Part]:
    return (Part(index, moves, number) for number in range(passes))


def _outlines(layer: Layer) -> tuple[tuple[Path, ...], NDArray[np.int64], NDArray[np.int64]]:
    """The layer's paths as a whole, which of them each path is a piece of, and a path that sets each free."""
    if layer.outlines is None:
        each = np.arange(len(layer.paths))
        return layer.paths, each, each
    return layer.outlines.whole, layer.outlines.piece_of, layer.outlines.freeing


def _cut_groups(layers: Sequence[Layer]) -> Iterator[tuple[int, list[Path]]]:
    """Cuts of all layers by depth: the innermost first, the outermost closed ones last."""
    cuts = [(i, layer, *_outlines(layer)) for i, layer in enumerate(layers) if layer.kind is OperationKind.CUT]
    wholes = [path for _, _, whole, _, _ in cuts for path in whole]
    # An open path on the outside goes before the outlines: it may lie on a part that they set free.
    ranks = np.array([d if d or path.closed else 1 for d, path in zip(depths(wholes), wholes, strict=True)])
    owned, rank, begin = [], [], 0
    for index, layer, whole, piece_of, _ in cuts:
        owned += [(index, path) for path in layer.paths]
        rank += ranks[begin + piece_of].tolist()
        begin += len(whole)
    for wanted in sorted(set(rank), reverse=True):
        for index in sorted({i for i, _ in owned}):
            group = [path for r, (i, path) in zip(rank, owned, strict=True) if r == wanted and i == index]
            if group:
                yield index, group


def lay_path(parts: Sequence[Part], layers: Sequence[Layer], margin_mm: float) -> Toolpath:
    """All moves, and the one to the parking place at the front left corner inside the margin."""
    park_um = math.ceil(margin_mm * UM_PER_MM)
    z_um = None
    if any(layer.z_step_mm for layer in layers):
        parts, z_um = _with_heights(parts, layers)
    s = [_powers(part.moves, layers[part.layer].s_value) for part in parts]
    feed = [np.where(part.moves.rapid, 0, layers[part.layer].feed_mm_per_min) for part in parts]
    layer = [np.full(len(part.moves), part.layer) for part in parts]
    arcs = _arcs(parts)
    return Toolpath(
        x_um=np.concatenate([*(part.moves.x_um for part in parts), [park_um]]).astype(np.int64),
        y_um=np.concatenate([*(part.moves.y_um for part in parts), [park_um]]).astype(np.int64),
        s=np.concatenate([*s, [0]]).astype(np.int32),
        rapid=np.concatenate([*(part.moves.rapid for part in parts), [True]]).astype(np.bool_),
        feed_mm_per_min=np.concatenate([*feed, [0]]).astype(np.int32),
        layer=np.concatenate([*layer, [PARKING]]).astype(np.int16),
        turn=arcs.turn if arcs else None,
        i_um=arcs.i_um if arcs else None,
        j_um=arcs.j_um if arcs else None,
        z_um=z_um,
    )


def _with_heights(parts: Sequence[Part], layers: Sequence[Layer]) -> tuple[list[Part], NDArray[np.int64]]:
    """Parts with moves of Z between them, and the height during each move, the parking last.

    The head travels to where a pass begins before it goes down, and goes up before it travels on.
    """
    out: list[Part] = []
    heights: list[int] = []

    def add(part: Part, z_um: int) -> None:
        out.append(part)
        heights.extend([z_um] * len(part.moves))

    now_um = 0
    for part in (part for part in parts if len(part.moves)):
        z_um = -round(part.number * layers[part.layer].z_step_mm * UM_PER_MM)
        if z_um > now_um:
            add(_standing(out[-1], -1), z_um)
        begin = 0
        if z_um < now_um:
            begin = 1
            add(Part(part.layer, part.moves.between(0, begin)), now_um)
            add(_standing(part, 0), z_um)
        add(Part(part.layer, part.moves.between(begin, len(part.moves))), z_um)
        now_um = z_um
    if now_um < 0:
        add(_standing(out[-1], -1), 0)
    return out, np.array([*heights, 0], dtype=np.int64)


def _standing(part: Part, move: int) -> Part:
    """A rapid move to where one of the part's moves ends: the head stands, and Z may move."""
    x_um, y_um = part.moves.x_um[[move]], part.moves.y_um[[move]]
    return Part(part.layer, Moves(x_um, y_um, np.zeros(1, dtype=np.bool_), np.ones(1, dtype=np.bool_)))


def _powers(moves: Moves, s_value: int) -> NDArray[np.int32]:
    burning = s_value if moves.share is None else power_steps(s_value)[moves.share]
    return np.where(moves.burns, burning, 0).astype(np.int32)


def _arcs(parts: Sequence[Part]) -> Arcs | None:
    """How all moves turn, the one to the parking place last; None where all are straight."""
    if all(part.moves.arcs is None for part in parts):
        return None
    straight = [np.zeros(len(part.moves), dtype=np.int64) for part in parts]
    known = [part.moves.arcs for part in parts]
    return Arcs(
        turn=np.concatenate([*(a.turn if a else s for a, s in zip(known, straight, strict=True)), [0]]).astype(np.int8),
        i_um=np.concatenate([*(a.i_um if a else s for a, s in zip(known, straight, strict=True)), [0]]).astype(
            np.int64
        ),
        j_um=np.concatenate([*(a.j_um if a else s for a, s in zip(known, straight, strict=True)), [0]]).astype(
            np.int64
        ),
    )
