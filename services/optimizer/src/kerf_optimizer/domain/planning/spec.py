"""What a plan is asked for with, and what it answers: plain mirrors of `kerf.optimizer.v1.plan`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.presets import OperationKind, Preset

DEFAULT_MACHINE = "grbl-diode-10w"
DEFAULT_TITLE = "kerf job"
MIB = 1024 * 1024

__all__ = [
    "Bounds",
    "Check",
    "Corner",
    "Operation",
    "OperationKind",
    "OutputFormat",
    "Placement",
    "PlanLimits",
    "PlanReport",
    "PlanSpec",
    "PlannedBurn",
    "PlannedFile",
    "Preset",
    "Verdict",
]


class Corner(Enum):
    """Corner of the bed that placement counts from."""

    FRONT_LEFT = "front-left"
    FRONT_RIGHT = "front-right"
    BACK_LEFT = "back-left"
    BACK_RIGHT = "back-right"
    CENTER = "center"


class OutputFormat(Enum):
    """A file to make."""

    GCODE = "gcode"
    SVG = "svg"
    DXF = "dxf"
    PREVIEW_PNG = "preview-png"
    JOB_SHEET = "job-sheet"

    @property
    def filename(self) -> str:
        """Name of the file."""
        return _FILES[self][0]

    @property
    def media_type(self) -> str:
        """Media type of the file."""
        return _FILES[self][1]


_FILES = {
    OutputFormat.GCODE: ("plan.gcode", "text/x-gcode"),
    OutputFormat.SVG: ("plan.svg", "image/svg+xml"),
    OutputFormat.DXF: ("plan.dxf", "image/vnd.dxf"),
    OutputFormat.PREVIEW_PNG: ("plan-preview.png", "image/png"),
    OutputFormat.JOB_SHEET: ("job-sheet.html", "text/html"),
}


class Verdict(Enum):
    """Verdict of one check. A failed check is an error, never an answer."""

    PASSED = "passed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Operation:
    """One pass over one input. Zero and "" mean the preset's; `input` is an index into the sources."""

    input: int
    kind: OperationKind
    preset: str = ""
    power_percent: float = 0.0
    speed_mm_per_min: float = 0.0
    passes: int = 0
    interval_mm: float = 0.0
    layer: str = ""


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

    `placement` None = at the front left, moved in just so far that the overscan stays on the bed; `outputs` () = all.
    """

    material: str
    operations: tuple[Operation, ...]
    machine: str = ""
    placement: Placement | None = None
    outputs: tuple[OutputFormat, ...] = ()
    title: str = ""


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
    """What was planned, measured on the G-code that was read back. Bounds are machine coordinates, y to the back."""

    burn_bounds: Bounds
    motion_bounds: Bounds
    estimated_seconds: float
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
