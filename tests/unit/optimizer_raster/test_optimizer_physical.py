"""Millimetres at dots per inch."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.physical import PhysicalSize, RasterLimits, fit_mm, grid_for

LIMITS = RasterLimits()


@given(
    picture_px=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    width_mm=st.floats(0, 300),
    height_mm=st.floats(0, 300),
    dpi=st.sampled_from([0, 50, 96, 127, 254, 300]),
)
def test_the_size_is_the_wanted_one_within_half_a_pixel(
    picture_px: tuple[int, int], width_mm: float, height_mm: float, dpi: float
) -> None:
    size = PhysicalSize(width_mm, height_mm, dpi)
    try:
        grid = grid_for(picture_px, size, LIMITS)
    except InvalidArgument as error:
        assert error.reason in ("SIZE_TOO_SMALL", "SIZE_TOO_LARGE")  # noqa: PT017 - one of two outcomes
        return
    assert grid.pitch_mm == pytest.approx(25.4 / (dpi or 254), rel=2e-3)
    wanted = fit_mm(*picture_px, size)
    if wanted is None:
        assert (grid.width_px, grid.height_px) == picture_px
        return
    assert abs(grid.width_px * grid.pitch_mm - wanted[0]) <= grid.pitch_mm * 0.501
    assert abs(grid.height_px * grid.pitch_mm - wanted[1]) <= grid.pitch_mm * 0.501
    for wish, side in ((width_mm, wanted[0]), (height_mm, wanted[1])):
        assert not wish or side <= wish * (1 + 1e-9)


def test_default_is_a_tenth_of_a_millimetre() -> None:
    grid = grid_for((640, 480), PhysicalSize(width_mm=80), LIMITS)
    assert (grid.width_px, grid.height_px, grid.pitch_mm) == (800, 600, 0.1)


def test_both_sides_fit_inside() -> None:
    assert fit_mm(200, 100, PhysicalSize(100, 100)) == (100, 50)
    assert fit_mm(100, 200, PhysicalSize(100, 100)) == (50, 100)


def test_pixels_that_are_no_squares() -> None:
    grid = grid_for((100, 100), PhysicalSize(width_mm=20), LIMITS, pixel_aspect=2.0)
    assert (grid.width_px, grid.height_px) == (200, 100)


@pytest.mark.parametrize(
    ("size", "field"),
    [
        (PhysicalSize(width_mm=0.001), "size"),
        (PhysicalSize(width_mm=3000, dpi=1000), "size"),
        (PhysicalSize(width_mm=-1), "size.width_mm"),
        (PhysicalSize(height_mm=math.nan), "size.height_mm"),
        (PhysicalSize(width_mm=10, dpi=9.9), "size.dpi"),
        (PhysicalSize(width_mm=10, dpi=3000), "size.dpi"),
        (PhysicalSize(width_mm=10, dpi=math.nan), "size.dpi"),
        (PhysicalSize(width_mm=10, dpi=-254), "size.dpi"),
    ],
)
def test_sizes_that_cannot_be(size: PhysicalSize, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        grid_for((100, 100), size, LIMITS)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_thin_strip_keeps_no_pixel() -> None:
    with pytest.raises(InvalidArgument) as caught:
        grid_for((10_000, 1), PhysicalSize(width_mm=10), LIMITS)
    assert caught.value.reason == "SIZE_TOO_SMALL"
