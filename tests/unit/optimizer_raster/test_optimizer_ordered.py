"""Ordered dither: tones, tiles, dot shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from kerf_optimizer.domain.raster.ordered import (
    DotShape,
    blue_noise,
    blue_noise_ranks,
    halftone,
    ordered,
    spot_levels,
)

GRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))


@pytest.mark.parametrize("side", [2, 4, 8])
def test_bayer_is_right_to_half_a_step(side: int) -> None:
    for tone in range(256):
        share = ordered(np.full((16, 16), tone, np.uint8), side).mean()
        assert abs(share - (1 - tone / 255)) <= 0.5 / side**2 + 1 / 255


def test_bayer_spreads_its_dots() -> None:
    first = ordered(np.full((8, 8), 255 - 5, np.uint8), 8)
    second = ordered(np.full((8, 8), 255 - 9, np.uint8), 8)
    assert (first.sum(), second.sum()) == (1, 2)
    (a, b), (c, d) = np.argwhere(second)
    assert abs(a - c) % 8 == 4
    assert abs(b - d) % 8 == 4


def test_the_blue_noise_tile_has_every_rank_once_and_no_low_frequencies() -> None:
    ranks = blue_noise_ranks()
    assert np.array_equal(np.sort(ranks, axis=None), np.arange(ranks.size))
    y, x = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij")
    radius = np.hypot(x, y)
    for share in (0.1, 0.3, 0.5, 0.8):
        power = np.abs(np.fft.fft2((ranks < share * ranks.size) - share)) ** 2
        low, high = power[(radius > 0) & (radius < 0.1)].mean(), power[radius > 0.35].mean()
        assert low < 0.03 * high, share


def test_blue_noise_keeps_the_tone_and_repeats_without_a_seam() -> None:
    for tone in range(0, 256, 5):
        assert blue_noise(np.full((64, 64), tone, np.uint8)).mean() == pytest.approx(1 - tone / 255, abs=0.0005)
    burn = blue_noise(np.full((128, 192), 99, np.uint8))
    assert np.array_equal(burn, np.tile(burn[:64, :64], (2, 3)))


@settings(max_examples=30, deadline=None)
@given(GRAYS, st.floats(2, 40), st.floats(-360, 360), st.sampled_from(DotShape))
def test_the_screen_is_what_its_formula_says(
    gray: NDArray[np.uint8], cell_px: float, angle_deg: float, shape: DotShape
) -> None:
    turn, angle = 1 << 32, math.radians(angle_deg)
    along, aside = round(math.cos(angle) / cell_px * turn), round(math.sin(angle) / cell_px * turn)
    rows, columns = (np.arange(n, dtype=np.int64) for n in gray.shape)
    u = (columns * along + rows[:, None] * aside + turn * 137 // 1000) % turn >> 24
    v = (rows[:, None] * along - columns * aside + turn * 311 // 1000) % turn >> 24
    assert np.array_equal(halftone(gray, cell_px, angle_deg, shape), 255 - gray > spot_levels(shape)[v, u])


@pytest.mark.parametrize("shape", DotShape)
def test_every_shape_keeps_the_tone(shape: DotShape) -> None:
    for tone in range(0, 256, 15):
        share = halftone(np.full((240, 240), tone, np.uint8), 9.3, 30, shape).mean()
        assert share == pytest.approx(1 - tone / 255, abs=0.012), tone


def test_shapes_look_like_their_names() -> None:
    def dot(shape: DotShape, share: float) -> NDArray[np.bool_]:
        return np.asarray(spot_levels(shape) < share * 255)

    assert dot(DotShape.LINE, 0.3).all(axis=1).any()  # a line crosses the whole cell
    assert not dot(DotShape.ROUND, 0.3).all(axis=1).any()
    ellipse = dot(DotShape.ELLIPSE, 0.2)
    assert max(ellipse.any(axis=0).sum(), ellipse.any(axis=1).sum()) > 1.2 * min(
        ellipse.any(axis=0).sum(), ellipse.any(axis=1).sum()
    )
    cross, diamond = dot(DotShape.CROSS, 0.2), dot(DotShape.DIAMOND, 0.2)
    assert cross.any(axis=0).sum() > 1.3 * diamond.any(axis=0).sum()  # longer arms for the same area
    middle = np.s_[120:136, 120:136]
    assert all(dot(shape, 0.2)[middle].all() for shape in DotShape)
