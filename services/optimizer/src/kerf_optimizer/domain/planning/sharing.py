"""Edges that two cut parts share burn once, and still no part falls before what lies in it was cut.

A part is free when the last piece of its outline burns. The larger of two outlines keeps the edge that they share, so
that the outlines that must wait for each other only ever get larger: there is no circle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.work import UM_PER_MM, Outlines
from kerf_optimizer.domain.planning.cleaning import pieces_of, without_middles
from kerf_optimizer.domain.planning.spec import too_large

Points = NDArray[np.float64]
ON_EDGE_MM = 0.001
MAX_TOUCHES = 2_000_000
"""Corners that lie on edges of others; a few hundred thousand take a second."""
_SEGMENTS_AT_ONCE = 4096


def share_edges(paths: Sequence[Path]) -> tuple[tuple[Path, ...], Outlines]:
    """What is left to burn of cuts where each edge burns once, and what it is left of.

    Edges are the same where they lie on each other to a micrometre, also in part. A path that loses edges becomes open
    pieces. Raises InvalidArgument (PLAN_TOO_LARGE) where too many corners lie on edges of others.
    """
    wholes = [without_middles(path) for path in paths]
    rings = _with_corners(wholes)
    # Larger outlines claim their edges first, then smaller ones, then open paths; equals in their order.
    claims = sorted(range(len(wholes)), key=lambda i: (not wholes[i].closed, -abs(wholes[i].area_mm2), i))
    edge_of, fresh = _edges([rings[i] for i in claims])
    claimed = np.full(len(edge_of), -1, dtype=np.int64)
    pieces: list[Path] = []
    piece_of: list[int] = []
    freeing = np.full(len(wholes), -1, dtype=np.int64)
    begin = 0
    for whole in claims:
        mine = slice(begin, begin + len(rings[whole]) - 1)
        begin = mine.stop
        new, edges = fresh[mine], edge_of[mine]
        if new.any():
            claimed[edges[new]] = len(pieces) + _numbers(new, wholes[whole].closed)[new]
            freeing[whole] = len(pieces)
            left = pieces_of(wholes[whole], rings[whole], new)
            pieces.extend(without_middles(piece) for piece in left)
            piece_of.extend([whole] * len(left))
        elif len(edges):
            freeing[whole] = claimed[edges[0]]
    # As they were drawn, not as they claimed.
    order = np.argsort(np.array(piece_of, dtype=np.int64), kind="stable")
    place = np.append(np.argsort(order, kind="stable"), -1)
    outlines = Outlines(tuple(wholes), np.array(piece_of, dtype=np.int64)[order], place[freeing])
    return tuple(pieces[i] for i in order.tolist()), outlines


def _edges(rings: Sequence[Points]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For all edges of all rings in a row, which edge it is, whatever its direction, and if it is there first."""
    if not rings:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    ends = _sorted_ends(np.concatenate([ring[:-1] for ring in rings]), np.concatenate([ring[1:] for ring in rings]))
    _, first, edge_of = np.unique(
        np.rint(ends * UM_PER_MM).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    edge_of = edge_of.ravel()
    return edge_of, first[edge_of] == np.arange(len(edge_of))


def _numbers(new: NDArray[np.bool_], closed: bool) -> NDArray[np.int64]:
    """For each edge of a path the number of its piece, as `pieces_of` counts them; of no meaning where it is lost."""
    turn = int(np.argmin(new)) + 1 if closed and not new.all() else 0
    turned = np.roll(new, -turn)
    begins = turned & ~np.append(False, turned[:-1])
    return np.roll(np.cumsum(begins) - 1, turn)


def _with_corners(paths: Sequence[Path]) -> list[Points]:
    """All points of each path in order, a closed one back to its start, with the corners that lie on its edges."""
    rings = [np.concatenate([p.points_mm, p.points_mm[:1]]) if p.closed else p.points_mm for p in paths]
    rings = [np.rint(ring * UM_PER_MM) / UM_PER_MM for ring in rings]
    rings = [ring[np.append(True, (ring[1:] != ring[:-1]).any(axis=1))] for ring in rings]
    if not rings:
        return []
    corners = np.unique(np.concatenate(rings), axis=0)
    starts, ends = np.concatenate([ring[:-1] for ring in rings]), np.concatenate([ring[1:] for ring in rings])
    edges, which = np.unique(_sorted_ends(starts, ends), axis=0, return_inverse=True)
    inner = _corners_on(edges.reshape(-1, 2, 2), corners)
    out = []
    begin = 0
    for ring in rings:
        mine = which.ravel()[begin : begin + len(ring) - 1]
        begin += len(ring) - 1
        if not any(edge in inner for edge in mine.tolist()):
            out.append(ring)
            continue
        parts = []
        for start, edge in zip(ring[:-1], mine.tolist(), strict=True):
            between = inner.get(edge, ring[:0])
            along = np.argsort(np.hypot(*(between - start).T), kind="stable")
            parts.append(np.concatenate([start[None], between[along]]))
        out.append(np.concatenate([*parts, ring[-1:]]))
    return out


def _corners_on(edges: Points, corners: Points) -> dict[int, Points]:
    """Corners that lie on edges (n, 2, 2) between their ends, by the edge's index."""
    tree = shapely.STRtree(np.asarray(shapely.points(corners)))
    found: dict[int, Points] = {}
    left = MAX_TOUCHES
    for at in range(0, len(edges), _SEGMENTS_AT_ONCE):
        some = edges[at : at + _SEGMENTS_AT_ONCE]
        edge, corner = tree.query(np.asarray(shapely.linestrings(some)), predicate="dwithin", distance=ON_EDGE_MM)
        left -= len(edge)
        if left < 0:
            raise too_large("too many corners of cuts lie on edges of others; leave `path_style.merge` out")
        is_end = (corners[corner][:, None] == some[edge]).all(axis=2).any(axis=1)
        edge, corner = edge[~is_end], corner[~is_end]
        for one in np.unique(edge).tolist():
            found[at + one] = corners[corner[edge == one]]
    return found


def _sorted_ends(starts: Points, ends: Points) -> Points:
    """Both ends of each edge, (n, 4), the smaller first: the same whichever way it runs."""
    swap = (starts[:, 0] > ends[:, 0]) | ((starts[:, 0] == ends[:, 0]) & (starts[:, 1] > ends[:, 1]))
    return np.where(swap[:, None], np.hstack([ends, starts]), np.hstack([starts, ends]))
