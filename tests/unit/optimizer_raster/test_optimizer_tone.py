"""Tone tools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage import data as pictures

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.raster import Background, ToneAdjustments, Unsharp
from kerf_optimizer.domain.raster.tone import adjust, clahe, tone_levels, unsharp, without_paper

GRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))
EVERYTHING = ToneAdjustments(
    Background.UNEVEN, 2.0, 10, 240, 1.4, ((0, 20), (128, 100), (255, 255)), Unsharp(0.3, 80, 2), True
)


@settings(max_examples=40, deadline=None)
@given(GRAYS, st.sampled_from([ToneAdjustments(), EVERYTHING, ToneAdjustments(Background.FLAT)]))
def test_size_and_type_stay(gray: NDArray[np.uint8], tone: ToneAdjustments) -> None:
    found, done = adjust(gray, None, tone, 0.1)
    assert found.shape == gray.shape
    assert found.dtype == np.uint8
    assert bool(done) == (tone != ToneAdjustments())
    if tone == ToneAdjustments():
        assert np.array_equal(found, gray)


@given(st.integers(0, 254), st.floats(0.1, 10), st.data())
def test_levels_and_gamma_never_fall(black: int, gamma: float, data: st.DataObject) -> None:
    white = data.draw(st.integers(black + 1, 255))
    levels = tone_levels(ToneAdjustments(black_level=black, white_level=white, gamma=gamma))
    assert (np.diff(levels.astype(int)) >= 0).all()
    assert (levels[black], levels[white]) == (0, 255)


def test_gamma_above_one_is_darker_and_a_curve_goes_through_its_points() -> None:
    assert tone_levels(ToneAdjustments(gamma=2))[128] == round((128 / 255) ** 2 * 255)
    curve = tone_levels(ToneAdjustments(curve=((10, 30), (100, 90), (200, 250))))
    assert (curve[10], curve[100], curve[200], curve[0], curve[255], curve[55]) == (30, 90, 250, 30, 250, 60)


def test_unsharp_steepens_edges_and_leaves_what_is_flat_or_faint() -> None:
    gray = np.full((40, 40), 200, np.uint8)
    gray[:, 20:] = 100
    sharp = unsharp(gray, 2, 100, 0)
    assert sharp[20, 19] > 200
    assert sharp[20, 20] < 100
    assert (sharp[20, 2], sharp[20, 37]) == (200, 100)
    faint = gray.copy()
    faint[:, 20:] = 196
    assert np.array_equal(unsharp(faint, 2, 100, 5), faint)
    assert np.array_equal(unsharp(gray, 2, 0, 0), gray)


def test_wide_blurs_do_the_same_on_a_smaller_picture() -> None:
    gray = np.repeat(np.repeat(np.array([[60, 190], [220, 90]], np.uint8), 150, axis=0), 150, axis=1)
    narrow = unsharp(gray, 3.9, 100, 0).astype(int)
    wide = unsharp(gray, 8.1, 100, 0).astype(int)
    assert np.abs(narrow - gray).max() > 30
    assert abs(np.abs(wide - gray).max() - np.abs(narrow - gray).max()) < 12


def test_clahe_brings_out_what_is_faint() -> None:
    moon = pictures.moon()
    assert clahe(moon, 3).std() > 1.3 * moon.std()
    assert clahe(np.full((1, 1), 7, np.uint8), 3).shape == (1, 1)


def test_paper_becomes_white_and_ink_stays() -> None:
    rng = np.random.default_rng(3)
    ink = rng.random((300, 400)) < 0.03
    for uneven in (False, True):
        light = np.linspace(150, 250, 400) if uneven else np.full(400, 205.0)
        paper = (np.tile(light, (300, 1)) + rng.normal(0, 1, (300, 400))).clip(0, 255)
        gray = np.where(ink, 0.2 * paper, paper).astype(np.uint8)
        found = without_paper(gray, uneven=uneven)
        assert (found[~ink] >= 240).mean() > 0.97
        assert found[ink].max() < 80
    page, _ = adjust(pictures.page(), None, ToneAdjustments(Background.UNEVEN), 0.1)
    assert (page > 230).mean() > 0.6 > (pictures.page() > 230).mean()


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_one_tone_survives_every_tool(grey: int) -> None:
    for shape in ((1, 1), (1, 50), (50, 1), (30, 30)):
        found, _ = adjust(np.full(shape, grey, np.uint8), None, EVERYTHING, 0.1)
        assert (found == found[0, 0]).all()


def test_transparent_pixels_are_white_after_a_negative() -> None:
    gray = np.full((4, 4), 255, np.uint8)
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[:2] = 0
    found, done = adjust(gray, alpha, ToneAdjustments(negative=True), 0.1)
    assert done == ["negative"]
    assert (found[:2] == 255).all()
    assert (found[2:] == 0).all()


def test_every_wrong_field_is_named_at_once() -> None:
    wrong = ToneAdjustments(
        clahe_clip=-1, black_level=200, white_level=100, gamma=0, curve=((5, 9), (5, 3)), unsharp=Unsharp(0, 50)
    )
    with pytest.raises(InvalidArgument) as caught:
        wrong.check()
    named = [violation.field for violation in caught.value.violations]
    assert named == [
        "tone.white_level",
        "tone.gamma",
        "tone.clahe_clip",
        "tone.curve",
        "tone.curve",
        "tone.unsharp",
    ]
    EVERYTHING.check()
