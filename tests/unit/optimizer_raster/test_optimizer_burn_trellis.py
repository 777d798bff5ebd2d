"""Rows of runs by the shortest path: the predictor is the best there is, the path hardly longer than the shortest."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from kerf_optimizer.domain.burn_model import BurnModel, Spot
from kerf_optimizer.domain.burn_model.trellis import AHEAD, ROWS_ABOVE, SIDE, diffuse_rows, predictor
from kerf_optimizer.domain.error_diffusion import TONE_ONE

EYE_SIGMA_PX = 2.0
PITCH_MM = 0.1


def model(spot_px: float, saturation: float = 2.0) -> BurnModel:
    return BurnModel(Spot(spot_px * PITCH_MM, spot_px * PITCH_MM), PITCH_MM, saturation)


def no_cancel() -> None:
    """Go on."""


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_no_other_weights_predict_better(noise: float) -> None:
    found = predictor(noise)
    above = [((row + 1, k - SIDE), found.above[row, k]) for row in range(ROWS_ABOVE) for k in range(2 * SIDE + 1)]
    weights = {(0, -1 - k): float(found.ahead[k]) for k in range(AHEAD)} | {at: float(w) for at, w in above}
    assert sum(weights.values()) == pytest.approx(1, abs=1e-4)
    error = {(0, 0): 1.0} | {at: -weight for at, weight in weights.items()}

    def correlation(one: tuple[int, int], other: tuple[int, int]) -> float:
        # Rows count upwards, so that distances are those of the picture.
        apart = (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
        return math.exp(-apart / (4 * EYE_SIGMA_PX**2)) + noise * (one == other)

    # At the best weights with a given sum, what is new correlates equally with all that came before.
    slopes = [sum(value * correlation(at, place) for at, value in error.items()) for place in weights]
    assert max(slopes) - min(slopes) < 1e-4
    power = sum(a * b * correlation(p, q) for p, a in error.items() for q, b in error.items())
    assert 0 < power < 0.3 * (1 + noise)


def cost(row: NDArray[np.bool_], gray: NDArray[np.uint8], burn_model: BurnModel) -> float:
    """What a first row costs: the squares of what is new in its errors, by the definition."""
    ahead, errors, total = predictor(0.02).ahead, [0.0] * AHEAD, 0.0
    for x, burns in enumerate(row):
        behind = sum(int(row[x - k - 1]) << k for k in range(2) if x - k - 1 >= 0)
        value = 255 - int(gray[x]) + sum(float(w) * e for w, e in zip(ahead, errors, strict=True))
        error = value - burns * int(burn_model.gains[behind << 10]) * 255 / TONE_ONE
        errors = [error, *errors[:-1]]
        total += error * error
    return total


def allowed(row: NDArray[np.bool_], run_px: int) -> bool:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return bool((edges[1::2] - edges[::2] >= run_px).all())


@pytest.mark.parametrize("run_px", [1, 2, 3])
@pytest.mark.parametrize("greys", [(40, 40), (90, 150), (170, 120), (185, 185)])
def test_a_row_is_nearly_the_best_of_all_rows(greys: tuple[int, int], run_px: int) -> None:
    burn_model = model(1.5)
    gray = np.linspace(*greys, 12).astype(np.uint8)
    rows = [np.array(bits, dtype=np.bool_) for bits in product((0, 1), repeat=len(gray))]
    costs = sorted(cost(row, gray, burn_model) for row in rows if allowed(row, run_px))
    found = diffuse_rows(gray[None], burn_model, run_px, no_cancel)[0]
    assert allowed(found, run_px)
    # One survivor for each state is not every path: a few rows may be better, none by much.
    mine = cost(found, gray, burn_model)
    assert mine <= 1.2 * costs[0]
    assert mine <= costs[max(2, len(costs) // 20)]


@pytest.mark.parametrize("grey", [20, 120, 200, 226, 244])
def test_light_tones_do_not_overload_it(grey: int) -> None:
    burn_model = model(2.0)
    burn = diffuse_rows(np.full((96, 96), grey, np.uint8), burn_model, 2, no_cancel)
    tones = burn_model.tones[_patterns(burn)[24:-12, 12:-12]] / TONE_ONE
    assert 255 - 255 * tones.mean() == pytest.approx(grey, abs=1.5)


def _patterns(burn: NDArray[np.bool_]) -> NDArray[np.int64]:
    padded = np.pad(burn, 1).astype(np.int64)
    rows, columns = burn.shape
    near = [padded[row : row + rows, column : column + columns] for row in range(3) for column in range(3)]
    return np.asarray(sum(part << bit for bit, part in enumerate(near)))


def test_bands_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gray = np.random.default_rng(1).integers(0, 256, (40, 30), dtype=np.uint8)
    whole = diffuse_rows(gray, model(1.5), 2, no_cancel)
    monkeypatch.setattr("kerf_optimizer.domain.burn_model.trellis._ROWS_AT_A_TIME", 7)
    calls: list[int] = []
    assert np.array_equal(diffuse_rows(gray, model(1.5), 2, lambda: calls.append(1)), whole)
    assert len(calls) == 6
