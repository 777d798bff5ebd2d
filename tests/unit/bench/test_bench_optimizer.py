"""`bench.optimizer`: each part on a small input, and that its judges see what is wrong."""

from __future__ import annotations

import dataclasses
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import optimizer
from bench._report import Result
from bench.optimizer_rows import curved_art, estimates, exports, first_request, grbl_simulator, large_raster, start_up
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
    assert slow["raster of 4096² as G-code: memory of the read-back per pixel"] is False
    few = curved_art.Saved(100, 60, 0.03)
    assert verdicts(curved_art.rows({"x": few}, few)) == {
        "arcs save, x": False,
        "arcs save, all drawings": False,
        "arcs save, traced horse": None,
        "arcs: Hausdorff": False,
    }
    late = start_up.Start(3.0, 1.0, 1.0, ("_fit",), ("_turn",))
    rows = start_up.rows(late, late, late)
    assert [row.met for row in rows] == [False, False, None, False]
    assert rows[1].value == pytest.approx(2.0)
    assert "_fit, _fit" in rows[1].why
    assert "_turn, _turn, _turn" in rows[3].why
    assert [row.met for row in estimates.rows([0.5, 2.0], None)] == [False, None]
    assert [row.met for row in estimates.rows([0.5], [0.1, 1.2])] == [True, False]


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


FAKE_SIMULATOR = """
import sys
sent = sys.stdin.buffer.read()
for place, byte in enumerate(sent):
    if byte == ord("%"):
        print(f"{1600 * place} {1 + place / 10_000:.6f}")
open(sys.argv[sys.argv.index("-g") + 1], "w").write("error:7\\nok\\n" + ("error:20\\n" if b"G5" in sent else ""))
"""


def test_a_simulator_is_asked_as_grbl_sim_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(grbl_simulator.VARIABLE, raising=False)
    assert grbl_simulator.binary() is None
    script = tmp_path / "simulator"
    program = tmp_path / "simulator.py"
    program.write_text(FAKE_SIMULATOR, encoding="utf-8")
    # Not Python as the script's interpreter: its path may have a space.
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv(grbl_simulator.VARIABLE, str(script))
    assert grbl_simulator.binary() == script
    assert grbl_simulator.line_bytes_per_s(script) == pytest.approx(10_000)
    assert grbl_simulator.marks(script, b"(%)\nG1 X5\n(%)\n") == [1.0001, 1.0011]
    with pytest.raises(RuntimeError, match="error:20"):
        grbl_simulator.marks(script, b"(%)\nG5\n")


def test_jobs_for_the_simulator_are_short_and_begin_at_rest() -> None:
    for number in range(2):
        one = grbl_simulator.job(number)
        assert one.path.rapid[0]
        assert not one.path.s[0]
        before = grbl_simulator.stretch(one.path, 0, len(one.path) - 1)
        assert grbl_simulator.estimated_seconds(dataclasses.replace(one, path=before), math.inf) < 12
        sent = grbl_simulator.program(one)
        assert sent.count(b"%") == 2
        assert max(len(line) for line in sent.splitlines()) < 80
        assert all(line[:1].decode() in "$(XYSFGM" for line in sent.splitlines())


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
