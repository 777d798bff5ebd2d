"""`bench.optimizer`: each part on a small input, and that its judges see what is wrong."""

from __future__ import annotations

import dataclasses
import math
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from bench import optimizer
from bench._report import Result
from bench.optimizer_rows import curved_art, estimates, exports, first_request, large_raster, start_up
from grbl_reference import reference_seconds
from kerf_optimizer.domain.rehearsal import rehearse


def verdicts(rows: list[Result]) -> dict[str, bool | None]:
    return {row.name: row.met for row in rows}


def test_every_format_holds_drawings_and_pictures() -> None:
    rows = exports.measure(drawings=3, pictures=5)
    assert len(rows) == 2 * len(exports.VECTOR_FORMATS) + 2 * len(exports.RASTER_FORMATS)
    assert all(row.met for row in rows), [row.name for row in rows if not row.met]


def test_pixels_are_exact_where_moves_end_between_micrometres() -> None:
    """At 150 and 300 dpi no pixel's border is a whole micrometre; the burn picture once grew by a column there."""
    found = []
    for number in range(1, 24, 2):
        work = exports.picture_work(number)
        burn, _ = exports.RASTER_FORMATS["PNG, burnt"](work)
        found.append(np.array_equal(burn, work.layers[0].rasters[0].burn))
    assert all(found)


def test_what_lies_elsewhere_is_seen() -> None:
    lines = [np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[0.0, 5.0], [10.0, 5.0]])]
    assert exports.hausdorff_mm(lines, lines) == 0
    assert exports.hausdorff_mm(lines, lines[:1]) == pytest.approx(5)
    assert exports.hausdorff_mm(lines[:1], lines) == pytest.approx(5)
    bulge = [np.array([[0.0, 0.0], [5.0, 0.03], [10.0, 0.0]]), lines[1]]
    assert exports.hausdorff_mm(lines, bulge) == pytest.approx(0.03, rel=1e-3)
    assert exports.sides_mm(bulge).tolist() == [10.0, 5.0]
    work = exports.picture_work(0)
    raster = work.layers[0].rasters[0]
    other = dataclasses.replace(raster, burn=~raster.burn)
    told = dataclasses.replace(work, layers=(dataclasses.replace(work.layers[0], rasters=(other,)),))
    burn, _ = exports.repainted(told)  # the moves are those of the picture
    assert not np.array_equal(burn, other.burn)


def test_misses_are_said() -> None:
    far = {name: exports.Worst(0.03, 0.02) for name in exports.VECTOR_FORMATS}
    assert not any(verdicts(exports.vector_rows(far, 500)).values())
    wrong = {name: exports.Pictures(1, 0.0) for name in exports.RASTER_FORMATS}
    missed = verdicts(exports.raster_rows(wrong, 60))
    assert missed["PNG, burnt: pixels that differ"] is False
    assert missed["PNG, burnt: size of pictures"] is True
    slow = verdicts(large_raster.rows(4096, 8_000_000, 10**8, (4.0, 7.0), 10**10, 3))
    assert slow["raster of 4096² as G-code: written and read back"] is False
    assert slow["raster of 4096² as G-code: memory per move"] is False
    few = curved_art.Saved(100, 60, 0.03)
    assert verdicts(curved_art.rows({"x": few}, few)) == {
        "arcs save, x": False,
        "arcs save, all drawings": False,
        "arcs save, traced horse": None,
        "arcs: Hausdorff": False,
    }
    late = start_up.Start(3.0, 1.0, 1.0, ("_fit",))
    rows = start_up.rows(late, late)
    assert [row.met for row in rows] == [False, None, False]
    assert rows[0].value == pytest.approx(2.0)
    assert "_fit, _fit" in rows[2].why
    assert [row.met for row in estimates.rows([0.5, 2.0])] == [False, None]


@pytest.mark.parametrize("name", ["gear", "clouds"])
def test_arcs_save_moves_on_curves(name: str) -> None:
    found = curved_art.saved(curved_art.drawn(name))
    assert found.percent > 50
    assert 0 < found.distance_mm <= curved_art.DISTANCE_MM


def test_figures_are_drawn_with_curves_and_fit_their_sheet() -> None:
    for name, make in curved_art.FIGURES.items():
        text = "".join(make())
        assert set("CQA") & set(text), name
        drawing = curved_art.drawn(name)
        low, high = (
            np.array([path.points_mm.min(0) for path in drawing.paths]),
            np.array([path.points_mm.max(0) for path in drawing.paths]),
        )
        assert (low >= 0).all(), name
        assert (high <= curved_art.SIDE_MM).all(), name


def test_estimates_of_pictures_and_drawings_agree_with_the_referee() -> None:
    assert all(estimates.off_percent(estimates.job(number)) < 1 for number in range(4))
    one = estimates.job(1)
    slower = dataclasses.replace(one.controller, accel=(one.controller.accel[0] / 2, one.controller.accel[1] / 2))
    assert not math.isclose(reference_seconds(one.lines, one.controller), reference_seconds(one.lines, slower))


def test_no_request_waits_for_the_compiler_after_the_rehearsal() -> None:
    rehearse()
    assert first_request.compiled_by(first_request.requests) == []

    # What is not compiled yet is seen.
    numba: Any = import_module("numba")
    halved = numba.njit(lambda number: number // 2)
    assert first_request.compiled_by(lambda: halved(4)) == ["<lambda>"]


def test_a_small_raster_is_written_and_read_back() -> None:
    rows = large_raster.measure(96)
    assert len(rows) == 3
    assert all(row.value is not None and row.value > 0 for row in rows[:2])


def test_all_lines_have_a_part() -> None:
    assert list(optimizer.parts(optimizer.QUICK)) == [
        "start-up",
        "large raster",
        "raster modes",
        "order and speed of the estimate",
        "estimates",
        "curved art",
        "exports",
    ]
    assert optimizer.FULL.drawings >= 500
    assert optimizer.FULL.jobs >= 200
    assert optimizer.FULL.side_px == 4096
