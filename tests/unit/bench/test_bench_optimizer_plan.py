"""`bench.optimizer_plan`: its arithmetic, its drawings, and the peer where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from bench.optimizer_plan import QUICK, Sorted, kerf_sorts, measure, order_rows, segments_per_second, vpype_side
from bench.plan_order.drawings import DRAWINGS, random_lines
from kerf_optimizer.domain.geometry import path_of


def test_travel_and_time_must_be_at_most_the_peers() -> None:
    rows = order_rows("x", Sorted(90.0, 0.2), Sorted(100.0, 0.1))
    assert [(row.name, row.met) for row in rows] == [("travel, x", True), ("time, x", False)]
    assert rows[0].ratio == pytest.approx(0.9)


def test_a_missing_peer_is_said() -> None:
    rows = order_rows("x", Sorted(90.0, 0.2), None)
    assert all(row.met is None and "not installed" in row.why for row in rows)


def test_travel_lies_between_the_lines() -> None:
    lines = [path_of([[0, 0], [1, 0]], closed=False), path_of([[3, 0], [2, 0]], closed=False)]
    assert kerf_sorts(lines).travel_mm == pytest.approx(1.0)
    assert kerf_sorts([path_of([[5, 5], [6, 5]], closed=False)]).travel_mm == 0


def test_every_drawing_is_made_and_is_the_same_each_time() -> None:
    assert len(DRAWINGS) >= 10
    for make in DRAWINGS.values():
        first, second = make(), make()
        assert len(first) > 50
        assert all(np.array_equal(a.points_mm, b.points_mm) for a, b in zip(first, second, strict=True))


def test_the_estimate_is_timed() -> None:
    assert segments_per_second(2000, 2) > 1000


def test_a_quick_run_measures_everything() -> None:
    rows = measure(QUICK)
    assert len(rows) == 1 + 2 * (len(QUICK.drawings) + len(QUICK.random_counts))
    assert all(row.value is not None for row in rows)


def test_the_peer_answers_where_it_is_installed() -> None:
    with vpype_side() as vpype:
        if vpype is None:
            assert order_rows("x", Sorted(1, 1), None)[0].met is None
        else:
            found = vpype.sorts(random_lines(30, 2))
            assert 0 < kerf_sorts(random_lines(30, 2)).travel_mm <= found.travel_mm * 1.05
