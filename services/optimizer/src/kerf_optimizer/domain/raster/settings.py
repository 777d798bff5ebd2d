"""What can be asked of a raster, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from kerf_optimizer.domain.error_diffusion import (
    ATKINSON,
    BURKES,
    FLOYD_STEINBERG,
    JARVIS_JUDICE_NINKE,
    SIERRA,
    SIERRA_LITE,
    SIERRA_TWO_ROW,
    STUCKI,
)
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.raster.ordered import DotShape
from kerf_optimizer.domain.raster.tone import ToneAdjustments

DEFAULT_SATURATION = 2.0


class RasterMode(Enum):
    """How grey becomes burnt and not burnt."""

    THRESHOLD = "threshold"
    ADAPTIVE_THRESHOLD = "adaptive-threshold"
    BAND_THRESHOLD = "band-threshold"
    FLOYD_STEINBERG = "floyd-steinberg"
    ATKINSON = "atkinson"
    JARVIS_JUDICE_NINKE = "jarvis-judice-ninke"
    STUCKI = "stucki"
    BURKES = "burkes"
    SIERRA = "sierra"
    SIERRA_TWO_ROW = "sierra-two-row"
    SIERRA_LITE = "sierra-lite"
    ORDERED = "ordered"
    BLUE_NOISE = "blue-noise"
    HALFTONE = "halftone"
    NEWSPRINT = "newsprint"
    LINE_ART = "line-art"
    SKETCH = "sketch"
    SILHOUETTE = "silhouette"
    POWER_MAP = "power-map"
    RELIEF = "relief"
    PASS_THROUGH = "pass-through"  # noqa: S105 - a mode's name, no password
    BURN_SIMULATED = "burn-simulated"
    AUTO = "auto"


ERROR_FILTERS = {
    RasterMode.FLOYD_STEINBERG: FLOYD_STEINBERG,
    RasterMode.ATKINSON: ATKINSON,
    RasterMode.JARVIS_JUDICE_NINKE: JARVIS_JUDICE_NINKE,
    RasterMode.STUCKI: STUCKI,
    RasterMode.BURKES: BURKES,
    RasterMode.SIERRA: SIERRA,
    RasterMode.SIERRA_TWO_ROW: SIERRA_TWO_ROW,
    RasterMode.SIERRA_LITE: SIERRA_LITE,
}


@dataclass(frozen=True)
class PowerRange:
    """Power for POWER_MAP: `min_percent` at the lightest grey that burns, `max_percent` at black, `levels` powers."""

    min_percent: float = 0.0
    max_percent: float = 100.0
    levels: int = 256


@dataclass(frozen=True)
class BurnSettings:
    """The spot's diameters (0 = the typical spot; `spot_y_mm` 0 = round), the material's saturation, 0 = linear.

    `shortest_run_mm` None = as long as the spot, 0 = any.
    """

    spot_x_mm: float = 0.0
    spot_y_mm: float = 0.0
    saturation: float = DEFAULT_SATURATION
    shortest_run_mm: float | None = None


@dataclass(frozen=True)
class RasterSettings:
    """What to make.

    `threshold` 1–255 for THRESHOLD and BAND_THRESHOLD (from `threshold_low` on), None = Otsu's, and 255 for the band.
    `halftone_lpi` 0 = dpi / 6, for NEWSPRINT dpi / 10; `halftone_angle_deg` None = 45. `line_width_mm` 0 = 0.4, for
    LINE_ART and SKETCH. `adaptive_window_mm` 0 = 3. `invert` burns exactly what would not burn without it.
    `burn` None = no simulation, except where mode or preview need one.
    """

    mode: RasterMode = RasterMode.THRESHOLD
    size: PhysicalSize = field(default_factory=PhysicalSize)
    threshold: int | None = None
    halftone_lpi: float = 0.0
    halftone_angle_deg: float | None = None
    line_width_mm: float = 0.0
    invert: bool = False
    tone: ToneAdjustments = field(default_factory=ToneAdjustments)
    serpentine: bool = False
    ordered_size: int = 8
    dot_shape: DotShape = DotShape.ROUND
    threshold_low: int = 0
    adaptive_window_mm: float = 0.0
    adaptive_offset: int = 10
    relief_layers: int = 8
    power: PowerRange = field(default_factory=PowerRange)
    burn: BurnSettings | None = None
    burn_preview: bool = False


@dataclass(frozen=True)
class BurnReport:
    """What the simulated burn makes of a raster; tones are mean darknesses, 0–1. `shortest_run_px` 0 = any run."""

    spot_x_px: float
    spot_y_px: float
    saturation: float
    shortest_run_px: int
    wanted_tone: float
    burnt_tone: float


@dataclass(frozen=True)
class RasterReport:
    """What a raster is, measured on it. `threshold` is 0 where no level was used, `layers` for a power map."""

    mode: RasterMode
    width_px: int
    height_px: int
    width_mm: float
    height_mm: float
    dpi: float
    burnt_share: float
    threshold: int
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    adjustments: tuple[str, ...]
    resampled: bool
    layers: int
    transparent_share: float
    mean_power: float
    burn: BurnReport | None
