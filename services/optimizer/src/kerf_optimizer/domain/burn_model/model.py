"""Spot, dose and response: how dark a pixel turns for every pattern of pixels that burn around it.

A pixel that burns is a pulse of one pixel's length along the scan (x) of a Gaussian spot. Doses add up, the material
answers with `1 − exp(−saturation · dose)`: a first pulse darkens more than a second one in the same place. A spot of up
to two pixels reaches no further than the next pixel, so that a pixel's tone depends on its 3 × 3 neighbourhood alone
and one table has all 512 (the printer model of Pappas and Neuhoff 1991, with a laser's spot in place of a round dot).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.error_diffusion import TONE_ONE

MAX_SPOT_PX = 2.0
"""The widest spot, in pixels, whose dose ends with the next pixel."""
MAX_SATURATION = 10.0
_SAMPLES = 8
"""Samples along one side of a pixel."""
_ROUND_UP_AT = 1e-6
_SIGMAS_PER_DIAMETER = 4.0
"""A laser's diameter is taken where 1/e² of the intensity is left (D4σ, ISO 11146)."""


@dataclass(frozen=True)
class Spot:
    """The spot's diameters along (x) and across (y) the scan lines, 1/e² of the intensity, in millimetres."""

    x_mm: float
    y_mm: float

    def __post_init__(self) -> None:
        for name, size_mm in (("spot.x_mm", self.x_mm), ("spot.y_mm", self.y_mm)):
            if not (math.isfinite(size_mm) and size_mm > 0):
                raise InvalidArgument.of_field(name, f"{size_mm} is no diameter; give millimetres above 0.")


@dataclass(frozen=True)
class BurnModel:
    """A spot on a raster's pitch and a material. `saturation` 0 = linear: no dot gain.

    Raises InvalidArgument: the spot is wider than `MAX_SPOT_PX` pixels (SPOT_TOO_WIDE), saturation out of range.
    """

    spot: Spot
    pitch_mm: float
    saturation: float

    def __post_init__(self) -> None:
        if not 0 <= self.saturation <= MAX_SATURATION:
            raise InvalidArgument.of_field("burn.saturation", f"{self.saturation} is outside 0–{MAX_SATURATION:g}.")
        widest_px = max(self.spot_x_px, self.spot_y_px)
        if widest_px > MAX_SPOT_PX + _ROUND_UP_AT:
            limit_dpi = 25.4 * MAX_SPOT_PX / max(self.spot.x_mm, self.spot.y_mm)
            raise InvalidArgument.of_field(
                "burn.spot",
                f"the spot is {widest_px:.3g} times as wide as the pitch of {self.pitch_mm:.3g} mm; at most "
                f"{MAX_SPOT_PX:g}. Ask for at most {math.floor(limit_dpi)} dots per inch: finer lines burn twice.",
                "SPOT_TOO_WIDE",
            )

    @property
    def spot_x_px(self) -> float:
        """Diameter along the scan, in pixels."""
        return self.spot.x_mm / self.pitch_mm

    @property
    def spot_y_px(self) -> float:
        """Diameter across the scan, in pixels."""
        return self.spot.y_mm / self.pitch_mm

    @property
    def run_px(self) -> int:
        """The fewest pixels in a row that are as long as the spot."""
        return max(1, math.ceil(self.spot_x_px - _ROUND_UP_AT))

    @cached_property
    def tones(self) -> NDArray[np.int64]:
        """Mean tone of a pixel for each pattern, int64 (512,), 0 = untouched, TONE_ONE = all nine burn.

        Bit 3·row + column of a pattern is set if the pixel of that row and column of the 3 × 3 neighbourhood burns.
        """
        along = self._pulse(self.spot_x_px, 0.5)
        across = self._pulse(self.spot_y_px, 0.5 / _SAMPLES)
        dose = np.outer(across, along)
        dose *= dose.size / 9 / dose.sum()  # so that full burn has a mean dose of 1
        # A pulse in row 0 of the neighbourhood is above the pixel: the pixel sees the lower third of its dose.
        thirds = dose.reshape(3, _SAMPLES, 3, _SAMPLES)[::-1, :, ::-1, :]
        seen = thirds.transpose(0, 2, 1, 3).reshape(9, -1)
        bits = (np.arange(512)[:, None] >> np.arange(9)) & 1
        doses = bits.astype(np.float64) @ seen
        response = -np.expm1(-self.saturation * doses) if self.saturation else doses
        means = response.mean(axis=1)
        return np.asarray(np.rint(means / means[-1] * TONE_ONE), dtype=np.int64)

    @cached_property
    def gains(self) -> NDArray[np.int64]:
        """What burning a pixel adds to the tone of all pixels, knowing only what was scanned before; int64 (4096,).

        Bits 0–4 are the pixels of the row before last from two ahead to two behind, bits 5–9 those of the last row,
        bits 10 and 11 the pixels one and two behind. Added up over a scan, gains are the tone of the whole raster.
        """
        codes = np.arange(1 << 12)
        grid = np.zeros((len(codes), 5, 5), dtype=np.int64)
        for bit in range(12):
            row, behind = divmod(bit, 5)
            grid[:, row, 4 - behind if row < 2 else 1 - behind] = codes >> bit & 1
        without = self._total(grid)
        grid[:, 2, 2] = 1
        return self._total(grid) - without

    def _total(self, grid: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tone of the nine middle pixels together, for each 5 × 5 grid of bits."""
        total = np.zeros(len(grid), dtype=np.int64)
        for row in range(3):
            for column in range(3):
                near = grid[:, row : row + 3, column : column + 3].reshape(-1, 9)
                total += self.tones[near @ (1 << np.arange(9))]
        return total

    @staticmethod
    def _pulse(diameter_px: float, half_length_px: float) -> NDArray[np.float64]:
        """A Gaussian smeared over ± `half_length_px`, at the samples of three pixels: float64 (3 · _SAMPLES,)."""
        sigma = diameter_px / _SIGMAS_PER_DIAMETER * math.sqrt(2)
        offsets = (np.arange(3 * _SAMPLES) + 0.5) / _SAMPLES - 1.5
        return np.array(
            [math.erf((x + half_length_px) / sigma) - math.erf((x - half_length_px) / sigma) for x in offsets]
        )


def patterns(burn: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """The pattern around each pixel, uint16 (rows + 2, columns + 2): with a border of pixels beside the picture."""
    found = np.zeros((burn.shape[0] + 2, burn.shape[1] + 2), dtype=np.uint16)
    _note_neighbours(np.ascontiguousarray(burn), found)
    return found


@compiled("void(Array(boolean, 2, 'C', readonly=True), uint16[:, ::1])")
def _note_neighbours(burn: NDArray[np.bool_], found: NDArray[np.uint16]) -> None:
    """Set the bits of all patterns; row by row, in loops that vectorise."""
    rows, columns = burn.shape
    for y in range(rows + 2):
        for row in range(3):
            # The pixel at (y, x) is in this place of the neighbourhood of (y + 1 − row, x + 1 − column).
            if not 0 <= y - 2 + row < rows:
                continue
            for column in range(3):
                shift = np.uint16(3 * row + column)
                for x in range(columns):
                    found[y, x + 2 - column] |= np.uint16(burn[y - 2 + row, x]) << shift
