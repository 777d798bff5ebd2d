"""In which order paths burn, where closed ones start and which way open ones run.

Inner paths before the paths around them, so that nothing is cut in a part that may have dropped. Within one depth the
nearest neighbour first, then 2-opt (Croes 1958) with a bounded number of rounds. Deterministic: no clock, no chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Path

Points = NDArray[np.float64]
MAX_TWO_OPT_PATHS = 1500
"""More paths are left as the nearest neighbour put them: 2-opt is quadratic."""
MAX_TWO_OPT_ROUNDS = 8
MIN_RING_NODES = 3
_MIN_GAIN_MM = 1e-9


def depths(paths: Sequence[Path]) -> NDArray[np.int64]:
    """How many closed paths lie around each path, int64 (n,). Touching counts as around; equal outlines do not."""
    depth = np.zeros(len(paths), dtype=np.int64)
    rings = [i for i, path in enumerate(paths) if path.closed and len(path.points_mm) >= MIN_RING_NODES]
    if not rings:
        return depth
    areas = shapely.make_valid([shapely.Polygon(paths[i].points_mm) for i in rings])
    ring_mm2 = shapely.area(areas)
    lines = np.array([shapely.LineString(_run(path)) for path in paths], dtype=object)
    own_mm2 = np.array([abs(path.area_mm2) for path in paths])
    inner, outer = shapely.STRtree(areas).query(lines, predicate="covered_by")
    around = (ring_mm2[outer] > own_mm2[inner] * (1 + 1e-9)) & (np.array(rings)[outer] != inner)
    np.add.at(depth, inner[around], 1)
    return depth


def _run(path: Path) -> Points:
    """Points in the order of burning, a closed path back to its start."""
    return np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm


def order_runs(paths: Sequence[Path], start_mm: Points, check_cancelled: Callable[[], None]) -> list[Points]:
    """All paths once as runs of points (n, 2), in an order with little travel from `start_mm` (2,)."""
    if not paths:
        return []
    sequence, flipped = _nearest_neighbour(paths, start_mm, check_cancelled)
    if len(paths) <= MAX_TWO_OPT_PATHS:
        sequence, flipped = _two_opt(paths, sequence, flipped, start_mm, check_cancelled)
    runs = []
    here = start_mm
    for index, flip in zip(sequence.tolist(), flipped.tolist(), strict=True):
        run = _run_from(paths[index], bool(flip), here)
        here = run[-1]
        runs.append(run)
    return runs


def _run_from(path: Path, flip: bool, here: Points) -> Points:
    """The path as a run; a closed one starts at the node nearest to `here`."""
    if not path.closed:
        return path.points_mm[::-1] if flip else path.points_mm
    nearest = int(np.argmin(np.sum((path.points_mm - here) ** 2, axis=1)))
    ring = np.roll(path.points_mm, -nearest, axis=0)
    return np.concatenate([ring, ring[:1]])


def _ends(paths: Sequence[Path]) -> tuple[Points, Points]:
    heads = np.array([path.points_mm[0] for path in paths])
    tails = np.array([path.points_mm[0] if path.closed else path.points_mm[-1] for path in paths])
    return heads, tails


def _nearest_neighbour(
    paths: Sequence[Path], start_mm: Points, check_cancelled: Callable[[], None]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Greedy order; `flipped` says which open paths run backwards."""
    heads, tails = _ends(paths)
    left = np.arange(len(paths))
    sequence = np.empty(len(paths), dtype=np.int64)
    flipped = np.zeros(len(paths), dtype=np.bool_)
    here = start_mm
    for step in range(len(paths)):
        if step % 256 == 0:
            check_cancelled()
        to_head = np.sum((heads[left] - here) ** 2, axis=1)
        to_tail = np.sum((tails[left] - here) ** 2, axis=1)
        best = int(np.argmin(np.minimum(to_head, to_tail)))
        chosen = int(left[best])
        flipped[step] = to_tail[best] < to_head[best]
        sequence[step] = chosen
        here = heads[chosen] if flipped[step] else tails[chosen]
        left = np.delete(left, best)
    return sequence, flipped


def _two_opt(
    paths: Sequence[Path],
    sequence: NDArray[np.int64],
    flipped: NDArray[np.bool_],
    start_mm: Points,
    check_cancelled: Callable[[], None],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Turn stretches of the order round while that saves travel. The end of the last path stays free."""
    heads, tails = _ends(paths)
    entry = np.where(flipped[:, None], tails[sequence], heads[sequence])
    leave = np.where(flipped[:, None], heads[sequence], tails[sequence])
    for _ in range(MAX_TWO_OPT_ROUNDS):
        improved = False
        for i in range(len(sequence)):
            if i % 64 == 0:
                check_cancelled()
            j = _best_turn(entry, leave, start_mm, i)
            if j >= 0:
                stretch = slice(i, j + 1)
                sequence[stretch] = sequence[stretch][::-1].copy()
                flipped[stretch] = ~flipped[stretch][::-1]
                entry[stretch], leave[stretch] = leave[stretch][::-1].copy(), entry[stretch][::-1].copy()
                improved = True
        if not improved:
            break
    return sequence, flipped


def _best_turn(entry: Points, leave: Points, start_mm: Points, i: int) -> int:
    """The j ≥ i whose turned stretch i…j saves most; −1 = none saves anything."""
    before = leave[i - 1] if i else start_mm
    count = len(entry)
    old = np.hypot(*(entry[i] - before))
    new_in = np.hypot(*(leave[i:] - before).T)
    gain = old - new_in
    if count - i > 1:
        after = entry[i + 1 :]
        gain[:-1] += np.hypot(*(after - leave[i:-1]).T) - np.hypot(*(after - entry[i]).T)
    best = int(np.argmax(gain))
    return i + best if gain[best] > _MIN_GAIN_MM else -1
