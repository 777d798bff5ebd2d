"""Error diffusion against a reference that scatters errors pixel by pixel, and against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from kerf_optimizer.domain.error_diffusion import FLOYD_STEINBERG, TONE_ONE, ErrorFilter, diffuse, diffuse_gains
from kerf_optimizer.domain.raster.settings import ERROR_FILTERS

FILTERS = list(ERROR_FILTERS.values())
GRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
PLACES = [(0, 1), (0, 2), *((1, dx) for dx in range(-2, 3)), *((2, dx) for dx in range(-2, 3))]


def scattered(gray: NDArray[np.uint8], error_filter: ErrorFilter, *, serpentine: bool) -> NDArray[np.bool_]:
    rows, columns = gray.shape
    weights = [int(weight) for weight in error_filter.fixed_point()]
    owed = [[0] * columns for _ in range(rows + 2)]
    burn = np.zeros(gray.shape, dtype=np.bool_)
    for y in range(rows):
        step = -1 if serpentine and y % 2 else 1
        for x in range(columns)[::step]:
            tone = (255 - int(gray[y, x])) * 64 + ((owed[y][x] + 16384) >> 15)
            burn[y, x] = 2 * tone > TONE_ONE
            error = tone - TONE_ONE * int(burn[y, x])
            for (dy, dx), weight in zip(PLACES, weights, strict=True):
                if 0 <= x + dx * step < columns:
                    owed[y + dy][x + dx * step] += weight * error
    return burn


@settings(max_examples=60, deadline=None)
@given(GRAYS, st.sampled_from(FILTERS), st.booleans())
def test_the_kernel_does_what_the_definition_says(
    gray: NDArray[np.uint8], error_filter: ErrorFilter, serpentine: bool
) -> None:
    gains = np.full(4096, TONE_ONE, dtype=np.int64)
    found = diffuse_gains(gray, error_filter, gains, serpentine=serpentine, run_px=1)
    assert np.array_equal(found, scattered(gray, error_filter, serpentine=serpentine))


@given(GRAYS)
def test_floyd_steinberg_is_pillows_bit_for_bit(gray: NDArray[np.uint8]) -> None:
    pillow = np.asarray(Image.fromarray(gray).convert("1", dither=Image.Dither.FLOYDSTEINBERG))
    assert np.array_equal(diffuse(gray, FLOYD_STEINBERG, serpentine=False), ~pillow)


@pytest.mark.parametrize("error_filter", FILTERS)
def test_weights_are_as_exact_as_the_fractions(error_filter: ErrorFilter) -> None:
    shares = sum(error_filter.forward) + sum(error_filter.below) + sum(error_filter.second_below)
    assert int(error_filter.fixed_point().sum()) == shares * 32768 // error_filter.divisor


@pytest.mark.parametrize("serpentine", [False, True])
@pytest.mark.parametrize("mode", ERROR_FILTERS, ids=lambda mode: mode.value)
def test_the_tone_is_kept(mode: object, serpentine: bool) -> None:
    error_filter = ERROR_FILTERS[mode]  # type: ignore[index]  # parametrize hands out the dictionary's keys
    drops = mode.value == "atkinson"  # type: ignore[attr-defined]  # as above
    for tone in (0, 40, 100, 128, 170, 250, 255):
        share = diffuse(np.full((120, 120), tone, np.uint8), error_filter, serpentine=serpentine).mean()
        assert share == pytest.approx(1 - tone / 255, abs=0.15 if drops else 0.012), tone
    for end in (0, 255):
        burn = diffuse(np.full((9, 9), end, np.uint8), error_filter, serpentine=serpentine)
        assert burn.all() == (end == 0)
        assert burn.any() == (end == 0)


def test_serpentine_breaks_the_worms_of_light_tones() -> None:
    gray = np.full((200, 200), 240, np.uint8)
    straight, turning = (
        diffuse(gray, ERROR_FILTERS[m], serpentine=s)
        for m, s in [(list(ERROR_FILTERS)[2], False), (list(ERROR_FILTERS)[2], True)]
    )
    assert not np.array_equal(straight, turning)
    assert turning.mean() == pytest.approx(straight.mean(), abs=0.005)


@settings(max_examples=40, deadline=None)
@given(GRAYS, st.integers(1, 5), st.booleans())
def test_runs_are_no_shorter_than_asked(gray: NDArray[np.uint8], run_px: int, serpentine: bool) -> None:
    run_px = min(run_px, gray.shape[1])
    gains = np.full(4096, TONE_ONE, dtype=np.int64)
    burn = diffuse_gains(gray, FLOYD_STEINBERG, gains, serpentine=serpentine, run_px=run_px)
    for row in burn:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        assert ((edges[1::2] - edges[::2]) >= run_px).all()
