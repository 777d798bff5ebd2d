"""`bench.optimizer_raster`: its rows, its turns, its memory gauge, and a glance at its quality measure."""

from __future__ import annotations

import numpy as np
import pytest

from bench.optimizer_raster import (
    EVERY_MODE,
    PEER,
    SPOTS_PX,
    Measured,
    Plan,
    Quality,
    colour_photo,
    in_mode,
    model,
    peak_pictures,
    photo,
    quality,
    rows,
    take_turns,
    ways,
)
from kerf_optimizer.domain.raster import RasterMode

TINY = Plan(rounds=1, side_px=64, large_px=96, photo_px=64, tone_step=85)


def measured(milliseconds: float, ssim: float) -> Measured:
    found = Measured(TINY)
    found.seconds = {mode.value: [milliseconds / 1000] * 3 for mode in EVERY_MODE} | {PEER: [0.008]}
    found.large_seconds = dict.fromkeys(EVERY_MODE, milliseconds / 20)
    found.memory = dict.fromkeys(EVERY_MODE, milliseconds / 4)
    for spot_px in SPOTS_PX:
        found.quality |= {(spot_px, name): Quality(ssim, 0.2, 1.0) for name in ways(model(spot_px))}
    return found


def test_targets_are_met_or_missed_by_the_figures() -> None:
    good = {row.name: row for row in rows(measured(4.0, 0.99))}
    bad = {row.name: row for row in rows(measured(30.0, 0.98))}
    for name in ("stucki at 64²", "blue-noise at 64²", "relief at 64²", "memory of sketch at 96²"):
        assert name in good
    for name, row in good.items():
        assert row.met in (True, None), name
    for name in ("stucki at 64²", "blue-noise at 64²", "memory of sketch at 96²", "SSIM, spot 2 px, any runs"):
        assert bad[name].met is False, name
    assert bad["burn-simulated at 64²"].met is True  # 30 of 100 ms
    assert bad["relief at 64²"].met is None


def test_sides_take_turns_and_each_begins_once() -> None:
    calls: list[str] = []
    sides = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    found = take_turns(sides, 3)  # type: ignore[arg-type]  # mypy cannot see through a lambda's default
    assert calls == list("abc" + "abc" + "bca" + "cab")
    assert all(len(times) == 3 for times in found.values())


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_every_mode_can_be_timed(mode: RasterMode) -> None:
    in_mode(mode, photo("camera", 48))()


def test_the_memory_gauge_sees_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = colour_photo(1024)

    def hungry(*_: object) -> None:
        np.ones(4 * picture.rgb.nbytes, dtype=np.uint8)

    monkeypatch.setattr("bench.optimizer_raster.prepare_raster", hungry)
    # More may be seen: other threads of the process take memory too.
    assert peak_pictures(RasterMode.THRESHOLD, picture) > 3.5
    monkeypatch.setattr("bench.optimizer_raster.prepare_raster", lambda *_: None)
    assert peak_pictures(RasterMode.THRESHOLD, picture) < 3.5


def test_burn_simulated_dithering_has_the_better_quality() -> None:
    burn_model = model(1.5)
    ours, plain = (quality(ways(burn_model)[name], burn_model, TINY) for name in ("any runs", "Floyd–Steinberg"))
    assert ours.seen_ssim > plain.seen_ssim
    assert ours.tone_error < 1.5 < plain.tone_error
