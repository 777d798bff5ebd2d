"""Builds the work: places what operations burn, and lays the head's path over it in the order that is safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster
from kerf_optimizer.domain.machine.work import Layer, PlacedRaster, Work
from kerf_optimizer.domain.nesting import Nesting
from kerf_optimizer.domain.planning.cleaning import without_middles, without_repeats
from kerf_optimizer.domain.planning.contour import source_contour
from kerf_optimizer.domain.planning.energy import check_places
from kerf_optimizer.domain.planning.following import check_path_style
from kerf_optimizer.domain.planning.greys import grey_warnings, with_powers
from kerf_optimizer.domain.planning.head_path import head_parts, lay_path
from kerf_optimizer.domain.planning.nested import NestedPlacement, place_nested
from kerf_optimizer.domain.planning.placement import (
    SheetPlacement,
    check_fit,
    default_placement,
    place_sheet,
    used_sources,
)
from kerf_optimizer.domain.planning.resolve import Resolved, planned_machine, resolve_operations
from kerf_optimizer.domain.planning.sharing import share_edges
from kerf_optimizer.domain.planning.spec import (
    DEFAULT_TITLE,
    OperationKind,
    Placement,
    PlanLimits,
    PlanSpec,
    too_large,
)
from kerf_optimizer.domain.presets import (
    UNVERIFIED,
    MachineProfile,
    check_preset,
    list_presets,
    workable_material,
)
from kerf_optimizer.domain.rotary import mounted, rotary_warnings

MAX_TITLE_CHARS = 120
CheckCancelled = Callable[[], None]


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
    machine = planned_machine(spec)
    rotary, machine = mounted(spec.rotary, machine) if spec.rotary else (None, machine)
    material = workable_material(spec.material, machine)
    known = [] if spec.profile else list_presets(machine.name, material.name)
    own = [check_preset(preset, machine, material, f"presets[{i}]") for i, preset in enumerate(spec.presets)]
    operations = resolve_operations(spec.operations, sources, machine, material, [*own, *known])
    run_up_mm = max(operation.overscan_mm for operation in operations)
    # Lines along X run past nothing at the front.
    upwards_mm = [o.overscan_mm for o in operations if any(angle % 180 for angle in o.scan.angles_deg)]
    placement = spec.placement or default_placement(run_up_mm, max(upwards_mm, default=0.0))
    contours = {
        o.index: source_contour(sources[o.input], o.contour, limits.max_contour_nodes, check_cancelled)
        for o in operations
        if o.contour
    }
    sheets, left_out = _sheets(spec.nesting, operations, sources, contours, placement, machine, limits, check_cancelled)
    merge = spec.path_style.merge
    layers = tuple(
        _layer(o, sources[o.input], contours.get(o.index), sheets[o.input], limits, merge=merge) for o in operations
    )
    parts = []
    left = limits.max_moves
    park_mm = np.full(2, placement.margin_mm)
    for part in head_parts(layers, [o.scan for o in operations], spec.path_style, park_mm, check_cancelled, limits):
        parts.append(part)
        left -= len(part.moves)
        if left < 0:
            raise too_large(f"the head would make more than {limits.max_moves} moves")
    toolpath = lay_path(parts, layers, placement.margin_mm)
    if not (toolpath.s > 0).any():
        text = "nothing would burn: the picture is blank or the paths have no length."
        raise InvalidArgument.of_field("operations", text, reason="NOTHING_TO_BURN")
    check_fit(toolpath.motion_bounds, placement, machine)
    check_places(toolpath, layers, [o.times for o in operations], machine, material, check_cancelled)
    warnings = [*spec.warnings, *left_out, *_preset_warnings(operations), *_layer_warnings(layers)]
    warnings += [text for layer in layers for text in grey_warnings(layer, machine)]
    warnings += rotary_warnings(rotary, machine) if rotary else []
    if material.note:
        warnings.append(material.note)
    if spec.placement is None:
        warnings.append(
            f"No placement was given: the work lies at the front left corner, {placement.offset_x_mm:g} mm from the "
            f"left edge and {placement.offset_y_mm:g} mm from the front edge."
        )
    return Work(
        title=spec.title.strip() or DEFAULT_TITLE,
        machine=machine,
        material=material,
        margin_mm=placement.margin_mm,
        layers=layers,
        toolpath=toolpath,
        warnings=tuple(warnings),
        rotary=rotary,
    )


def _sheets(
    nesting: Nesting | None,
    operations: Sequence[Resolved],
    sources: Sequence[Raster | Drawing],
    contours: Mapping[int, Sequence[Path]],
    placement: Placement,
    machine: MachineProfile,
    limits: PlanLimits,
    check_cancelled: CheckCancelled,
) -> tuple[Mapping[int, SheetPlacement | NestedPlacement], list[str]]:
    """How each source that is used lies on the bed, and what was left out."""
    inputs = sorted({operation.input for operation in operations})
    if nesting is None:
        used = used_sources(inputs, sources)
        sheet = place_sheet(used, placement, machine, limits, _border_mm(operations, sources, contours))
        return dict.fromkeys(inputs, sheet), []
    around: dict[int, list[Path]] = {}
    for operation in operations:
        around.setdefault(operation.input, []).extend(contours.get(operation.index, ()))
    for operation in operations:
        if not any(operation.input in part.inputs for part in nesting.parts):
            text = f"operations[{operation.index}] burns what is in no part; put it into one."
            raise InvalidArgument.of_field("nesting.parts", text)
    placed, left_out = place_nested(nesting, sources, around, placement, machine, limits, check_cancelled)
    return placed, left_out


def _border_mm(
    operations: Sequence[Resolved], sources: Sequence[Raster | Drawing], contours: Mapping[int, Sequence[Path]]
) -> float:
    """How far the sheet grows on each side: by the distance of contours, or as far as one reaches over its source."""
    border_mm = 0.0
    for operation in operations:
        if operation.contour is None:
            continue
        source = sources[operation.input]
        border_mm = max(border_mm, operation.contour.distance_mm)
        for path in contours[operation.index]:
            low_x, low_y, high_x, high_y = path.bounds
            border_mm = max(border_mm, -low_x, -low_y, high_x - source.width_mm, high_y - source.height_mm)
    return border_mm


def _layer(
    operation: Resolved,
    source: Raster | Drawing,
    contour: Sequence[Path] | None,
    sheet: SheetPlacement | NestedPlacement,
    limits: PlanLimits,
    *,
    merge: bool,
) -> Layer:
    field = f"operations[{operation.index}]"
    copies = sheet.copies
    drawn: Sequence[Path] = contour if contour is not None else source.paths if isinstance(source, Drawing) else ()
    if len(drawn) * copies > limits.max_paths:
        raise too_large(
            f"{len(drawn)} paths × {copies} copies are more than {limits.max_paths}; raise the despeckle "
            "limit, or engrave the picture as a raster",
            f"{field}.input",
        )
    nodes = sum(len(path.points_mm) for path in drawn)
    if nodes * copies > limits.max_nodes:
        raise too_large(f"{nodes} nodes × {copies} copies are more than {limits.max_nodes}", field)
    paths, outlines = sheet.placed(drawn), None
    if merge and operation.kind is OperationKind.SCORE:
        paths = without_repeats([without_middles(path) for path in paths])
    elif merge and operation.kind is OperationKind.CUT:
        paths, outlines = share_edges(paths)
    rasters: tuple[PlacedRaster, ...] = ()
    if isinstance(source, Raster) and contour is None:
        rasters = sheet.rasters(source, "placement.rotation_deg")
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
        rasters=tuple(with_powers(raster, operation.grey) for raster in rasters),
        grey=operation.grey,
        z_step_mm=operation.z_step_mm,
        outlines=outlines,
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
        open_paths = sum(not path.closed for path in (layer.outlines.whole if layer.outlines else layer.paths))
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
