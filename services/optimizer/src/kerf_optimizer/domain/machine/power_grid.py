"""A power/speed test grid as a placed work: rows rise in power, columns in speed, numbers say which is which.

Each cell is a layer of its own, so that its power and speed stand in every file. The cells that get least energy burn
first. A cell over the cap of its material is left out and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Path, path_of
from kerf_optimizer.domain.machine.digits import number_paths, number_width_mm
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, Toolpath, Work
from kerf_optimizer.domain.presets import MachineProfile, Material, OperationKind, Preset

MAX_CELLS_ALONG = 12
MIN_CELL_MM, MAX_CELL_MM = 2.0, 100.0
DEFAULT_CELLS, DEFAULT_CELL_MM = 6, 8.0
GAP_MM = 3.0
LABEL_MM = 3.0
_KINDS = (OperationKind.ENGRAVE_FILL, OperationKind.SCORE, OperationKind.CUT)
_CELL_RGB: dict[OperationKind, tuple[int, int, int]] = {
    OperationKind.ENGRAVE_FILL: (160, 0, 160),
    OperationKind.SCORE: (0, 0, 255),
    OperationKind.CUT: (255, 0, 0),
}
_LABEL_RGB = (0, 160, 255)


@dataclass(frozen=True)
class GridSpec:
    """What to try. 0 = from the preset: half of its figure to twice it, within what the machine can."""

    kind: OperationKind
    columns: int = 0
    rows: int = 0
    min_power_percent: float = 0.0
    max_power_percent: float = 0.0
    min_speed_mm_per_min: float = 0.0
    max_speed_mm_per_min: float = 0.0
    passes: int = 0
    interval_mm: float = 0.0
    cell_mm: float = 0.0


@dataclass(frozen=True)
class Cell:
    """One cell. `left_out` says why it does not burn; "" = it does."""

    column: int
    row: int
    power_percent: float
    s_value: int
    feed_mm_per_min: int
    energy_j_per_mm2: float
    left_out: str


@dataclass(frozen=True, eq=False)
class PowerGrid:
    """The work, and its cells row by row."""

    work: Work
    cells: tuple[Cell, ...]


def power_grid(
    spec: GridSpec, machine: MachineProfile, material: Material, preset: Preset, label: Preset | None
) -> PowerGrid:
    """The grid at the front left of the bed. `preset` is for the kind; `label` scores the numbers, None = no numbers.

    Raises InvalidArgument naming the field: figures out of range, OUT_OF_BED, or ENERGY_OVER_CAP where no cell is left.
    """
    columns, rows = spec.columns or DEFAULT_CELLS, spec.rows or DEFAULT_CELLS
    cell_mm = spec.cell_mm or DEFAULT_CELL_MM
    passes = spec.passes or 1
    engraves = spec.kind is OperationKind.ENGRAVE_FILL
    interval_mm = (spec.interval_mm or preset.interval_mm) if engraves else 0.0
    _check(spec, columns, rows, cell_mm, passes, interval_mm)
    powers = _steps(
        (spec.min_power_percent, spec.max_power_percent),
        preset.power_percent,
        (100 / machine.s_max, 100.0),
        rows,
        "power_percent",
    )
    speeds = _steps(
        (spec.min_speed_mm_per_min, spec.max_speed_mm_per_min),
        preset.speed_mm_per_min,
        (1.0, machine.max_feed_mm_per_min),
        columns,
        "speed_mm_per_min",
    )
    cells = tuple(
        _cell((column, row), (power, speed), (passes, interval_mm), machine, material)
        for row, power in enumerate(powers)
        for column, speed in enumerate(speeds)
    )
    burning = sorted((cell for cell in cells if not cell.left_out), key=lambda cell: cell.energy_j_per_mm2)
    if not burning:
        text = f"every cell would put more energy into {material.name} than its cap; use less power or more speed."
        raise InvalidArgument.of_field("max_power_percent", text, reason="ENERGY_OVER_CAP")
    layers, parts = _lay(burning, cell_mm, (passes, interval_mm), spec.kind, preset, machine)
    if label is not None:
        layers, parts = _with_labels(layers, parts, (powers, speeds), cell_mm, label, machine)
    return PowerGrid(_work(layers, parts, machine, material, cells, label), cells)


def _check(spec: GridSpec, columns: int, rows: int, cell_mm: float, passes: int, interval_mm: float) -> None:
    if spec.kind not in _KINDS:
        raise InvalidArgument.of_field("kind", "a grid can be engraved (fill), scored or cut.")
    low_interval = 0.01 if spec.kind is OperationKind.ENGRAVE_FILL else 0.0
    for field, value, low, high in (
        ("columns", columns, 1, MAX_CELLS_ALONG),
        ("rows", rows, 1, MAX_CELLS_ALONG),
        ("cell_mm", cell_mm, MIN_CELL_MM, MAX_CELL_MM),
        ("passes", passes, 1, 20),
        ("interval_mm", interval_mm, low_interval, 5.0),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidArgument.of_field(field, f"{value:g} is outside {low:g} to {high:g}.")


def _steps(
    wanted: tuple[float, float], preset: float, limits: tuple[float, float], count: int, name: str
) -> NDArray[np.float64]:
    low = wanted[0] or max(preset / 2, limits[0])
    high = wanted[1] or min(preset * 2, limits[1])
    for field, value in ((f"min_{name}", low), (f"max_{name}", high)):
        if not (math.isfinite(value) and limits[0] <= value <= limits[1]):
            raise InvalidArgument.of_field(field, f"{value:g} is outside {limits[0]:g} to {limits[1]:g}.")
    if low > high:
        raise InvalidArgument.of_field(f"min_{name}", f"{low:g} is more than the greatest, {high:g}.")
    return np.linspace(low, high, count)


def _cell(
    place: tuple[int, int],
    figures: tuple[float, float],
    burns: tuple[int, float],
    machine: MachineProfile,
    material: Material,
) -> Cell:
    """A cell in whole steps of power and whole mm/min, judged by its own energy."""
    s_value, feed = max(1, round(figures[0] / 100 * machine.s_max)), max(1, math.floor(figures[1]))
    power = s_value / machine.s_max * 100
    energy = machine.energy_j_per_mm2(power, feed, burns[1])
    left_out = ""
    for total, cap, what in (
        (energy, material.cap_pass_j_per_mm2, "one pass"),
        (energy * burns[0], material.cap_total_j_per_mm2, f"{burns[0]} passes"),
    ):
        if total > cap:
            left_out = f"{what}: {total:.1f} J/mm² is over the cap of {material.name}, {cap:g}"
    return Cell(place[0], place[1], power, s_value, feed, energy, left_out)


@dataclass(frozen=True, eq=False)
class _Part:
    """Moves of one layer: targets in micrometres, whether the beam is on, whether rapid."""

    layer: int
    xy_um: NDArray[np.int64]
    burns: NDArray[np.bool_]
    rapid: NDArray[np.bool_]


def _lay(
    burning: Sequence[Cell],
    cell_mm: float,
    burns: tuple[int, float],
    kind: OperationKind,
    preset: Preset,
    machine: MachineProfile,
) -> tuple[list[Layer], list[_Part]]:
    """Layers and moves of all cells, from the least energy to the most."""
    engraves = kind is OperationKind.ENGRAVE_FILL
    run_up_mm = [machine.run_up_mm(cell.feed_mm_per_min) if engraves else 0.0 for cell in burning]
    left_mm = max(run_up_mm) + 4 * LABEL_MM
    step_mm = cell_mm + GAP_MM
    layers, parts = [], []
    for index, (cell, overscan_mm) in enumerate(zip(burning, run_up_mm, strict=True)):
        x, y = left_mm + cell.column * step_mm, 3 * LABEL_MM + cell.row * step_mm
        corners = [[x, y], [x + cell_mm, y], [x + cell_mm, y + cell_mm], [x, y + cell_mm]]
        outline = path_of(corners, closed=True)
        layers.append(
            Layer(
                name=f"p{cell.row + 1}-v{cell.column + 1}",
                kind=kind,
                preset=preset,
                power_percent=round(cell.power_percent, 2),
                s_value=cell.s_value,
                feed_mm_per_min=cell.feed_mm_per_min,
                passes=burns[0],
                interval_mm=burns[1],
                overscan_mm=overscan_mm,
                rgb=_CELL_RGB[kind],
                paths=(outline,),
            )
        )
        part = _hatch(index, x, y, cell_mm, burns[1], overscan_mm) if burns[1] else _along(index, outline)
        parts += [part] * burns[0]
    return layers, parts


def _along(layer: int, path: Path) -> _Part:
    points = np.rint(path.points_mm * UM_PER_MM).astype(np.int64)
    if path.closed:
        points = np.concatenate([points, points[:1]])
    rapid = np.arange(len(points)) == 0
    return _Part(layer, points, ~rapid, rapid)


def _hatch(layer: int, x_mm: float, y_mm: float, side_mm: float, interval_mm: float, overscan_mm: float) -> _Part:
    """Lines to and fro over a square: travel to the run-up, run up, burn, run out."""
    count = max(1, math.floor(side_mm / interval_mm))
    y = y_mm + (np.arange(count) + 0.5) * interval_mm
    ends = np.array([x_mm - overscan_mm, x_mm, x_mm + side_mm, x_mm + side_mm + overscan_mm])
    x = np.where((np.arange(count) % 2 == 0)[:, None], ends, ends[::-1])
    xy_mm = np.stack([x, np.repeat(y[:, None], 4, axis=1)], axis=2).reshape(-1, 2)
    xy_um = np.rint(xy_mm * UM_PER_MM).astype(np.int64)
    step = np.arange(4 * count) % 4
    return _Part(layer, xy_um, step == 2, step == 0)


def _with_labels(
    layers: list[Layer],
    parts: list[_Part],
    figures: tuple[NDArray[np.float64], NDArray[np.float64]],
    cell_mm: float,
    label: Preset,
    machine: MachineProfile,
) -> tuple[list[Layer], list[_Part]]:
    """Numbers before the cells: per cent left of the rows, mm/s below the columns. They burn first."""
    left_mm = max(layer.overscan_mm for layer in layers)
    strokes = list(_numbers(figures, left_mm, cell_mm))
    feed = math.floor(label.speed_mm_per_min)
    layer = Layer(
        name="labels",
        kind=OperationKind.SCORE,
        preset=label,
        power_percent=label.power_percent,
        s_value=max(1, round(label.power_percent / 100 * machine.s_max)),
        feed_mm_per_min=feed,
        passes=1,
        interval_mm=0.0,
        overscan_mm=0.0,
        rgb=_LABEL_RGB,
        paths=tuple(strokes),
    )
    moved = [_Part(part.layer + 1, part.xy_um, part.burns, part.rapid) for part in parts]
    return [layer, *layers], [*(_along(0, stroke) for stroke in strokes), *moved]


def _numbers(
    figures: tuple[NDArray[np.float64], NDArray[np.float64]], left_mm: float, cell_mm: float
) -> Iterator[Path]:
    powers, speeds = figures
    step_mm = cell_mm + GAP_MM
    for row, power in enumerate(powers.tolist()):
        x = left_mm + 3.5 * LABEL_MM - number_width_mm(power, LABEL_MM)
        yield from number_paths(power, x, 3 * LABEL_MM + row * step_mm + (cell_mm - LABEL_MM) / 2, LABEL_MM)
    for column, speed in enumerate(speeds.tolist()):
        height = min(LABEL_MM, step_mm / 3.5)
        yield from number_paths(speed / 60, left_mm + 4 * LABEL_MM + column * step_mm, LABEL_MM, height)


def _work(
    layers: Sequence[Layer],
    parts: Sequence[_Part],
    machine: MachineProfile,
    material: Material,
    cells: Sequence[Cell],
    label: Preset | None,
) -> Work:
    xy_um = np.concatenate([*(part.xy_um for part in parts), np.zeros((1, 2), dtype=np.int64)])
    s = [np.where(part.burns, layers[part.layer].s_value, 0) for part in parts]
    feed = [np.where(part.rapid, 0, layers[part.layer].feed_mm_per_min) for part in parts]
    layer = [np.full(len(part.rapid), part.layer) for part in parts]
    path = Toolpath(
        x_um=xy_um[:, 0],
        y_um=xy_um[:, 1],
        s=np.append(np.concatenate(s), 0).astype(np.int32),
        rapid=np.append(np.concatenate([part.rapid for part in parts]), True),
        feed_mm_per_min=np.append(np.concatenate(feed), 0).astype(np.int32),
        layer=np.append(np.concatenate(layer), -1).astype(np.int16),
    )
    box = path.motion_bounds
    if box.max_x_mm > machine.bed_width_mm or box.max_y_mm > machine.bed_height_mm:
        text = (
            f"the grid needs {box.max_x_mm:.1f} × {box.max_y_mm:.1f} mm and the bed of {machine.name} has "
            f"{machine.bed_width_mm:g} × {machine.bed_height_mm:g} mm; use fewer or smaller cells, or less speed."
        )
        raise InvalidArgument.of_field("cell_mm", text, reason="OUT_OF_BED")
    return Work(
        title=f"test grid, {material.name}",
        machine=machine,
        material=material,
        margin_mm=0.0,
        layers=tuple(layers),
        toolpath=path,
        warnings=_warnings(cells, material, label),
    )


def _warnings(cells: Sequence[Cell], material: Material, label: Preset | None) -> tuple[str, ...]:
    warnings = ["Test cells may flame: stay at the machine with water at hand, and stop it at the first flame."]
    left_out = sum(bool(cell.left_out) for cell in cells)
    if left_out:
        warnings.append(f"{left_out} of {len(cells)} cells are left out: over the energy cap of {material.name}.")
    if label is None:
        warnings.append("kerf knows no score for this material: the cells carry no numbers.")
    if material.note:
        warnings.append(material.note)
    return tuple(warnings)
