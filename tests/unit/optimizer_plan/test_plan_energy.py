"""The cap of energy holds for a place, whichever operations meet there."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Raster, path_of
from kerf_optimizer.domain.planning import GreyMeaning, Operation, PathStyle, Placement, PlanLimits, PlanSpec
from kerf_optimizer.domain.planning.sequence import build_work
from plan_samples import CUT, FILL, RASTER, SCORE, never_cancelled, square

LEFT = Drawing(40, 40, (square(2, 2, 10),))
RIGHT = Drawing(40, 40, (square(22, 2, 10),))
ACROSS = Drawing(40, 40, (path_of([[0, 7], [18, 7]], closed=False),))
HOT = Operation(0, CUT, power_percent=100, speed_mm_per_min=300, passes=6, layer="hot")
"""10 W at 5 mm/s in a line of 0.08 mm: 25 J/mm² a pass, 150 in all; birch of 3 mm may get 260."""


def burn(*operations: Operation, sources: tuple[Drawing | Raster, ...] = (LEFT, RIGHT, ACROSS)) -> None:
    spec = PlanSpec("birch-3mm", operations, placement=Placement(offset_x_mm=50, offset_y_mm=50))
    build_work(spec, sources, never_cancelled, PlanLimits())


def refused(*operations: Operation, sources: tuple[Drawing | Raster, ...] = (LEFT, RIGHT, ACROSS)) -> str:
    with pytest.raises(InvalidArgument) as caught:
        burn(*operations, sources=sources)
    assert caught.value.reason == "ENERGY_OVER_CAP"
    assert caught.value.violations[0].field == "operations"
    return str(caught.value)


def test_two_cuts_along_one_line_add_up() -> None:
    text = refused(HOT, dataclasses.replace(HOT, layer="again"))
    assert "hot (150.0) and again (150.0)" in text
    assert "300.0 J/mm²" in text
    assert "260 J/mm²" in text


def test_cuts_apart_from_each_other_do_not() -> None:
    burn(HOT, dataclasses.replace(HOT, input=1, layer="again"))


def test_lines_that_cross_meet_in_one_place_which_is_named() -> None:
    crossing = dataclasses.replace(HOT, input=2, kind=SCORE, layer="across")
    text = refused(HOT, crossing)
    x_mm = float(text.split("at X ")[1].split(" ")[0])
    assert x_mm - 50 == pytest.approx(2, abs=0.3) or x_mm - 50 == pytest.approx(12, abs=0.3)
    burn(crossing, dataclasses.replace(HOT, input=1))


def test_many_together_count_even_where_two_would_not() -> None:
    layers = [dataclasses.replace(HOT, passes=4, layer=name) for name in ("a", "b")]
    burn(*layers)
    assert "a (100.0) and b (100.0) and c (100.0)" in refused(*layers, dataclasses.replace(HOT, passes=4, layer="c"))


def test_an_engraved_area_counts_under_a_cut_and_not_beside_it() -> None:
    deep = Operation(0, FILL, power_percent=100, speed_mm_per_min=3000, interval_mm=0.02, passes=12, layer="deep")
    assert "deep (120.0)" in refused(deep, HOT)
    burn(deep, dataclasses.replace(HOT, input=1))


@pytest.mark.parametrize(("grey", "too_much"), [(255, True), (10, False)])
def test_a_pixel_counts_with_its_own_power(grey: int, too_much: bool) -> None:
    power = np.full((80, 80), grey, dtype=np.uint8)
    picture = Raster(power > 0, 0.2, power)
    deep = Operation(1, RASTER, power_percent=100, speed_mm_per_min=500, passes=8, grey=GreyMeaning.POWER, layer="deep")
    if too_much:
        assert "deep" in refused(deep, HOT, sources=(LEFT, picture))
    else:
        burn(deep, HOT, sources=(LEFT, picture))


def test_arcs_are_looked_at_along_their_way() -> None:
    angle = np.arange(60) * math.tau / 60
    disc = path_of(np.stack([10 + 8 * np.cos(angle), 10 + 8 * np.sin(angle)], axis=1), closed=True)
    # It touches the disc at its rightmost place only, between two nodes of the arcs.
    beside = path_of([[18, 9], [18, 11]], closed=False)
    sources = (Drawing(40, 40, (disc,)), Drawing(40, 40, (beside,)))
    style = PathStyle(arc_tolerance_mm=0.05)
    spec = PlanSpec(
        "birch-3mm",
        (HOT, dataclasses.replace(HOT, input=1, layer="beside")),
        placement=Placement(offset_x_mm=50, offset_y_mm=50),
        path_style=style,
    )
    with pytest.raises(InvalidArgument, match=r"burn one place, at X (67\.9|68\.0)"):
        build_work(spec, sources, never_cancelled, PlanLimits())
