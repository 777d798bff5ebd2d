"""What a plan is asked for with, and what it answers: plain mirrors of `kerf.optimizer.v1.plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.drawings import MadeDrawing
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.machine.timing import TimeEstimate
from kerf_optimizer.domain.machine.work import GreyMeaning
from kerf_optimizer.domain.nesting import Nesting, NestingLimits
from kerf_optimizer.domain.presets import MachineProfile, OperationKind, Preset
from kerf_optimizer.domain.rotary import Rotary

DEFAULT_MACHINE = "grbl-diode-10w"
DEFAULT_TITLE = "kerf job"
MIB = 1024 * 1024

__all__ = [
    "Bounds",
    "Check",
    "Contour",
    "Corner",
    "GreyMeaning",
    "Operation",
    "OperationKind",
    "OutputFormat",
    "PathStyle",
    "Placement",
    "PlanLimits",
    "PlanReport",
    "PlanSpec",
    "PlannedBurn",
    "PlannedFile",
    "Preset",
    "ScanStyle",
    "Verdict",
]


class Corner(Enum):
    """Corner of the bed that placement counts from."""

    FRONT_LEFT = "front-left"
    FRONT_RIGHT = "front-right"
    BACK_LEFT = "back-left"
    BACK_RIGHT = "back-right"
    CENTER = "center"


class Verdict(Enum):
    """Verdict of one check. A failed check is an error, never an answer."""

    PASSED = "passed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class ScanStyle:
    """How lines run over an engraving. `angle_deg` counter-clockwise from X; a picture takes multiples of 90.

    `cross_hatch` adds a second set of lines across the first, so everything burns twice. Not `both_ways` = all lines in
    one direction, which costs the way back but hides a loose belt.
    """

    angle_deg: float = 0.0
    cross_hatch: bool = False
    both_ways: bool = True

    @property
    def angles_deg(self) -> tuple[float, ...]:
        """The angle of each set of lines."""
        return (self.angle_deg, self.angle_deg + 90) if self.cross_hatch else (self.angle_deg,)


@dataclass(frozen=True)
class PathStyle:
    """How the head follows paths when it scores and cuts; 0 and False = line by line, as drawn.

    `arc_tolerance_mm`: arcs stand for many short lines where both are nowhere farther apart. `lead_mm`: the head runs
    straight on to a path and off it for so long, with the beam off, so that it is at its feed while it burns.
    `overcut_mm`: a closed cut goes on over its start for so long, so that the part falls out. `merge`: points in the
    middle of straight lines and edges that a layer already has are left out.
    """

    arc_tolerance_mm: float = 0.0
    lead_mm: float = 0.0
    overcut_mm: float = 0.0
    merge: bool = False


@dataclass(frozen=True)
class Contour:
    """A line around what an input burns, `distance_mm` outwards; `keep_holes` = also inside, around its holes."""

    distance_mm: float
    keep_holes: bool = False


@dataclass(frozen=True)
class Operation:
    """One pass over one input. Zero and "" mean the preset's; `input` is an index into the sources.

    `grey` None = a picture must be black and white. `drawing` is an index into the plan's drawings and goes before
    `input`.
    """

    input: int
    kind: OperationKind
    preset: str = ""
    power_percent: float = 0.0
    speed_mm_per_min: float = 0.0
    passes: int = 0
    interval_mm: float = 0.0
    layer: str = ""
    scan: ScanStyle = ScanStyle()
    grey: GreyMeaning | None = None
    drawing: int | None = None
    contour: Contour | None = None
    z_step_mm: float = 0.0


@dataclass(frozen=True)
class Placement:
    """Where the work lies on the bed.

    What is placed is the sheet: the smallest box that holds all sources that operations use, their top left corners
    together. It is mirrored, then rotated counter-clockwise, then repeated, and the box of all copies lies
    `offset_x_mm`, `offset_y_mm` inwards from the corner (from the middle: to the right and to the back).
    `margin_mm` is a free border inside the bed that the head never enters while it works. 0 copies = 1.
    """

    corner: Corner = Corner.FRONT_LEFT
    offset_x_mm: float = 0.0
    offset_y_mm: float = 0.0
    margin_mm: float = 0.0
    rotation_deg: float = 0.0
    mirror: bool = False
    copies_x: int = 0
    copies_y: int = 0
    gap_mm: float = 0.0


@dataclass(frozen=True)
class PlanSpec:
    """What to burn.

    `placement` None = at the front left, moved in just so far that the overscan stays on the bed; `outputs` () = the
    usual five. `profile` is a machine of the caller's own, which stands for `machine` and knows only `presets`; these
    go before the catalogue's. `frame_power_percent` 0 = the frame file keeps the beam off. `drawings` are what kerf
    draws itself; `nesting` None = all sources lie on one sheet, which may be repeated; otherwise each part is placed by
    itself. `rotary` stands in place of Y. `warnings` are what was found before the plan began.
    """

    material: str
    operations: tuple[Operation, ...]
    machine: str = ""
    placement: Placement | None = None
    outputs: tuple[OutputFormat, ...] = ()
    title: str = ""
    path_style: PathStyle = PathStyle()
    profile: MachineProfile | None = None
    presets: tuple[Preset, ...] = ()
    frame_power_percent: float = 0.0
    drawings: tuple[MadeDrawing, ...] = ()
    nesting: Nesting | None = None
    rotary: Rotary | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanLimits:
    """What one plan may cost. Beyond them it is refused with InvalidArgument (PLAN_TOO_LARGE)."""

    max_moves: int = 3_000_000
    """Straight moves of the head; about 130 bytes of memory each."""
    max_gcode_bytes: int = 64 * MIB
    max_paths: int = 20_000
    """Paths of all copies of one operation."""
    max_nodes: int = 1_000_000
    """Nodes of all paths of all copies of one operation."""
    max_copies: int = 1_000
    max_contour_nodes: int = 100_000
    """Nodes of a drawing that a contour goes around."""
    nesting: NestingLimits = field(default_factory=NestingLimits)
    max_scan_pixels: int = 60_000_000
    """Pixels of one picture, counted along the scan lines."""


@dataclass(frozen=True)
class PlannedFile:
    """A file. `size_px` is (width, height) of a picture, (0, 0) otherwise."""

    format: OutputFormat
    filename: str
    media_type: str
    data: bytes
    size_px: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Check:
    """One check that ran, or that says why it did not."""

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class PlanReport:
    """What was planned, measured on the G-code that was read back. Bounds are machine coordinates, y to the back.

    `estimated_seconds` is `time.expected_seconds`.
    """

    burn_bounds: Bounds
    motion_bounds: Bounds
    estimated_seconds: float
    time: TimeEstimate
    burn_length_mm: float
    travel_length_mm: float
    gcode_lines: int
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    required_settings: tuple[str, ...] = ()
    presets: tuple[Preset, ...] = ()


@dataclass(frozen=True)
class PlannedBurn:
    """Machine files in the order in which they were asked for, and the report."""

    files: list[PlannedFile]
    report: PlanReport


def too_large(text: str, field: str = "operations") -> InvalidArgument:
    """The error of a plan over one of its limits."""
    return InvalidArgument.of_field(field, f"{text}.", reason="PLAN_TOO_LARGE")
