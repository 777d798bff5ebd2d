"""Error diffusion: each pixel burns or not, and what that gets wrong is passed on to pixels that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kerf_optimizer.domain.compiled import compiled

TONE_ONE = 255 << 6
"""The tone of full burn; a grey level is 64 of it."""
_SHARE_ONE = 1 << 15
"""A share of 1 in the weights' fixed point."""
_PLAIN_GAINS = np.full(1 << 12, TONE_ONE, dtype=np.int64)
"""Without a model of the burn a burning pixel is itself dark and nothing else."""


@dataclass(frozen=True)
class ErrorFilter:
    """Who gets an error, in `divisor`-ths of it, for a scan from left to right.

    `forward` are the next two pixels of the row, `below` and `second_below` the five pixels from two to the left to
    two to the right in the next rows. What the sum lacks to `divisor` is dropped.
    """

    divisor: int
    forward: tuple[int, int]
    below: tuple[int, int, int, int, int]
    second_below: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)

    def fixed_point(self) -> NDArray[np.int64]:
        """The twelve weights as whole 32768-ths, int64: forward, below, second below.

        What rounding loses goes to the pixel ahead, so that the sum is as exact as the fractions are.
        """
        shares = np.array((*self.forward, *self.below, *self.second_below), dtype=np.int64)
        weights = shares * _SHARE_ONE // self.divisor
        weights[0] += int(shares.sum()) * _SHARE_ONE // self.divisor - int(weights.sum())
        return weights


FLOYD_STEINBERG = ErrorFilter(16, (7, 0), (0, 3, 5, 1, 0))
"""Floyd and Steinberg 1976."""
ATKINSON = ErrorFilter(8, (1, 1), (0, 1, 1, 1, 0), (0, 0, 1, 0, 0))
"""Atkinson (Apple, about 1984): drops a quarter of the error, so light tones turn white and dark ones black."""
JARVIS_JUDICE_NINKE = ErrorFilter(48, (7, 5), (3, 5, 7, 5, 3), (1, 3, 5, 3, 1))
"""Jarvis, Judice and Ninke 1976."""
STUCKI = ErrorFilter(42, (8, 4), (2, 4, 8, 4, 2), (1, 2, 4, 2, 1))
"""Stucki 1981."""
BURKES = ErrorFilter(32, (8, 4), (2, 4, 8, 4, 2))
"""Burkes 1988."""
SIERRA = ErrorFilter(32, (5, 3), (2, 4, 5, 4, 2), (0, 2, 3, 2, 0))
"""Sierra 1989, three rows."""
SIERRA_TWO_ROW = ErrorFilter(16, (4, 3), (1, 2, 3, 2, 1))
"""Sierra 1990, two rows."""
SIERRA_LITE = ErrorFilter(4, (2, 0), (0, 1, 1, 0, 0))
"""Sierra 1990, the light one."""


def diffuse(gray: NDArray[np.uint8], error_filter: ErrorFilter, *, serpentine: bool) -> NDArray[np.bool_]:
    """Dither uint8 grey (0 = black) by error diffusion; bool of the same shape, True = burn.

    `serpentine` scans every second row from right to left with the filter mirrored, which breaks up the worms that a
    single direction draws. Errors that would leave the picture are dropped. Floyd and Steinberg's filter from left to
    right is Pillow's own code, as it has been from the first version on: its clipping differs in single pixels.
    """
    if error_filter == FLOYD_STEINBERG and not serpentine:
        return ~np.asarray(Image.fromarray(gray).convert("1", dither=Image.Dither.FLOYDSTEINBERG))
    return diffuse_gains(gray, error_filter, _PLAIN_GAINS, serpentine=serpentine, run_px=1)


def diffuse_gains(
    gray: NDArray[np.uint8], error_filter: ErrorFilter, gains: NDArray[np.int64], *, serpentine: bool, run_px: int
) -> NDArray[np.bool_]:
    """Error diffusion where a burning pixel adds `gains[c]` to the tone, c = what burns around it already.

    `gains` is int64 (4096,) in TONE_ONE; bits 0–4 of c are the row before last from two pixels ahead to two behind in
    the direction of the scan, bits 5–9 the last row, bits 10 and 11 the pixels one and two behind. A run along a row
    that began is at least `run_px` (≤ columns) long. All in integers.
    """
    burn = np.empty(gray.shape, dtype=np.bool_)
    _diffuse(np.ascontiguousarray(gray), error_filter.fixed_point(), gains, serpentine, run_px, burn)
    return burn


@compiled("void(int64[::1], int64[::1], int64[::1], int64)")
def _gather(owed: NDArray[np.int64], weights: NDArray[np.int64], errors: NDArray[np.int64], step: int) -> None:
    """Add to `owed` what pixels get from a row above that was scanned in the direction `step`: loops that vectorise."""
    for k in range(5):
        weight, offset = weights[k], 2 - step * (k - 2)
        if weight != 0:
            for x in range(len(owed)):
                owed[x] += weight * errors[x + offset]


@compiled("void(Array(uint8, 2, 'C', readonly=True), int64[::1], int64[::1], boolean, int64, boolean[:, ::1])")
def _diffuse(
    gray: NDArray[np.uint8],
    weights: NDArray[np.int64],
    gains: NDArray[np.int64],
    serpentine: bool,
    run_px: int,
    burn: NDArray[np.bool_],
) -> None:
    """Errors are clipped at twice full burn: only filters with negative weights ever come there."""
    rows, columns = gray.shape
    most = 2 * TONE_ONE
    # Two columns of nothing on each side; the three rows' roles go round.
    errors = np.zeros((3, columns + 4), dtype=np.int64)
    bits = np.zeros((3, columns + 4), dtype=np.int64)
    owed = np.empty(columns, dtype=np.int64)
    for y in range(rows):
        row, above, second = y % 3, (y + 2) % 3, (y + 1) % 3
        step = -1 if serpentine and y % 2 == 1 else 1
        owed[:] = 1 << 14
        _gather(owed, weights[2:7], errors[above], -step if serpentine else step)
        _gather(owed, weights[7:12], errors[second], step)
        start = 0 if step > 0 else columns - 1
        far = bits[second, start + 2] << 1 | bits[second, start + 2 + step]
        near = bits[above, start + 2] << 1 | bits[above, start + 2 + step]
        behind, run = 0, 0
        last, before_last = np.int64(0), np.int64(0)
        for i in range(columns):
            x = start + step * i
            far = (far << 1 | bits[second, x + 2 + 2 * step]) & 31
            near = (near << 1 | bits[above, x + 2 + 2 * step]) & 31
            gain = gains[far | near << 5 | behind << 10]
            owes = owed[x] + weights[0] * last + weights[1] * before_last
            value = ((255 - np.int64(gray[y, x])) << 6) + (owes >> 15)
            started, fits = 0 < run < run_px, run > 0 or columns - i >= run_px
            dark = started or (fits and 2 * value > gain)
            run = run + 1 if dark else 0
            behind = (behind << 1 | dark) & 3
            burn[y, x] = dark
            before_last = last
            last = np.int64(min(max(int(value - gain if dark else value), -most), most))
            errors[row, x + 2] = last
            bits[row, x + 2] = dark
