"""All raster modes: what holds for each of them, what is refused, what AUTO chooses."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from skimage import data as pictures

from kerf_core.errors import InvalidArgument
from kerf_media import Picture, decode_picture, encode_png_1bit, encode_png_gray, encode_png_rgb
from kerf_optimizer.domain.error_diffusion import FLOYD_STEINBERG, diffuse
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.raster import (
    BurnSettings,
    DotShape,
    PowerRange,
    Prepared,
    RasterMode,
    RasterSettings,
    ToneAdjustments,
    prepare_raster,
)
from kerf_optimizer.domain.raster.burning import power_map, relief
from kerf_optimizer.domain.raster.settings import ERROR_FILTERS
from kerf_optimizer.domain.raster.thresholds import adaptive_threshold, band_threshold

GRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
MADE = [mode for mode in RasterMode if mode not in (RasterMode.AUTO, RasterMode.PASS_THROUGH)]
KEEP_TONES = [
    *ERROR_FILTERS,
    RasterMode.ORDERED,
    RasterMode.BLUE_NOISE,
    RasterMode.HALFTONE,
    RasterMode.POWER_MAP,
    RasterMode.RELIEF,
]


def picture_of(gray: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> Picture:
    if alpha is None:
        return decode_picture(encode_png_gray(gray, 10_000))
    out = io.BytesIO()
    Image.merge("LA", (Image.fromarray(gray), Image.fromarray(alpha))).save(out, "PNG")
    return decode_picture(out.getvalue())


def all_burn(made: Prepared) -> list[NDArray[np.bool_]]:
    return [raster.burn for raster in made.rasters]


@settings(max_examples=80, deadline=None)
@given(GRAYS, st.sampled_from(MADE), st.booleans(), st.booleans())
def test_no_mode_changes_the_size_and_inverting_is_exact(
    gray: NDArray[np.uint8], mode: RasterMode, serpentine: bool, negative: bool
) -> None:
    wanted = RasterSettings(mode, serpentine=serpentine, tone=ToneAdjustments(negative=negative))
    made = prepare_raster(picture_of(gray), wanted)
    assert (made.report.height_px, made.report.width_px) == gray.shape
    assert made.report.mode is mode
    assert not made.report.resampled
    inverted = prepare_raster(picture_of(gray), replace(wanted, invert=True))
    if mode is RasterMode.POWER_MAP:
        assert made.power is not None
        assert inverted.power is not None
        assert made.power.shape == gray.shape
        assert np.array_equal(inverted.power, 255 - made.power)
        return
    assert all(burn.shape == gray.shape for burn in all_burn(made))
    for burn, negative_burn in zip(all_burn(made), reversed(all_burn(inverted)), strict=True):
        assert np.array_equal(negative_burn, ~burn)
    assert made.report.burnt_share == all_burn(made)[0].mean()
    assert made.report.layers == len(made.rasters)


@pytest.mark.parametrize("mode", KEEP_TONES)
def test_dithers_keep_the_mean_tone_of_a_picture(mode: RasterMode) -> None:
    gray = np.asarray(Image.fromarray(pictures.camera()).resize((256, 256)))
    report = prepare_raster(picture_of(gray), RasterSettings(mode)).report
    slack = 0.04 if mode is RasterMode.ATKINSON else 0.01
    assert report.mean_power == pytest.approx(1 - gray.mean() / 255, abs=slack)


@pytest.mark.parametrize("grey", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 1), (20, 20)])
@pytest.mark.parametrize("mode", MADE)
def test_white_and_black_whatever_the_size(mode: RasterMode, shape: tuple[int, int], grey: int) -> None:
    made = prepare_raster(picture_of(np.full(shape, grey, np.uint8)), RasterSettings(mode))
    assert any("one tone" in warning for warning in made.report.warnings)
    if grey == 255:
        assert made.report.mean_power == 0
        assert any("Nothing burns" in warning for warning in made.report.warnings)
    elif mode in KEEP_TONES:
        assert made.report.mean_power == 1


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)), st.data())
def test_black_and_white_passes_through_what_keeps_tones(burn: NDArray[np.bool_], data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from([m for m in KEEP_TONES if m is not RasterMode.POWER_MAP]))
    made = prepare_raster(decode_picture(encode_png_1bit(burn, 10_000)), RasterSettings(mode))
    assert all(np.array_equal(found, burn) for found in all_burn(made))


def test_pass_through_never_resamples() -> None:
    dots = diffuse(np.full((60, 80), 128, np.uint8), FLOYD_STEINBERG, serpentine=False)
    picture = decode_picture(encode_png_1bit(dots, 12_345))
    for size, pixels_per_metre in (
        (PhysicalSize(), 12_345),
        (PhysicalSize(dpi=254), 10_000),
        (PhysicalSize(width_mm=40), 2_000),
        (PhysicalSize(width_mm=40, height_mm=10), 6_000),
        (PhysicalSize(width_mm=8, dpi=254), 10_000),
    ):
        made = prepare_raster(picture, RasterSettings(RasterMode.PASS_THROUGH, size))
        assert np.array_equal(all_burn(made)[0], dots)
        assert made.grid.pixels_per_metre == pixels_per_metre
        assert not made.report.resampled
    stretched = Image.fromarray(~dots)
    out = io.BytesIO()
    stretched.save(out, "PNG", dpi=(254, 127))
    for wrong, size, field in (
        (picture, PhysicalSize(width_mm=10, dpi=254), "size.width_mm"),
        (picture, PhysicalSize(width_mm=0.5), "size.dpi"),
        (picture, PhysicalSize(width_mm=math.nan), "size.width_mm"),
        (decode_picture(out.getvalue()), PhysicalSize(), "mode"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            prepare_raster(wrong, RasterSettings(RasterMode.PASS_THROUGH, size))
        assert [violation.field for violation in caught.value.violations] == [field]
    with pytest.raises(InvalidArgument) as caught:
        prepare_raster(picture_of(np.full((9, 9), 77, np.uint8)), RasterSettings(RasterMode.PASS_THROUGH))
    assert caught.value.reason == "NOT_BLACK_AND_WHITE"


def test_thresholds_by_surroundings_and_by_band() -> None:
    ramp = np.tile(np.linspace(60, 255, 200).astype(np.uint8), (100, 1))
    drawn = ramp.copy()
    drawn[50:52, 10:190] = ramp[50:52, 10:190] // 2
    assert np.array_equal(adaptive_threshold(drawn, 31, 10), drawn != ramp)
    assert np.array_equal(band_threshold(ramp, 100, 120), (ramp >= 100) & (ramp < 120))
    band = RasterSettings(RasterMode.BAND_THRESHOLD, threshold=120, threshold_low=100)
    made = prepare_raster(picture_of(ramp), band)
    assert np.array_equal(all_burn(made)[0], (ramp >= 100) & (ramp < 120))
    assert made.report.threshold == 120


@given(GRAYS, st.integers(2, 64))
def test_relief_slices_lie_within_each_other(gray: NDArray[np.uint8], layers: int) -> None:
    slices = relief(gray, layers)
    assert len(slices) == layers
    assert not any((deeper & ~upper).any() for upper, deeper in pairwise(slices))
    depth = np.sum(slices, axis=0) / layers
    assert np.abs(depth - (1 - gray / 255)).max() <= 0.5 / layers + 1e-9


@given(st.floats(0, 100), st.floats(0, 100), st.integers(2, 256))
def test_powers_lie_in_their_range_and_never_fall(first: float, second: float, levels: int) -> None:
    low, high = sorted((first, second))
    table = power_map(np.arange(256, dtype=np.uint8)[None], PowerRange(low, high, levels))[0][::-1].astype(int)
    assert table[0] == 0
    assert (np.diff(table) >= 0).all()
    assert len(set(table.tolist())) <= levels
    assert abs(table[-1] - high * 2.55) <= 0.5 + 1e-9
    assert all(low * 2.55 - 0.51 <= power <= high * 2.55 + 0.51 for power in table if power)


@pytest.mark.parametrize("mode", [mode for mode in MADE if mode is not RasterMode.SILHOUETTE])
def test_what_is_transparent_does_not_burn(mode: RasterMode) -> None:
    gray = np.full((40, 40), 60, np.uint8)
    alpha = np.zeros((40, 40), np.uint8)
    alpha[10:30, 10:30] = 255
    wanted = RasterSettings(mode, threshold=255, tone=ToneAdjustments(gamma=1.2))
    made = prepare_raster(picture_of(gray, alpha), wanted)
    burnt = made.power > 0 if made.power is not None else np.any(all_burn(made), axis=0)
    assert burnt.any()
    assert not burnt[alpha == 0].any()
    assert made.report.transparent_share == 0.75


def photo() -> Picture:
    return decode_picture(encode_png_rgb(pictures.astronaut()))


def drawing_on_paper() -> NDArray[np.uint8]:
    paper = np.tile(np.linspace(150, 235, 400), (300, 1))
    paper[100:103, 30:370] *= 0.15
    paper[40:260, 200:203] *= 0.15
    return paper.astype(np.uint8)


def dots() -> NDArray[np.uint8]:
    burn = diffuse(np.asarray(Image.fromarray(pictures.camera()).resize((128, 128))), FLOYD_STEINBERG, serpentine=False)
    return np.where(burn, 0, 255).astype(np.uint8)


def flat() -> NDArray[np.uint8]:
    gray = np.full((120, 120), 200, np.uint8)
    gray[20:60, 20:60], gray[60:100, 60:100] = 90, 140
    return gray


def logo() -> NDArray[np.uint8]:
    gray = np.full((120, 120), 255, np.uint8)
    gray[20:60, 20:60] = 0
    return gray


@pytest.mark.parametrize(
    ("picture", "wanted", "mode", "why"),
    [
        (photo(), RasterSettings(), RasterMode.FLOYD_STEINBERG, "photograph"),
        (photo(), RasterSettings(burn=BurnSettings(0.15)), RasterMode.BURN_SIMULATED, "spot is known"),
        (picture_of(logo()), RasterSettings(), RasterMode.THRESHOLD, "black and white already"),
        (picture_of(flat()), RasterSettings(), RasterMode.ORDERED, "flat areas"),
        (picture_of(drawing_on_paper()), RasterSettings(), RasterMode.ADAPTIVE_THRESHOLD, "drawing on paper"),
        (picture_of(dots()), RasterSettings(), RasterMode.PASS_THROUGH, "kept as they are"),
        (picture_of(dots()), RasterSettings(size=PhysicalSize(9)), RasterMode.FLOYD_STEINBERG, "original"),
        (picture_of(np.array([[7]], np.uint8)), RasterSettings(), RasterMode.THRESHOLD, "nearly black"),
    ],
)
def test_auto_chooses_and_says_why(picture: Picture, wanted: RasterSettings, mode: RasterMode, why: str) -> None:
    report = prepare_raster(picture, replace(wanted, mode=RasterMode.AUTO)).report
    assert report.mode is mode
    assert why in " ".join(report.reasons)
    assert prepare_raster(picture, wanted).report.reasons == ()


def test_the_report_says_what_was_done_and_what_the_burn_will_be() -> None:
    tone = ToneAdjustments(gamma=1.3, clahe_clip=1.5)
    wanted = RasterSettings(
        RasterMode.BURN_SIMULATED,
        PhysicalSize(width_mm=12),
        tone=tone,
        burn=BurnSettings(0.15, 0.1, 1.5),
        burn_preview=True,
    )
    made = prepare_raster(photo(), wanted)
    assert made.report.resampled
    assert made.report.adjustments == ("local contrast, clip limit 1.5", "levels 0–255, gamma 1.3")
    burn = made.report.burn
    assert burn is not None
    assert [burn.spot_x_px, burn.spot_y_px] == pytest.approx([1.5, 1.0])
    assert (burn.shortest_run_px, burn.saturation) == (2, 1.5)
    assert burn.burnt_tone == pytest.approx(burn.wanted_tone, abs=0.01)
    assert made.preview is not None
    assert made.preview.shape == (120, 120)
    plain = prepare_raster(photo(), replace(wanted, mode=RasterMode.FLOYD_STEINBERG)).report.burn
    assert plain is not None
    assert plain.burnt_tone > plain.wanted_tone + 0.03  # dots that grow, not allowed for
    free = prepare_raster(photo(), replace(wanted, burn=BurnSettings(0.15, shortest_run_mm=0))).report.burn
    assert free is not None
    assert free.shortest_run_px == 1


def test_newsprint_is_coarser_than_halftone_and_uses_the_whole_range() -> None:
    gray = np.tile(np.linspace(100, 160, 120).astype(np.uint8), (120, 1))
    newsprint, plain = (
        all_burn(prepare_raster(picture_of(gray), RasterSettings(mode)))[0]
        for mode in (RasterMode.NEWSPRINT, RasterMode.HALFTONE)
    )
    assert newsprint[:, :8].all()
    assert newsprint[:, -8:].mean() < 0.05
    assert plain[:, -8:].mean() > 0.3
    shape = RasterSettings(RasterMode.HALFTONE, dot_shape=DotShape.LINE)
    assert not np.array_equal(all_burn(prepare_raster(picture_of(gray), shape))[0], plain)


def test_a_sketch_is_lines_on_white() -> None:
    gray = np.full((80, 80), 90, np.uint8)
    gray[:, 40:] = 200
    burn = all_burn(prepare_raster(picture_of(gray), RasterSettings(RasterMode.SKETCH)))[0]
    assert not burn[:, :20].any()
    assert not burn[:, 60:].any()
    assert burn[:, 32:40].mean() > 0.1


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (RasterSettings(RasterMode.BAND_THRESHOLD, threshold=50, threshold_low=50), "threshold_low"),
        (RasterSettings(RasterMode.ORDERED, ordered_size=3), "ordered_size"),
        (RasterSettings(RasterMode.RELIEF, relief_layers=1), "relief_layers"),
        (RasterSettings(RasterMode.RELIEF, relief_layers=65), "relief_layers"),
        (RasterSettings(RasterMode.RELIEF, burn_preview=True), "burn_preview"),
        (RasterSettings(RasterMode.POWER_MAP, power=PowerRange(60, 40)), "power"),
        (RasterSettings(RasterMode.POWER_MAP, power=PowerRange(levels=1)), "power.levels"),
        (RasterSettings(RasterMode.PASS_THROUGH, tone=ToneAdjustments(gamma=2)), "tone"),
        (RasterSettings(RasterMode.NEWSPRINT, halftone_lpi=200), "halftone_lpi"),
        (RasterSettings(RasterMode.BURN_SIMULATED, burn=BurnSettings(5.0)), "burn.spot"),
        (RasterSettings(RasterMode.BURN_SIMULATED, burn=BurnSettings(-1.0)), "spot.x_mm"),
        (RasterSettings(burn=BurnSettings(saturation=math.nan)), "burn.saturation"),
        (RasterSettings(size=PhysicalSize(dpi=-1)), "size.dpi"),
    ],
)
def test_wrong_settings_are_refused_by_name(wanted: RasterSettings, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        prepare_raster(picture_of(logo()), wanted)
    assert [violation.field for violation in caught.value.violations] == [field]
