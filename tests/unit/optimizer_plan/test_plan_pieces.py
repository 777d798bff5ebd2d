"""Test grids and kerf strips: safe, readable, and right about their own figures."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.machine.digits import number_paths, number_width_mm
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.machine.power_grid import GridSpec
from kerf_optimizer.domain.planning import OperationKind, PlanLimits, Verdict
from kerf_optimizer.domain.presets import get_preset, machine_profile, machines, materials
from kerf_optimizer.domain.test_pieces import GridFiles, KerfSpec, make_kerf_test, make_test_grid
from plan_controllers import controller
from plan_samples import CUT, FILL, RASTER, SCORE, never_cancelled

ONLY_GCODE = (OutputFormat.GCODE,)
LIMITS = PlanLimits()


def grid(spec: GridSpec, machine: str = "", material: str = "birch-3mm") -> GridFiles:
    return make_test_grid(machine, material, spec, ONLY_GCODE, LIMITS, never_cancelled)


def strokes_of(made: GridFiles, machine: str = "grbl-diode-10w") -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    profile = machine_profile(machine)
    text = made.proven.files[0].data.decode("ascii")
    return np.array(controller(profile.dialect, profile.s_max).run(text))


@pytest.mark.parametrize("machine", ["grbl-diode-10w", "marlin-diode-5w", "smoothie-co2-60w", "grbl-spindle-co2-40w"])
@pytest.mark.parametrize("kind", [FILL, SCORE, CUT])
def test_a_grid_passes_every_check_on_every_kind_of_machine(machine: str, kind: OperationKind) -> None:
    made = grid(GridSpec(kind, columns=2, rows=2, cell_mm=3), machine)
    checks = {check.name: check.verdict for check in made.proven.report.checks}
    assert checks["safety-linter"] is Verdict.PASSED
    assert checks["gcode-read-back"] is Verdict.PASSED
    assert len(made.cells) == 4
    assert {round(stroke[4], 3) for stroke in strokes_of(made, machine)} >= {
        round(cell.s_value / machine_profile(machine).s_max, 3) for cell in made.cells if not cell.left_out
    }


def test_power_rises_upwards_speed_to_the_right_and_the_mildest_burns_first() -> None:
    made = grid(GridSpec(FILL, columns=3, rows=3, min_power_percent=10, max_power_percent=30, cell_mm=5))
    assert [cell.power_percent for cell in made.cells if cell.column == 0] == [10, 20, 30]
    speeds = [cell.feed_mm_per_min for cell in made.cells if cell.row == 0]
    assert speeds == [1500, 3750, 6000]
    strokes = strokes_of(made)
    power = strokes[:, 4]
    by_power = {share: strokes[power == share][:, 1].mean() for share in (0.1, 0.2, 0.3)}
    assert by_power[0.1] < by_power[0.2] < by_power[0.3]
    label_power = get_preset("grbl-diode-10w/birch-3mm/score").power_percent / 100
    cells = power[power != label_power]
    assert cells[0] == pytest.approx(0.1)
    assert cells[-1] == pytest.approx(0.3)


def test_cells_over_the_cap_are_left_out_and_say_so() -> None:
    made = grid(GridSpec(CUT, columns=4, rows=4, min_speed_mm_per_min=50, max_speed_mm_per_min=400, passes=3))
    left_out = [cell for cell in made.cells if cell.left_out]
    assert left_out
    assert len(left_out) < 16
    assert all("over the cap" in cell.left_out for cell in left_out)
    assert any("left out" in warning for warning in made.proven.report.warnings)
    with pytest.raises(InvalidArgument) as caught:
        grid(
            GridSpec(CUT, min_speed_mm_per_min=10, max_speed_mm_per_min=20, min_power_percent=90, max_power_percent=99)
        )
    assert caught.value.reason == "ENERGY_OVER_CAP"


@pytest.mark.parametrize(
    "spec,field",
    [
        (GridSpec(RASTER), "kind"),
        (GridSpec(FILL, columns=13), "columns"),
        (GridSpec(FILL, rows=13), "rows"),
        (GridSpec(FILL, cell_mm=1), "cell_mm"),
        (GridSpec(FILL, cell_mm=float("nan")), "cell_mm"),
        (GridSpec(FILL, cell_mm=90), "cell_mm"),
        (GridSpec(FILL, passes=21), "passes"),
        (GridSpec(FILL, interval_mm=0.001), "interval_mm"),
        (GridSpec(FILL, min_power_percent=50, max_power_percent=40), "min_power_percent"),
        (GridSpec(FILL, max_power_percent=101), "max_power_percent"),
        (GridSpec(FILL, max_speed_mm_per_min=6001), "max_speed_mm_per_min"),
    ],
)
def test_a_grid_of_bad_figures_is_refused_by_field(spec: GridSpec, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        grid(spec)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("material", [material.name for material in materials() if material.blocked_reason])
def test_no_test_piece_is_made_of_what_must_not_be_burnt(material: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        grid(GridSpec(FILL), material=material)
    assert caught.value.reason == "MATERIAL_BLOCKED"
    with pytest.raises(InvalidArgument) as caught:
        make_kerf_test("", material, KerfSpec(), ONLY_GCODE, LIMITS, never_cancelled)
    assert caught.value.reason == "MATERIAL_BLOCKED"


def test_a_material_without_a_score_gets_a_grid_without_numbers() -> None:
    made = grid(GridSpec(FILL, columns=2, rows=2), "grbl-co2-40w", "glass")
    assert any("no numbers" in warning for warning in made.proven.report.warnings)
    with pytest.raises(InvalidArgument, match="cannot cut glass"):
        grid(GridSpec(CUT), "grbl-co2-40w", "glass")


def test_numbers_are_as_wide_as_they_say_and_all_digits_differ() -> None:
    for value in (7, 42, 250):
        xs = np.concatenate([path.points_mm[:, 0] for path in number_paths(value, 0, 0, 3)])
        assert xs.max() <= number_width_mm(value, 3) + 1e-9
    shapes = {
        shapely.MultiLineString([path.points_mm.tolist() for path in number_paths(digit, 0, 0, 2)]).normalize().wkt
        for digit in range(10)
    }
    assert len(shapes) == 10


def test_a_kerf_strip_is_cut_inside_first_and_measures_what_it_says() -> None:
    made = make_kerf_test("", "birch-3mm", KerfSpec(pieces=5, piece_mm=8), ONLY_GCODE, LIMITS, never_cancelled)
    assert (made.pieces, made.nominal_length_mm) == (5, 40)
    assert "(40 - L) / 5" in made.instructions
    strokes = np.array(controller(machines()[0].dialect, 1000).run(made.proven.files[0].data.decode("ascii")))
    upright = strokes[strokes[:, 0] == strokes[:, 2]]
    places = np.unique(np.round(upright[:, 0] - upright[:, 0].min(), 6))
    assert places.tolist() == [0, 8, 16, 24, 32, 40]
    outline = np.isin(np.round(strokes[:, 0] - strokes[:, 0].min(), 6), [0, 40]) | (strokes[:, 1] == strokes[:, 3])
    inner = ~outline
    assert np.flatnonzero(inner).max() < np.flatnonzero(outline).min()
    for strip, field in (
        (KerfSpec(pieces=41), "pieces"),
        (KerfSpec(pieces=1), "pieces"),
        (KerfSpec(piece_mm=1), "piece_mm"),
        (KerfSpec(height_mm=float("nan")), "height_mm"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            make_kerf_test("", "birch-3mm", strip, ONLY_GCODE, LIMITS, never_cancelled)
        assert [violation.field for violation in caught.value.violations] == [field]
