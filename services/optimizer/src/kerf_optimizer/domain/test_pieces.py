"""Work that finds out how a machine burns a material: a power/speed grid, and a strip that measures the kerf.

Both are proven as any plan is: linted, read back, compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, path_of
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.machine.outputs import OutputOptions
from kerf_optimizer.domain.machine.power_grid import Cell, GridSpec, power_grid
from kerf_optimizer.domain.planning.proving import prove_work
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.spec import DEFAULT_MACHINE, Operation, PlanLimits, PlannedBurn, PlanSpec
from kerf_optimizer.domain.presets import OperationKind, list_presets, machine_profile, workable_material

DEFAULT_PIECES, DEFAULT_PIECE_MM, DEFAULT_HEIGHT_MM = 10, 10.0, 20.0
MAX_PIECES = 40
MIN_PIECE_MM, MAX_PIECE_MM = 2.0, 100.0
MIN_HEIGHT_MM, MAX_HEIGHT_MM = 5.0, 200.0
Cancel = Callable[[], None]


@dataclass(frozen=True)
class GridFiles:
    """The files of a grid and its cells, row by row."""

    proven: PlannedBurn
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class KerfSpec:
    """A strip of pieces side by side. 0 = the usual."""

    pieces: int = 0
    piece_mm: float = 0.0
    height_mm: float = 0.0


@dataclass(frozen=True)
class KerfFiles:
    """The files of a strip. Kerf = (`nominal_length_mm` − the length of all pieces pushed together) / `pieces`."""

    proven: PlannedBurn
    pieces: int
    nominal_length_mm: float
    instructions: str


def make_test_grid(
    machine_name: str,
    material_name: str,
    spec: GridSpec,
    outputs: Sequence[OutputFormat],
    limits: PlanLimits,
    check_cancelled: Cancel,
) -> GridFiles:
    """A grid of cells around the preset of this kind. Blocking.

    Raises InvalidArgument as a plan does (unknown or dangerous material, no preset, figures, the bed), Internal where a
    file did not pass its own checks, and what `check_cancelled` raises.
    """
    machine = machine_profile(machine_name or DEFAULT_MACHINE)
    material = workable_material(material_name, machine)
    known = {preset.kind: preset for preset in list_presets(machine.name, material.name)}
    if spec.kind not in known:
        kinds = ", ".join(kind.value for kind in known) or "nothing"
        text = f"{machine.name} cannot {spec.kind.value} {material.name}, as far as kerf knows; it can: {kinds}."
        raise InvalidArgument.of_field("kind", text, reason="PRESET_UNKNOWN")
    grid = power_grid(spec, machine, material, known[spec.kind], known.get(OperationKind.SCORE))
    return GridFiles(prove_work(grid.work, outputs, OutputOptions(), limits, check_cancelled), grid.cells)


def make_kerf_test(
    machine_name: str,
    material_name: str,
    strip: KerfSpec,
    outputs: Sequence[OutputFormat],
    limits: PlanLimits,
    check_cancelled: Cancel,
) -> KerfFiles:
    """A strip that is cut into pieces: each is shorter than drawn by one kerf. 0 = the usual. Raises as a grid does."""
    pieces, piece_mm = strip.pieces or DEFAULT_PIECES, strip.piece_mm or DEFAULT_PIECE_MM
    height_mm = strip.height_mm or DEFAULT_HEIGHT_MM
    for field, value, low, high in (
        ("pieces", pieces, 2, MAX_PIECES),
        ("piece_mm", piece_mm, MIN_PIECE_MM, MAX_PIECE_MM),
        ("height_mm", height_mm, MIN_HEIGHT_MM, MAX_HEIGHT_MM),
    ):
        if not low <= value <= high:
            raise InvalidArgument.of_field(field, f"{value:g} is outside {low:g} to {high:g}.")
    spec = PlanSpec(
        material=material_name,
        operations=(Operation(0, OperationKind.CUT),),
        machine=machine_name,
        title=f"kerf test, {material_name}",
    )
    work = build_work(spec, [_strip(pieces, piece_mm, height_mm)], check_cancelled, limits)
    length_mm = pieces * piece_mm
    instructions = (
        f"Cut, push the {pieces} pieces together in their order and measure their length L in mm. "
        f"Kerf = ({length_mm:g} - L) / {pieces}."
    )
    return KerfFiles(
        prove_work(work, outputs, OutputOptions(), limits, check_cancelled), pieces, length_mm, instructions
    )


def _strip(pieces: int, piece_mm: float, height_mm: float) -> Drawing:
    """The outline, and the cuts between the pieces, which are made first and end on the outline."""
    length_mm = pieces * piece_mm
    outline = path_of([(0.0, 0.0), (length_mm, 0.0), (length_mm, height_mm), (0.0, height_mm)], closed=True)
    places_mm = [number * piece_mm for number in range(1, pieces)]
    cuts = [path_of([(x, 0.0), (x, height_mm)], closed=False) for x in places_mm]
    return Drawing(length_mm, height_mm, (*cuts, outline))
