"""Measurements of pictures, against pictures whose measures are known."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from kerf_captioner.domain.analysis import Analysis, analyse, laplacian_variance, luminance_statistics, perceptual_hash
from kerf_captioner.domain.colors import color_name, dominant_colors, srgb_to_lab
from kerf_captioner.domain.css_colors import CSS_COLORS
from kerf_core.errors import WorkCancelled
from kerf_media import decode_picture

BLACK_WHITE = np.repeat(np.array([[0, 255], [255, 0]], np.uint8)[:, :, None], 3, axis=2)
levels = st.integers(0, 255)


def nothing() -> None:
    """Does not stop."""


def flat(color: tuple[int, int, int], width_px: int = 30, height_px: int = 20) -> NDArray[np.uint8]:
    return np.full((height_px, width_px, 3), color, np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def measured(pixels: NDArray[np.uint8], colors: int = 0) -> Analysis:
    return analyse(decode_picture(encoded(pixels)), colors, nothing)


def differing_bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def scene(seed: int, side_px: int = 160) -> NDArray[np.uint8]:
    """A picture with large and small shapes."""
    rng = np.random.default_rng(seed)
    canvas = np.full((side_px, side_px, 3), 255, np.uint8)
    for _ in range(9):
        centre = tuple(int(value) for value in rng.integers(0, side_px, 2))
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.circle(canvas, centre, int(rng.integers(8, side_px // 3)), color, -1)
    return canvas


def test_a_red_picture_is_red() -> None:
    found = measured(flat((255, 0, 0)))
    assert [(color.hex, color.name, color.share) for color in found.colors] == [("#ff0000", "red", 1.0)]
    assert (found.width_px, found.height_px) == (30, 20)
    assert found.brightness == pytest.approx(0.2126, abs=1e-6)
    assert found.contrast == pytest.approx(0, abs=1e-4)
    assert found.sharpness == 0
    assert found.transparent_share == 0


def test_black_and_white_halves_have_the_greatest_contrast() -> None:
    found = measured(np.tile(BLACK_WHITE, (20, 20, 1)))
    assert found.brightness == pytest.approx(0.5)
    assert found.contrast == pytest.approx(0.5)
    assert {color.name: color.share for color in found.colors} == {"black": 0.5, "white": 0.5}


def test_light_is_measured_linearly() -> None:
    brightness, _ = luminance_statistics(flat((128, 128, 128)), nothing)
    assert brightness == pytest.approx(0.2158605, abs=1e-5)  # not 0.5: sRGB is no linear scale


def test_transparent_pixels_have_no_colour() -> None:
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[:, :6] = (0, 0, 255, 255)
    pixels[:, 6:8] = (0, 255, 0, 127)
    found = measured(pixels)
    assert [(color.name, color.share) for color in found.colors] == [("blue", 0.6)]
    assert found.transparent_share == pytest.approx(0.4)
    assert measured(np.zeros((5, 5, 4), np.uint8)).colors == []


@given(levels, levels, levels)
def test_a_flat_colour_keeps_its_value(red: int, green: int, blue: int) -> None:
    (found,) = dominant_colors(flat((red, green, blue), 3, 3), None, 5, nothing)
    assert found.hex == f"#{red:02x}{green:02x}{blue:02x}"
    assert found.share == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_shares_fall_and_cover_the_picture(seed: int, colors: int) -> None:
    found = dominant_colors(scene(seed, 48), None, colors, nothing)
    shares = [color.share for color in found]
    assert 1 <= len(found) <= colors
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)
    assert all(color.name in CSS_COLORS for color in found)


def test_three_stripes_are_told_apart() -> None:
    stripes = np.concatenate([flat((0, 0, 128), 30, 30), flat((255, 165, 0), 30, 20), flat((255, 255, 255), 30, 10)])
    noise = np.random.default_rng(0).integers(-3, 4, stripes.shape)
    found = measured(np.clip(stripes + noise, 0, 255).astype(np.uint8))
    assert [color.name for color in found.colors] == ["navy", "orange", "white"]
    assert [color.share for color in found.colors] == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=0.01)


def test_every_css_colour_bears_its_own_name() -> None:
    assert len(CSS_COLORS) == len(set(CSS_COLORS.values())) == 139
    assert all(color_name(value) == name for name, value in CSS_COLORS.items())


def test_lab_agrees_with_opencv() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (500, 3)).astype(np.float64)
    theirs = cv2.cvtColor((rgb[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    assert np.abs(srgb_to_lab(rgb) - theirs).max() < 0.5


@pytest.mark.parametrize("seed", range(12))
def test_a_hash_stays_under_resizing_and_jpeg(seed: int) -> None:
    pixels = scene(seed)
    reference = measured(pixels).perceptual_hash
    shrunk = np.asarray(cv2.resize(pixels, (97, 97), interpolation=cv2.INTER_AREA), np.uint8)
    enlarged = np.asarray(cv2.resize(pixels, (400, 400), interpolation=cv2.INTER_CUBIC), np.uint8)
    jpeg = analyse(decode_picture(encoded(pixels, "JPEG", quality=50)), 0, nothing)
    for found in (measured(shrunk).perceptual_hash, measured(enlarged).perceptual_hash, jpeg.perceptual_hash):
        assert len(found) == 16
        assert differing_bits(reference, found) <= 6


def test_hashes_of_other_pictures_differ() -> None:
    hashes = [measured(scene(seed)).perceptual_hash for seed in range(12)]
    distances = [differing_bits(one, other) for index, one in enumerate(hashes) for other in hashes[:index]]
    assert min(distances) > 10


@given(levels)
def test_a_flat_picture_has_a_flat_hash(level: int) -> None:
    gray = np.full((40, 50), level, np.uint8)
    assert perceptual_hash(gray) in {"0000000000000000", "8000000000000000"}


def test_blur_lowers_sharpness() -> None:
    gray = scene(3)[:, :, 0]
    blurred = np.asarray(cv2.GaussianBlur(gray, (0, 0), 2), np.uint8)
    assert laplacian_variance(gray) > 4 * laplacian_variance(blurred) > 0


def test_tiny_pictures_are_measured() -> None:
    found = measured(flat((1, 2, 3), 1, 1))
    assert (found.width_px, found.height_px, found.colors[0].hex) == (1, 1, "#010203")


def test_measuring_stops_when_told() -> None:
    def stop() -> None:
        raise WorkCancelled("CANCELLED", "the test says so")

    with pytest.raises(WorkCancelled):
        analyse(decode_picture(encoded(scene(0))), 5, stop)
