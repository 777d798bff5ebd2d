"""The burn model against a simulation by brute force, and dithering that inverts it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data as pictures
from skimage.metrics import structural_similarity

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.burn_model import BurnModel, Spot, burn_dither, burn_preview, burnt_tone
from kerf_optimizer.domain.burn_model.dither import RUN_FILTER
from kerf_optimizer.domain.burn_model.trellis import diffuse_rows
from kerf_optimizer.domain.error_diffusion import FLOYD_STEINBERG, TONE_ONE, diffuse

PITCH_MM = 0.1
BURNS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
EYE_SIGMA_PX = 2.0


def model(spot_x_px: float, spot_y_px: float | None = None, saturation: float = 2.0) -> BurnModel:
    spot_y_px = spot_x_px if spot_y_px is None else spot_y_px
    return BurnModel(Spot(spot_x_px * PITCH_MM, spot_y_px * PITCH_MM), PITCH_MM, saturation)


def simulated(burn: NDArray[np.bool_], burn_model: BurnModel, samples: int = 12) -> NDArray[np.float64]:
    """Tone of each pixel from the dose at `samples`² points of it, every pixel's pulse reaching everywhere."""
    sigma_x, sigma_y = burn_model.spot_x_px / 4, burn_model.spot_y_px / 4

    def shares(count: int, sigma: float, *, pulse: bool) -> NDArray[np.float64]:
        at = (np.arange(count * samples) + 0.5) / samples
        offset = at[:, None] - (np.arange(count) + 0.5)
        if not pulse:
            return np.asarray(np.exp(-(offset**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)))
        erf = np.vectorize(math.erf)
        scale = sigma * math.sqrt(2)
        return np.asarray(0.5 * (erf((offset + 0.5) / scale) - erf((offset - 0.5) / scale)))

    def tones(marks: NDArray[np.bool_]) -> NDArray[np.float64]:
        dose = shares(len(marks), sigma_y, pulse=False) @ marks @ shares(marks.shape[1], sigma_x, pulse=True).T
        k = burn_model.saturation
        dark = 1 - np.exp(-k * dose) if k else dose
        return np.asarray(dark.reshape(len(marks), samples, marks.shape[1], samples).mean(axis=(1, 3)))

    return np.asarray(tones(burn) / tones(np.ones((9, 9), np.bool_))[4, 4])


@settings(max_examples=25, deadline=None)
@given(BURNS, st.sampled_from([(1.0, 1.0), (1.5, 1.0), (0.8, 1.6), (2.0, 2.0)]), st.sampled_from([0.0, 1.0, 3.0]))
def test_the_preview_is_the_simulation(
    burn: NDArray[np.bool_], spot_px: tuple[float, float], saturation: float
) -> None:
    burn_model = model(*spot_px, saturation)
    wanted = simulated(burn, burn_model)
    # Where the spot is twice the pitch, a hundredth of the dose falls beyond the next pixel.
    assert np.abs(1 - burn_preview(burn, burn_model) / 255 - wanted).max() < 0.02
    assert burnt_tone(burn, burn_model) == pytest.approx(wanted.mean(), abs=0.012)


@settings(max_examples=25, deadline=None)
@given(BURNS, st.floats(0.3, 2), st.floats(0.3, 2), st.floats(0, 8))
def test_gains_add_up_to_the_tone(burn: NDArray[np.bool_], x_px: float, y_px: float, saturation: float) -> None:
    burn_model = model(x_px, y_px, saturation)
    padded = np.pad(burn, 3).astype(int)  # what falls beside the picture counts too
    total = 0
    for y in range(2, padded.shape[0]):
        for x in range(2, padded.shape[1] - 2):
            if padded[y, x]:
                far = sum(padded[y - 2, x + 2 - k] << k for k in range(5))
                near = sum(padded[y - 1, x + 2 - k] << k for k in range(5))
                behind = padded[y, x - 1] | padded[y, x - 2] << 1
                total += int(burn_model.gains[far | near << 5 | behind << 10])
    assert total / TONE_ONE == pytest.approx(burnt_tone(padded > 0, burn_model) * padded.size, rel=1e-9)


def test_dots_grow_by_saturation_and_ellipses_along_their_axis() -> None:
    dot = np.zeros((5, 5), np.bool_)
    dot[2, 2] = True
    tones = [burnt_tone(dot, model(2.0, saturation=k)) * 25 for k in (0, 1, 2, 4)]
    assert tones[0] == pytest.approx(1, abs=1e-3)
    assert tones == sorted(tones)
    assert tones[2] > 1.5
    wide = burn_preview(dot, model(2.0, 0.8))
    assert wide[2, 1] < wide[1, 2]
    full = burn_preview(np.ones((9, 9), np.bool_), model(1.3))
    assert (full[1:-1, 1:-1] == 0).all()


