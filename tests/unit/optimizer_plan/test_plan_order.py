"""The order of paths: every path once, inner before outer, never more travel than as given, and less than before."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kerf_core.errors import WorkCancelled
from kerf_optimizer.domain.geometry import Drawing, Path, path_of
from kerf_optimizer.domain.planning import Operation, PlanLimits, PlanSpec
from kerf_optimizer.domain.planning.ordering import order_owned, order_runs, owners
from kerf_optimizer.domain.planning.sequence import build_work
from plan_samples import CUT, never_cancelled, square

ORIGIN = np.zeros(2)
Runs = list[NDArray[np.float64]]


def travel_mm(runs: Runs) -> float:
    return sum(math.dist(a[-1], b[0]) for a, b in itertools.pairwise([np.zeros((1, 2)), *runs]))


def as_given(paths: list[Path]) -> Runs:
    return [np.concatenate([p.points_mm, p.points_mm[:1]]) if p.closed else p.points_mm for p in paths]


def marks(runs: Runs) -> list[tuple[float, ...]]:
    """All edges, each the same whichever way it is run, sorted."""
    return sorted(
        min((*a.tolist(), *b.tolist()), (*b.tolist(), *a.tolist())) for run in runs for a, b in itertools.pairwise(run)
    )


def short_lines(count: int, seed: int) -> list[Path]:
    random = np.random.default_rng(seed)
    middles, ways = random.random((count, 2)) * 200, random.normal(size=(count, 2)) * 3
    return [path_of([m, m + w], closed=False) for m, w in zip(middles, ways, strict=True)]


def polygons(count: int, seed: int) -> list[Path]:
    random = np.random.default_rng(seed)
    turn = np.arange(9) * math.tau / 9
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 2
    return [path_of(ring + random.random(2) * 200, closed=True) for _ in range(count)]


POINTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=2, max_size=6, unique=True)
PATHS = st.lists(st.builds(lambda p, closed: path_of(p, closed=closed), POINTS, st.booleans()), max_size=25)


@settings(max_examples=80, deadline=None)
@given(PATHS, st.tuples(st.integers(-5, 70), st.integers(-5, 70)))
def test_an_order_keeps_the_marks_and_never_adds_travel(paths: list[Path], start: tuple[int, int]) -> None:
    begin = np.array(start, dtype=np.float64)
    runs = order_runs(paths, begin, never_cancelled)
    assert marks(runs) == marks(as_given(paths))
    from_start = [begin[None], *runs]
    given_from_start = [begin[None], *as_given(paths)]
    added = sum(math.dist(a[-1], b[0]) for a, b in itertools.pairwise(from_start))
    assert added <= sum(math.dist(a[-1], b[0]) for a, b in itertools.pairwise(given_from_start)) + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20)), min_size=1, max_size=30))
def test_a_path_comes_before_what_lies_around_it(squares: list[tuple[int, int, int]]) -> None:
    paths = [square(*corner_and_side) for corner_and_side in squares]
    owner = owners(paths)
    found = order_owned(paths, ORIGIN, owner, never_cancelled)
    at = {index: place for place, (index, _) in enumerate(found)}
    assert sorted(at) == list(range(len(paths)))
    assert marks([run for _, run in found]) == marks(as_given(paths))
    for inner, outer in enumerate(owner.tolist()):
        assert outer < 0 or at[inner] < at[outer]


def test_the_owner_is_the_smallest_path_around() -> None:
    line = path_of([[7.0, 6.5], [7.0, 7.0]], closed=False)
    nested = [square(0, 0, 20), square(5, 5, 10), square(6, 6, 2), square(30, 0, 5), line, square(0, 0, 20)]
    assert owners(nested).tolist() == [-1, 0, 1, -1, 2, -1] or owners(nested).tolist() == [-1, 5, 1, -1, 2, -1]
    assert owners([line]).tolist() == [-1]


@pytest.mark.parametrize("paths,share", [(short_lines(1000, 7), 0.8), (polygons(1000, 7), 0.85)])
def test_the_order_is_near_the_shortest_known(paths: list[Path], share: float) -> None:
    """Beardwood, Halton and Hammersley 1959: the best tour of n random points in an area A is about 0.7124·√(nA)."""
    runs = order_runs(paths, ORIGIN, never_cancelled)
    again = order_runs(paths, ORIGIN, never_cancelled)
    assert all(np.array_equal(a, b) for a, b in zip(runs, again, strict=True))
    # Entering at any side and leaving at the other saves a good part of the way between middles.
    assert travel_mm(runs) < share * 0.7124 * math.sqrt(1000 * 200 * 200)


def test_small_cases_are_the_best_of_all() -> None:
    for seed in range(20):
        paths = short_lines(5, seed)
        ends = [(p.points_mm[0], p.points_mm[1]) for p in paths]
        best = math.inf
        for order in itertools.permutations(range(5)):
            for sides in itertools.product((0, 1), repeat=5):
                here, way = ORIGIN, 0.0
                for index, side in zip(order, sides, strict=True):
                    way += math.dist(here, ends[index][side])
                    here = ends[index][1 - side]
                best = min(best, way)
        assert travel_mm(order_runs(paths, ORIGIN, never_cancelled)) == pytest.approx(best)


@pytest.mark.parametrize(
    "paths",
    [
        [],
        [square(3, 3, 2)],
        [path_of([[5, 5], [1, 1]], closed=False)],
        [path_of([[5, 5], [1, 1]], closed=False)] * 3,
        [path_of([[float(i), 0], [i + 0.5, 0]], closed=False) for i in (3, 1, 2)],
        [square(0, 0, 1)] * 50,
    ],
)
def test_few_equal_and_degenerate_paths(paths: list[Path]) -> None:
    assert marks(order_runs(paths, ORIGIN, never_cancelled)) == marks(as_given(paths))


def test_a_cancelled_order_stops() -> None:
    def cancelled() -> None:
        raise WorkCancelled("CANCELLED", "enough")

    with pytest.raises(WorkCancelled):
        order_runs(short_lines(30, 1), ORIGIN, cancelled)


def test_one_pass_cuts_part_by_part_and_inner_first() -> None:
    """A row of washers: with one pass each is finished before the next, with two the holes all come first."""
    washers = [shape for x in range(0, 200, 20) for shape in (square(x, 0, 15), square(x + 5, 5, 5))]
    drawing = Drawing(200, 20, tuple(washers))
    travel = {}
    for passes in (1, 2):
        spec = PlanSpec("paper", (Operation(0, CUT, passes=passes),), machine="grbl-co2-40w")
        path = build_work(spec, [drawing], never_cancelled, PlanLimits()).toolpath
        travel[passes] = float(path.length_mm[path.s == 0].sum())
        ends = np.flatnonzero(path.rapid)
        sides = [int(np.ptp(path.x_um[a:b])) for a, b in itertools.pairwise(ends)]
        seen = [(int(path.x_um[a] // 20_000), side) for a, side in zip(ends, sides, strict=False)]
        for place, side in set(seen):
            if side == 15_000:
                assert max(i for i, s in enumerate(seen) if s == (place, 5_000)) < seen.index((place, 15_000))
    assert travel[1] < 0.45 * travel[2]
