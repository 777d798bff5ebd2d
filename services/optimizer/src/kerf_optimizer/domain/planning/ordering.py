"""In which order paths burn, where closed ones start and which way open ones run.

Inner paths before the paths around them, so that nothing is cut in a part that may have dropped. First the nearest
neighbour, then 2-opt and Or-opt over neighbour lists, then many small kicks (iterated local search: Martin, Otto and
Felten 1991), with the starts of closed paths chosen between these. Deterministic: no clock, and chance from a fixed
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.planning.greedy import nearest_order
from kerf_optimizer.domain.planning.tour import choose_starts, kick, settle_all

Points = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_RING_NODES = 3
MAX_DOORS = 32
"""Nodes of a closed path that the first order looks at; later all count."""
NEIGHBOURS = 8
START_ROUNDS = 2
KICKS_PER_PATH = 2
MIN_KICKS = 1_000
MAX_KICKS = 60_000
"""Kicks shorten the way by a further 1 to 5 %; these take no longer than the rest of the work does."""
_KICKS_AT_ONCE = 2000
_SEED = 0x9E3779B97F4A7C15


def depths(paths: Sequence[Path]) -> Ints:
    """How many closed paths lie around each path, int64 (n,). Touching counts as around; equal outlines do not."""
    depth = np.zeros(len(paths), dtype=np.int64)
    inner, _, _ = _surroundings(paths)
    np.add.at(depth, inner, 1)
    return depth


def owners(paths: Sequence[Path]) -> Ints:
    """The smallest closed path around each path, which must be cut later; −1 = nothing is around it. int64 (n,)."""
    owner = np.full(len(paths), -1, dtype=np.int64)
    inner, outer, outer_mm2 = _surroundings(paths)
    # Written from the largest to the smallest: the smallest stays.
    for index in np.argsort(-outer_mm2, kind="stable"):
        owner[inner[index]] = outer[index]
    return owner


def _surroundings(paths: Sequence[Path]) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Pairs (inner, outer) of path indexes where a closed path lies around another path, and the outer's area."""
    rings = [i for i, path in enumerate(paths) if path.closed and len(path.points_mm) >= MIN_RING_NODES]
    if not rings:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros(0)
    areas = shapely.make_valid([shapely.Polygon(paths[i].points_mm) for i in rings])
    ring_mm2 = shapely.area(areas)
    lines = np.array([shapely.LineString(_run(path)) for path in paths], dtype=object)
    own_mm2 = np.array([abs(path.area_mm2) for path in paths])
    inner, outer = shapely.STRtree(areas).query(lines, predicate="covered_by")
    around = (ring_mm2[outer] > own_mm2[inner] * (1 + 1e-9)) & (np.array(rings)[outer] != inner)
    return inner[around], np.array(rings)[outer[around]], ring_mm2[outer[around]]


def _run(path: Path) -> Points:
    """Points in the order of burning, a closed path back to its start."""
    return np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm


def order_runs(paths: Sequence[Path], start_mm: Points, check_cancelled: Callable[[], None]) -> list[Points]:
    """All paths once as runs of points (n, 2), in an order with little travel from `start_mm` (2,).

    Never more travel than in the order given. Calls `check_cancelled` often and passes on what it raises.
    """
    return [run for _, run in order_owned(paths, start_mm, np.full(len(paths), -1), check_cancelled)]


def order_owned(
    paths: Sequence[Path], start_mm: Points, owner: Ints, check_cancelled: Callable[[], None]
) -> list[tuple[int, Points]]:
    """As `order_runs`, with the index of each path; a path comes before `owner[i]`, the index of another (−1 = any).

    With owners the order given may have less travel, since it need not keep to them.
    """
    if not paths:
        return []
    start = np.array(start_mm, dtype=np.float64)
    tour = _Tour(paths, start, owner)
    tour.settle()
    for _ in range(START_ROUNDS):
        check_cancelled()
        if tour.choose_starts():
            tour.settle()
    tour.kick(min(max(KICKS_PER_PATH * len(paths), MIN_KICKS), MAX_KICKS), check_cancelled)
    tour.choose_starts()
    found = tour.runs()
    as_given = [(index, _run(path)) for index, path in enumerate(paths)]
    if (owner < 0).all() and _travel_mm(as_given, start) < _travel_mm(found, start):
        return as_given
    return found


def _travel_mm(runs: Sequence[tuple[int, Points]], start_mm: Points) -> float:
    heads = np.array([run[0] for _, run in runs])
    tails = np.array([start_mm, *(run[-1] for _, run in runs[:-1])])
    return float(np.hypot(*(heads - tails).T).sum())