def test_the_error_filter_for_long_runs_is_the_best_predictor() -> None:
    noise = 0.1
    places = [(0, 1), (0, 2), *((1, dx) for dx in range(-2, 3)), *((2, dx) for dx in range(-2, 3))]

    def correlation(dy: int, dx: int) -> float:
        return math.exp(-(dx * dx + dy * dy) / (4 * EYE_SIGMA_PX**2)) + noise * (dx == dy == 0)

    system = np.ones((13, 13))
    system[12, 12] = 0
    system[:12, :12] = [[correlation(a - c, b - d) for c, d in places] for a, b in places]
    best = np.linalg.solve(system, [*(correlation(*place) for place in places), 1])[:12]
    stored = np.array((*RUN_FILTER.forward, *RUN_FILTER.below, *RUN_FILTER.second_below)) / RUN_FILTER.divisor
    assert np.abs(stored - best).max() < 0.001
    assert stored.sum() == 1


def photo(name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(getattr(pictures, name)()).convert("L").resize((256, 256)))


def seen(gray: NDArray[np.uint8] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(gaussian_filter(gray.astype(np.float64), EYE_SIGMA_PX))


def similarity(gray: NDArray[np.uint8], burn: NDArray[np.bool_], burn_model: BurnModel) -> float:
    burnt = burn_preview(burn, burn_model)
    return float(structural_similarity(seen(gray), seen(burnt), win_size=7, data_range=255))


@pytest.mark.parametrize("spot_px", [1.0, 1.5, 2.0])
def test_tones_are_right_after_the_dots_have_grown(spot_px: float) -> None:
    burn_model = model(spot_px)
    for run_px in (0, 1):
        for grey in range(0, 256, 15):
            burn = burn_dither(np.full((96, 96), grey, np.uint8), burn_model, run_px)
            # At the border there is no neighbour to add its dose.
            found = seen(burn_preview(burn, burn_model).astype(np.float64))[12:-12, 12:-12].mean()
            assert abs(found - grey) <= 1.5, (run_px, grey)


@pytest.mark.parametrize("spot_px", [1.0, 2.0])
@pytest.mark.parametrize("name", ["camera", "chelsea"])
def test_it_beats_floyd_steinberg_in_the_same_simulation(name: str, spot_px: float) -> None:
    gray, burn_model = photo(name), model(spot_px)
    plain = similarity(gray, diffuse(gray, FLOYD_STEINBERG, serpentine=True), burn_model)
    free = similarity(gray, burn_dither(gray, burn_model, 1), burn_model)
    held = similarity(gray, burn_dither(gray, burn_model), burn_model)
    assert free > 0.98
    assert free >= held > {1.0: 0.98, 2.0: 0.96}[spot_px]
    assert held > plain + 0.04


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)),
    st.floats(0.5, 2),
    st.integers(0, 11),
)
def test_no_run_is_shorter_than_the_spot(gray: NDArray[np.uint8], spot_px: float, run_px: int) -> None:
    burn_model = model(spot_px)
    burn = burn_dither(gray, burn_model, run_px)
    assert burn.shape == gray.shape
    least = min(run_px or math.ceil(spot_px), gray.shape[1])
    for row in burn:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        assert ((edges[1::2] - edges[::2]) >= least).all()
    assert np.array_equal(burn_dither(gray, burn_model, run_px), burn)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (40, 40)])
def test_white_stays_and_black_is_full(shape: tuple[int, int]) -> None:
    assert not burn_dither(np.full(shape, 255, np.uint8), model(2.0)).any()
    assert burn_dither(np.zeros(shape, np.uint8), model(1.0, saturation=0)).mean() > 0.9
    assert burn_dither(np.zeros((40, 40), np.uint8), model(2.0))[4:-4, 4:-4].mean() > 0.98


def test_spots_and_materials_that_cannot_be() -> None:
    with pytest.raises(InvalidArgument) as caught:
        model(2.3)
    assert caught.value.reason == "SPOT_TOO_WIDE"
    assert "220 dots per inch" in caught.value.message
    for spot in ((0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(InvalidArgument, match="no diameter"):
            Spot(*spot)
    for saturation in (-0.1, 11, math.nan):
        with pytest.raises(InvalidArgument, match="outside 0"):
            model(1.0, saturation=saturation)


def test_very_large_pictures_do_without_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    gray, burn_model = photo("camera")[:64, :64], model(1.5)
    monkeypatch.setattr("kerf_optimizer.domain.burn_model.dither._MOST_PX_TO_SEARCH", gray.size)
    searched = burn_dither(gray, burn_model)
    monkeypatch.setattr("kerf_optimizer.domain.burn_model.dither._MOST_PX_TO_SEARCH", gray.size - 1)
    plain = burn_dither(gray, burn_model)
    assert np.array_equal(plain, diffuse_rows(gray, burn_model, 2, lambda: None))
    assert similarity(gray, searched, burn_model) > similarity(gray, plain, burn_model)


def test_it_can_be_cancelled_between_its_steps() -> None:
    class Stop(Exception):
        pass

    calls = []

    def cancel() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Stop

    with pytest.raises(Stop):
        burn_dither(np.full((20, 20), 99, np.uint8), model(1.0), cancel=cancel)
