"""Builds the work: places what operations burn, and lays the head's path over it in the order that is safe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, Toolpath, Work
from kerf_optimizer.domain.planning.cleaning import without_middles, without_repeats
from kerf_optimizer.domain.planning.following import check_path_style, run_moves
from kerf_optimizer.domain.planning.ordering import Points, depths, order_owned, order_runs, owners
from kerf_optimizer.domain.planning.placement import (
    SheetPlacement,
    check_fit,
    default_placement,
    place_sheet,
    used_sources,
)
from kerf_optimizer.domain.planning.resolve import Resolved, resolve_operations
from kerf_optimizer.domain.planning.scan import (
    Arcs,
    Moves,
    hatch_stretches,
    raster_stretches,
    scan_moves,
    turned_raster,
)
from kerf_optimizer.domain.planning.spec import (
    DEFAULT_MACHINE,
    DEFAULT_TITLE,
    OperationKind,
    PathStyle,
    PlanLimits,
    PlanSpec,
    ScanStyle,
)
from kerf_optimizer.domain.presets import (
    UNVERIFIED,
    check_preset,
    check_profile,
    list_presets,
    machine_profile,
    workable_material,
)

MAX_TITLE_CHARS = 120
PARKING = -1
CheckCancelled = Callable[[], None]


@dataclass(frozen=True, eq=False)
class _Part:
    """Moves of one layer, in the place where they run."""

    layer: int
    moves: Moves


def build_work(
    spec: PlanSpec, sources: Sequence[Raster | Drawing], check_cancelled: CheckCancelled, limits: PlanLimits
) -> Work:
    """The placed work with its toolpath.

    Raises InvalidArgument for what is unknown, unsafe, off the bed, too large, or where nothing would burn; whatever
    `check_cancelled` raises.
    """
    if len(spec.title) > MAX_TITLE_CHARS:
        raise InvalidArgument.of_field("title", f"{len(spec.title)} characters are more than {MAX_TITLE_CHARS}.")
    check_path_style(spec.path_style)
    machine = check_profile(spec.profile) if spec.profile else machine_profile(spec.machine or DEFAULT_MACHINE)
    material = workable_material(spec.material, machine)
    known = [] if spec.profile else list_presets(machine.name, material.name)
    own = [check_preset(preset, machine, material, f"presets[{i}]") for i, preset in enumerate(spec.presets)]
    operations = resolve_operations(spec.operations, sources, machine, material, [*own, *known])
    run_up_mm = max(operation.overscan_mm for operation in operations)
    placement = spec.placement or default_placement(run_up_mm)
    sheet = place_sheet(used_sources((o.input for o in operations), sources), placement, machine, limits)
    merge = spec.path_style.merge
    layers = tuple(_layer(operation, sources[operation.input], sheet, limits, merge=merge) for operation in operations)
    scans = [operation.scan for operation in operations]
    parts = []
    left = limits.max_moves
    park_mm = np.full(2, placement.margin_mm)
    for part in _parts(layers, scans, spec.path_style, park_mm, check_cancelled, limits):
        parts.append(part)
        left -= len(part.moves)
        if left < 0:
            raise _too_large(f"the head would make more than {limits.max_moves} moves")
    toolpath = _toolpath(parts, layers, placement.margin_mm)
    if not (toolpath.s > 0).any():
        text = "nothing would burn: the picture is blank or the paths have no length."
        raise InvalidArgument.of_field("operations", text, reason="NOTHING_TO_BURN")
    check_fit(toolpath.motion_bounds, placement, machine)
    warnings = [*_preset_warnings(operations), *_layer_warnings(layers)]
    if material.note:
        warnings.append(material.note)
    if spec.placement is None:
        warnings.append(
            f"No placement was given: the work lies at the front left corner, {placement.offset_x_mm:g} mm from the "
            "left edge."
        )
    return Work(
        title=spec.title.strip() or DEFAULT_TITLE,
        machine=machine,
        material=material,
        margin_mm=placement.margin_mm,
        layers=layers,
        toolpath=toolpath,
        warnings=tuple(warnings),
    )


def _layer(
    operation: Resolved, source: Raster | Drawing, sheet: SheetPlacement, limits: PlanLimits, *, merge: bool
) -> Layer:
    field = f"operations[{operation.index}]"
    copies = len(sheet.shifts_mm)
    if isinstance(source, Drawing):
        if len(source.paths) * copies > limits.max_paths:
            raise _too_large(
                f"{len(source.paths)} paths × {copies} copies are more than {limits.max_paths}; raise the despeckle "
                "limit, or engrave the picture as a raster",
                f"{field}.input",
            )
        if source.nodes * copies > limits.max_nodes:
            raise _too_large(f"{source.nodes} nodes × {copies} copies are more than {limits.max_nodes}", field)
    paths = sheet.paths(source) if isinstance(source, Drawing) else ()
    if merge and operation.kind in (OperationKind.SCORE, OperationKind.CUT):
        # What is cut stays closed: only a closed path is known to set a part free, with all that lies in it.
        whole = operation.kind is OperationKind.CUT
        paths = without_repeats([without_middles(path) for path in paths], whole_paths=whole)
    return Layer(
        name=operation.layer,
        kind=operation.kind,
        preset=operation.preset,
        power_percent=operation.power_percent,
        s_value=operation.s_value,
        feed_mm_per_min=operation.feed_mm_per_min,
        passes=operation.passes,
        interval_mm=operation.interval_mm,
        overscan_mm=operation.overscan_mm,
        rgb=operation.rgb,
        paths=paths,
        rasters=sheet.rasters(source, "placement.rotation_deg") if isinstance(source, Raster) else (),
    )


def _parts(
    layers: Sequence[Layer],
    scans: Sequence[ScanStyle],
    style: PathStyle,
    start_mm: Points,
    check_cancelled: CheckCancelled,
    limits: PlanLimits,
) -> Iterator[_Part]:
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
            yield from [_Part(index, run_moves(runs, style))] * layer.passes
    yield from _cut_parts(layers, style, here, check_cancelled)


def _cut_parts(
    layers: Sequence[Layer], style: PathStyle, start_mm: Points, check_cancelled: CheckCancelled
) -> Iterator[_Part]:
    """Cuts, inner ones first.

    One pass of one layer goes from part to part. Several passes go depth by depth over the whole sheet: all that lies
    in a part must have been cut through before the part is, and layers keep their order.
    """
    cutting = [index for index, layer in enumerate(layers) if layer.kind is OperationKind.CUT]
    here = start_mm
    if len(cutting) == 1 and layers[cutting[0]].passes == 1:
        paths = layers[cutting[0]].paths
        owner = owners(paths)
        # An open path on the outside goes before the outlines: it may lie on a part that they set free.
        loose = np.array([o < 0 and not path.closed for o, path in zip(owner, paths, strict=True)], dtype=np.bool_)
        for chosen in (np.flatnonzero(loose), np.flatnonzero(~loose)):
            new_index = np.full(len(paths) + 1, -1)
            new_index[chosen] = np.arange(len(chosen))
            part = order_owned([paths[i] for i in chosen], here, new_index[owner[chosen]], check_cancelled)
            if part:
                here = part[-1][1][-1]
                yield _Part(cutting[0], run_moves([run for _, run in part], style, cut=True))
        return
    for index, group in _cut_groups(layers):
        runs = order_runs(group, here, check_cancelled)
        here = runs[-1][-1]
        yield from [_Part(index, run_moves(runs, style, cut=True))] * layers[index].passes


def _raster_parts(index: int, layer: Layer, scan: ScanStyle, limits: PlanLimits) -> Iterator[_Part]:
    sets = len(scan.angles_deg) * layer.passes * len(layer.rasters)
    for raster in layer.rasters * layer.passes:
        for angle_deg in scan.angles_deg:
            # Lines at a quarter turn are lines along X over the picture turned back, and the moves are turned.
            upright = turned_raster(raster) if angle_deg % 180 else raster
            lines = upright.burn.shape[0] * upright.pitch_mm / layer.interval_mm
            if lines * upright.burn.shape[1] > limits.max_scan_pixels:
                text = f"the scan lines would have more than {limits.max_scan_pixels} pixels; use a wider interval"
                raise _too_large(text)
            stretches = raster_stretches(upright, layer.interval_mm)
            if 2 * len(stretches) * sets > limits.max_moves:
                text = f"the raster needs more than {limits.max_moves} moves; use a lower dpi or a coarser mode"
                raise _too_large(text)
            turn_deg = angle_deg % 180
            yield _Part(index, scan_moves(stretches, layer.overscan_mm, angle_deg=turn_deg, both_ways=scan.both_ways))


def _fill_parts(index: int, layer: Layer, scan: ScanStyle, limits: PlanLimits) -> Iterator[_Part]:
    # Lines along X cross an edge as often as it is high; others at most as often as it is wide and high.
    along_x = scan.angles_deg == (0.0,)
    reach_mm = sum(float(np.abs(path.segments_mm[:, 1 if along_x else 0 :]).sum()) for path in layer.paths)
    if reach_mm / layer.interval_mm * layer.passes * len(scan.angles_deg) > limits.max_moves:
        raise _too_large(f"the hatch needs more than {limits.max_moves} moves; use a wider interval")
    for angle_deg in scan.angles_deg:
        stretches = hatch_stretches(layer.paths, layer.interval_mm, angle_deg)
        moves = scan_moves(stretches, layer.overscan_mm, angle_deg=angle_deg, both_ways=scan.both_ways)
        yield from [_Part(index, moves)] * layer.passes


def _cut_groups(layers: Sequence[Layer]) -> Iterator[tuple[int, list[Path]]]:
    """Cuts of all layers by depth: the innermost first, the outermost closed ones last."""
    owned = [(i, path) for i, layer in enumerate(layers) if layer.kind is OperationKind.CUT for path in layer.paths]
    depth = depths([path for _, path in owned])
    # An open path on the outside goes before the outlines: it may lie on a part that they set free.
    rank = [int(d) if d or path.closed else 1 for d, (_, path) in zip(depth, owned, strict=True)]
    for wanted in sorted(set(rank), reverse=True):
        for index in sorted({i for i, _ in owned}):
            group = [path for r, (i, path) in zip(rank, owned, strict=True) if r == wanted and i == index]
            if group:
                yield index, group


def _toolpath(parts: Sequence[_Part], layers: Sequence[Layer], margin_mm: float) -> Toolpath:
    park_um = math.ceil(margin_mm * UM_PER_MM)
    s = [np.where(part.moves.burns, layers[part.layer].s_value, 0) for part in parts]
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
    )


def _arcs(parts: Sequence[_Part]) -> Arcs | None:
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


def _preset_warnings(operations: Sequence[Resolved]) -> list[str]:
    unverified = dict.fromkeys(o.preset.name for o in operations if not o.preset.verified)
    warnings = [f"Preset {name} is {UNVERIFIED}." for name in unverified]
    if any(o.kind is OperationKind.CUT and o.preset.kerf_mm <= 0 for o in operations):
        warnings.append("The kerf is not known: parts come out smaller and holes larger by half its width per side.")
    return warnings


def _layer_warnings(layers: Sequence[Layer]) -> list[str]:
    warnings = []
    for layer in layers:
        open_paths = sum(not path.closed for path in layer.paths)
        if open_paths and layer.kind is OperationKind.ENGRAVE_FILL:
            warnings.append(f"Layer {layer.name}: {open_paths} open paths cannot be filled and were left out.")
        if open_paths and layer.kind is OperationKind.CUT:
            warnings.append(f"Layer {layer.name}: {open_paths} open paths are cut, but set no part free.")
        if layer.rasters and abs(layer.interval_mm - layer.rasters[0].pitch_mm) > 1e-9:
            warnings.append(
                f"Layer {layer.name}: lines lie {layer.interval_mm:g} mm apart but pixels are "
                f"{layer.rasters[0].pitch_mm:g} mm: rows are repeated or left out."
            )
    return warnings


def _too_large(text: str, field: str = "operations") -> InvalidArgument:
    return InvalidArgument.of_field(field, f"{text}.", reason="PLAN_TOO_LARGE")