class _Tour:
    """An order under improvement. Item 0 of the tour is the head, item i + 1 is path i."""

    def __init__(self, paths: Sequence[Path], start_mm: Points, owner: Ints) -> None:
        self._paths = paths
        owners_of = np.append(-1, np.where(owner >= 0, owner + 1, -1)).astype(np.int64)
        self._owner = owners_of if (owner >= 0).any() else owners_of[:0]
        self._closed = np.array([path.closed for path in paths])
        self._points = np.concatenate([path.points_mm for path in paths])
        self._first = np.cumsum([0, *(len(path.points_mm) for path in paths)]).astype(np.int64)
        """Where the points of each path begin, and where those of the last one end."""
        first, self._starts = self._first_order(start_mm, owner.astype(np.int64))
        self._order = np.append(0, first + 1).astype(np.int64)
        self._flip = np.zeros(len(paths) + 1, dtype=np.int64)
        self._flip[0] = 1  # the head is left from its node 0; its node 1 is free
        self._flip[1:] = ~self._closed & (self._starts > 0)
        self._start_mm = start_mm
        self._known: tuple[Points, Ints] | None = None

    def _first_order(self, start_mm: Points, owner: Ints) -> tuple[Ints, Ints]:
        """Paths in greedy order, and the node at which each path is entered."""
        count = np.diff(self._first)
        doors = np.where(self._closed, np.minimum(count, MAX_DOORS), 2)
        item = np.repeat(np.arange(len(doors)), doors)
        number = np.arange(len(item)) - np.repeat(np.cumsum(doors) - doors, doors)
        closed, nodes = self._closed[item], count[item]
        # All around a closed path, at the ends of an open one, which is then left at its other end.
        node = np.where(closed, number * nodes // doors[item], number * (nodes - 1))
        other = np.where(closed, node, nodes - 1 - node)
        enter, leave = self._points[self._first[item] + node], self._points[self._first[item] + other]
        chosen = nearest_order(enter, leave, item, owner, start_mm)
        starts = np.zeros(len(doors), dtype=np.int64)
        starts[item[chosen]] = node[chosen]
        return item[chosen], starts

    def _nodes(self) -> Points:
        """Coordinates (2n + 2, 2) of the tour's nodes."""
        enter = self._first[:-1] + np.where(self._closed, self._starts, 0)
        leave = np.where(self._closed, enter, self._first[1:] - 1)
        inner = self._points[np.stack([enter, leave], axis=1).reshape(-1)]
        return np.concatenate([[self._start_mm, self._start_mm], inner])

    def _neighbours(self, nodes: Points) -> Ints:
        """For each node the nearest ones of other items, int64 (m, k); the head's free end is nobody's neighbour."""
        reachable = np.delete(np.arange(len(nodes)), 1)
        # The two nodes of the item itself take up to two places, and those of a closed path come in twos.
        wanted = min(2 * NEIGHBOURS if self._closed.any() else NEIGHBOURS, len(reachable) - 2)
        _, found = cKDTree(nodes[reachable]).query(nodes, k=range(1, wanted + 3))
        near = reachable[found]
        foreign = near >> 1 != np.arange(len(nodes))[:, None] >> 1
        # Stable: foreign ones first, nearest first. At least `wanted` of them are foreign.
        keep = np.argsort(~foreign, axis=1, kind="stable")[:, :wanted]
        return np.ascontiguousarray(np.take_along_axis(near, keep, axis=1)).astype(np.int64)

    def _net(self) -> tuple[Points, Ints]:
        """Nodes and their neighbours, found once for the same starts of closed paths."""
        if self._known is None:
            nodes = self._nodes()
            self._known = nodes, self._neighbours(nodes)
        return self._known

    def settle(self) -> None:
        """Local search in place."""
        if len(self._paths) > 1:
            settle_all(*self._net(), self._order, self._flip, self._owner)

    def kick(self, kicks: int, check_cancelled: Callable[[], None]) -> None:
        """Iterated local search in place."""
        if len(self._paths) < 2:
            return
        (nodes, near), state = self._net(), np.array([_SEED], dtype=np.uint64)
        for done in range(0, kicks, _KICKS_AT_ONCE):
            check_cancelled()
            kick(nodes, near, self._order, self._flip, self._owner, min(_KICKS_AT_ONCE, kicks - done), state)

    def choose_starts(self) -> bool:
        """Start each closed path at the node with the least way there and on; True if one starts elsewhere now."""
        before = self._starts.copy()
        choose_starts(self._nodes(), self._order, self._flip, self._points, self._first, self._closed, self._starts)
        changed = not np.array_equal(self._starts, before)
        if changed:
            self._known = None
        return changed

    def runs(self) -> list[tuple[int, Points]]:
        """The order as (index of the path, points as they burn)."""
        found = []
        for item in self._order[1:].tolist():
            path, start = self._paths[item - 1], self._starts[item - 1]
            if path.closed:
                found.append((item - 1, np.concatenate([path.points_mm[start:], path.points_mm[: start + 1]])))
            else:
                found.append((item - 1, path.points_mm[::-1] if self._flip[item] else path.points_mm))
        return found
