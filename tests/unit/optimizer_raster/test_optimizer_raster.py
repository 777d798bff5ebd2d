"""Raster modes: tone, geometry, determinism, and honest reports."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage import data as pictures
from skimage.filters import threshold_otsu

from kerf_core.errors import InvalidArgument
from kerf_media import Picture, decode_picture, encode_png_1bit, encode_png_gray, encode_png_rgb
from kerf_optimizer.domain.error_diffusion import FLOYD_STEINBERG, diffuse
from kerf_optimizer.domain.geometry import Raster
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.raster import (
    RasterMode,
    RasterReport,
    RasterSettings,
    prepare_raster,
    raster_from_picture,
    raster_to_png,
)
from kerf_optimizer.domain.raster.modes import fill_holes, line_art, silhouette
from kerf_optimizer.domain.raster.ordered import halftone
from kerf_optimizer.domain.raster.thresholds import otsu_threshold, threshold

GRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
TONES = (0, 1, 20, 64, 100, 128, 160, 200, 240, 254, 255)


def picture_of(gray: NDArray[np.uint8], pixels_per_metre: int | None = None) -> Picture:
    return decode_picture(encode_png_gray(gray, pixels_per_metre))


def prepared(picture: Picture, wanted: RasterSettings) -> tuple[Raster, RasterReport]:
    """For modes that make one raster."""
    made = prepare_raster(picture, wanted)
    (raster,) = made.rasters
    return raster, made.report


def floyd_steinberg(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return diffuse(gray, FLOYD_STEINBERG, serpentine=False)


def disc(radius_px: float, side_px: int = 100, background: int = 255, subject: int = 0) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side_px, :side_px] - (side_px - 1) / 2
    return np.where(np.hypot(x, y) < radius_px, subject, background).astype(np.uint8)


@given(GRAYS)
def test_otsu_splits_as_well_as_the_reference(gray: NDArray[np.uint8]) -> None:
    level = otsu_threshold(gray)
    assert 1 <= level <= 255
    if gray.min() == gray.max():
        assert level == 128
        return

    def between(cut: int) -> float:
        dark, light = gray[gray < cut].astype(float), gray[gray >= cut].astype(float)
        return float(dark.size * light.size * (dark.mean() - light.mean()) ** 2)

    reference = int(threshold_otsu(gray)) + 1
    assert between(level) >= between(reference) * (1 - 1e-9)


@given(GRAYS, st.integers(1, 255))
def test_threshold_burns_what_is_darker(gray: NDArray[np.uint8], level: int) -> None:
    assert np.array_equal(threshold(gray, level), gray < level)


@pytest.mark.parametrize("tone", TONES)
def test_dithering_keeps_the_tone(tone: int) -> None:
    gray = np.full((300, 300), tone, np.uint8)
    assert floyd_steinberg(gray).mean() == pytest.approx(1 - tone / 255, abs=0.005)
    for cell_px, angle_deg in ((6, 45), (4.3, 15), (10, 0), (2, 75), (8, -30)):
        share = halftone(gray, cell_px, angle_deg).mean()
        assert share == pytest.approx(1 - tone / 255, abs=0.02), (cell_px, angle_deg)


def test_a_ramp_keeps_its_local_tone() -> None:
    ramp = np.tile(np.linspace(0, 255, 512).astype(np.uint8), (128, 1))
    for burn in (floyd_steinberg(ramp), halftone(ramp, 6, 45)):
        columns = burn.reshape(128, 8, 64).mean(axis=(0, 2))
        wanted = 1 - ramp[0].reshape(8, 64).mean(axis=1) / 255
        assert np.abs(columns - wanted).max() < 0.015


def test_halftone_dots_are_clustered_and_rotate() -> None:
    gray = np.full((240, 240), 200, np.uint8)
    straight = halftone(gray, 12, 0)
    assert np.array_equal(straight[:, :228], straight[:, 12:])  # the grid's period
    assert not np.array_equal(straight, halftone(gray, 12, 30))
    flips = np.count_nonzero(straight[:, 1:] != straight[:, :-1])
    assert flips < np.count_nonzero(np.diff(floyd_steinberg(gray).astype(np.int8), axis=1)) / 2


@settings(max_examples=30)
@given(GRAYS, st.floats(2, 50), st.floats(-360, 360))
def test_halftone_is_monotone(gray: NDArray[np.uint8], cell_px: float, angle_deg: float) -> None:
    darker = gray // 2
    assert not (halftone(gray, cell_px, angle_deg) & ~halftone(darker, cell_px, angle_deg)).any()


@pytest.mark.parametrize("contrast", [80, 128, 255])
@pytest.mark.parametrize("width_px", [4, 8, 20, 60])
def test_lines_are_as_wide_as_asked(contrast: int, width_px: int) -> None:
    gray = np.full((200, 800), 255, np.uint8)
    gray[:, 400:] = 255 - contrast
    row = line_art(gray, width_px)[100]
    assert 0.7 * width_px <= row.sum() <= 1.3 * width_px
    assert row[395:].sum() >= 0.9 * row.sum()  # on the dark side


def test_line_art_leaves_flat_and_noisy_areas_white() -> None:
    assert not line_art(np.full((50, 50), 90, np.uint8), 4).any()
    noise = np.random.default_rng(1).normal(128, 3, (200, 200)).clip(0, 255).astype(np.uint8)
    assert line_art(noise, 4).mean() < 0.002


def test_silhouette_fills_whatever_the_background() -> None:
    ring = disc(40)
    ring[disc(25) == 0] = 255
    filled = disc(40) == 0
    for gray in (ring, 255 - ring):
        subject, level = silhouette(gray)
        assert np.array_equal(subject, filled)
        assert level > 0


def test_silhouette_follows_transparency_and_drops_specks() -> None:
    alpha = 255 - disc(30)
    subject, level = silhouette(np.full((100, 100), 77, np.uint8), alpha)
    assert np.array_equal(subject, disc(30) == 0)
    assert level == 0
    gray = disc(30)
    gray[3:5, 3:5] = 0
    assert not silhouette(gray)[0][:10, :10].any()


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_filling_holes_only_adds_and_settles(subject: NDArray[np.bool_]) -> None:
    filled = fill_holes(subject)
    assert not (subject & ~filled).any()
    assert np.array_equal(fill_holes(filled), filled)


FIRST_MODES = (
    RasterMode.THRESHOLD,
    RasterMode.FLOYD_STEINBERG,
    RasterMode.HALFTONE,
    RasterMode.LINE_ART,
    RasterMode.SILHOUETTE,
)


@pytest.mark.parametrize("mode", FIRST_MODES)
@pytest.mark.parametrize("name", ["astronaut", "coins", "camera", "chelsea"])
def test_real_pictures(name: str, mode: RasterMode) -> None:
    pixels = getattr(pictures, name)()
    picture = decode_picture(encode_png_rgb(pixels) if pixels.ndim == 3 else encode_png_gray(pixels))
    wanted = RasterSettings(mode, PhysicalSize(width_mm=40))
    raster, report = prepared(picture, wanted)
    assert raster.width_px == 400
    assert raster.width_mm == pytest.approx(40)
    assert raster.height_px == round(400 * picture.height_px / picture.width_px)
    assert (report.width_px, report.height_px) == (400, raster.height_px)
    assert report.dpi == pytest.approx(254)
    assert 0.02 < report.burnt_share < 0.8
    assert report.burnt_share == raster.burn.mean()
    assert report.warnings == ()
    if mode in (RasterMode.FLOYD_STEINBERG, RasterMode.HALFTONE):
        assert report.burnt_share == pytest.approx(1 - picture.gray().mean() / 255, abs=0.01)
    again, _ = prepared(picture, wanted)
    assert np.array_equal(again.burn, raster.burn)
    negative, _ = prepared(picture, RasterSettings(mode, wanted.size, invert=True))
    assert np.array_equal(negative.burn, ~raster.burn)


@settings(max_examples=25, deadline=None)
@given(
    burn=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=30)),
    mode=st.sampled_from([RasterMode.THRESHOLD, RasterMode.FLOYD_STEINBERG, RasterMode.HALFTONE]),
)
def test_a_finished_raster_passes_through(burn: NDArray[np.bool_], mode: RasterMode) -> None:
    picture = decode_picture(encode_png_1bit(burn, 10_000))
    raster, _ = prepared(picture, RasterSettings(mode))
    if burn.any() and not burn.all():  # Otsu needs both
        assert np.array_equal(raster.burn, burn)
    exact, _ = prepared(picture, RasterSettings(mode, PhysicalSize(width_mm=burn.shape[1] / 10), threshold=128))
    assert np.array_equal(exact.burn, burn)


def test_resampling_comes_before_dithering() -> None:
    gray = np.full((100, 100), 128, np.uint8)
    raster, _ = prepared(picture_of(gray), RasterSettings(RasterMode.FLOYD_STEINBERG, PhysicalSize(width_mm=30)))
    # A dithered picture that was enlarged afterwards would have runs of three equal pixels.
    assert np.count_nonzero(np.diff(raster.burn.astype(np.int8), axis=1)) > 0.9 * raster.burn.size


def test_warnings_are_honest() -> None:
    def warnings(gray: NDArray[np.uint8], wanted: RasterSettings) -> str:
        return " ".join(prepared(picture_of(gray), wanted)[1].warnings)

    white, black = np.full((40, 40), 255, np.uint8), np.zeros((40, 40), np.uint8)
    assert "Nothing burns" in warnings(white, RasterSettings())
    assert "Everything burns" in warnings(black, RasterSettings())
    assert "one tone" in warnings(black, RasterSettings())
    assert "enlarged 5.0 times" in warnings(disc(10, 40), RasterSettings(size=PhysicalSize(width_mm=20)))
    assert "enlarged" not in warnings(disc(10, 40), RasterSettings(size=PhysicalSize(width_mm=16)))
    assert "typical spot" in warnings(disc(10, 40), RasterSettings(size=PhysicalSize(dpi=600)))
    assert "few tones" in warnings(disc(10, 40), RasterSettings(RasterMode.HALFTONE, halftone_lpi=100))
    line = RasterSettings(RasterMode.LINE_ART)
    assert "black and white already" in warnings(disc(10, 40), line)
    assert "wide instead of 0.01 mm" in warnings(disc(10, 40), RasterSettings(RasterMode.LINE_ART, line_width_mm=0.01))


def test_line_art_of_a_small_picture_still_finds_its_lines() -> None:
    small = decode_picture(encode_png_gray(disc(40, 128, 250, 90)))
    raster, report = prepared(small, RasterSettings(RasterMode.LINE_ART, PhysicalSize(width_mm=80)))
    assert 0.02 < report.burnt_share < 0.1
    assert not raster.burn[400, 400]  # the disc is a line, not filled
    assert any("no finer detail" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (RasterSettings(threshold=0), "threshold"),
        (RasterSettings(threshold=256), "threshold"),
        (RasterSettings(RasterMode.HALFTONE, halftone_lpi=200), "halftone_lpi"),
        (RasterSettings(size=PhysicalSize(width_mm=0.001)), "size"),
    ],
)
def test_wrong_settings_name_their_field(wanted: RasterSettings, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        prepare_raster(picture_of(disc(10, 40)), wanted)
    assert caught.value.violations[0].field == field


def test_cancel_stops_the_work() -> None:
    class Stop(Exception):
        pass

    def cancel() -> None:
        raise Stop

    with pytest.raises(Stop):
        prepare_raster(picture_of(disc(10)), RasterSettings(), cancel=cancel)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)), st.integers(400, 100_000))
def test_rasters_survive_their_file(burn: NDArray[np.bool_], pixels_per_metre: int) -> None:
    raster = Raster(burn, 1000 / pixels_per_metre)
    found = raster_from_picture(decode_picture(raster_to_png(raster)))
    assert np.array_equal(found.burn, burn)
    assert found.pitch_mm == raster.pitch_mm


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (encode_png_gray(disc(10, 40, 255, 100), 10_000), "greys"),
        (encode_png_gray(disc(10, 40)), "pHYs"),
    ],
)
def test_what_is_no_raster_says_to_optimize_first(data: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as caught:
        raster_from_picture(decode_picture(data))
    assert caught.value.reason == "NOT_A_RASTER"
    assert "Optimize" in caught.value.message
