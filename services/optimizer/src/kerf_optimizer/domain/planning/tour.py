"""Local search for a short tour through things that have two ends each: 2-opt, Or-opt and small kicks, compiled.

The tour is a ring of items. Item 0 stands for the head itself: it leaves from where the head is, and its other end is
free, so that coming back to it costs nothing. Item i has the nodes 2i and 2i + 1; `flip` says which of them comes last.
Whatever changes the tour is a series of reversals, so that a kick that did not pay is undone by doing them backwards.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
FREE = 1
"""The node of item 0 that everything is next to."""
MAX_SEGMENT = 3
"""Items that Or-opt moves together (Or 1976)."""
MAX_KICK = 15
"""Items in each of the two neighbouring stretches that a kick swaps. With 30 a kick takes a fifth longer, and the ways
come out the same within 2 %, some shorter and some longer; with 8 they come out longer."""
_MIN_GAIN_MM = 1e-7
_REVERSE, _INSERT = 1, 2


@compiled()
def _gap(xy: Floats, a: int, b: int) -> float:
    """Travel between two nodes in millimetres."""
    if FREE in (a, b):
        return 0.0
    dx, dy = xy[a, 0] - xy[b, 0], xy[a, 1] - xy[b, 1]
    return math.sqrt(dx * dx + dy * dy)


@compiled()
def _entry(order: Ints, flip: Ints, k: int) -> int:
    """The node at which position k of the ring is entered."""
    item = order[k] if k < len(order) else order[0]
    return int(2 * item + flip[item])


@compiled()
def _leave(order: Ints, flip: Ints, k: int) -> int:
    """The node at which position k is left."""
    item = order[k]
    return int(2 * item + 1 - flip[item])


@compiled()
def _reverse(order: Ints, flip: Ints, pos: Ints, first: int, last: int) -> None:
    while first < last:
        a, b = order[first], order[last]
        order[first], order[last] = b, a
        pos[b], pos[a] = first, last
        flip[a], flip[b] = 1 - flip[a], 1 - flip[b]
        first, last = first + 1, last - 1
    if first == last:
        flip[order[first]] = 1 - flip[order[first]]


@compiled()
def _noted(order: Ints, flip: Ints, pos: Ints, journal: Ints, first: int, last: int) -> None:
    """A reversal that can be undone while the journal has room; its length is in its last row."""
    if first > last:
        return
    _reverse(order, flip, pos, first, last)
    count = journal[-1, 0]
    if count < len(journal) - 1:
        journal[count, 0], journal[count, 1] = first, last
    journal[-1, 0] = count + 1


@compiled()
def _owner_within(order: Ints, pos: Ints, owner: Ints, first: int, last: int, low: int, high: int) -> bool:
    """Whether an item at first…last must come before one that stands at low…high. No owners at all: an empty array."""
    if len(owner) == 0:
        return False
    for k in range(first, last + 1):
        after = owner[order[k]]
        if after >= 0 and low <= pos[after] <= high:
            return True
    return False


@compiled()
def _may_insert(order: Ints, pos: Ints, owner: Ints, i: int, j: int, after: int, turned: bool) -> bool:
    """Whether i…j may go behind `after` without an item coming later than its owner."""
    if turned and _owner_within(order, pos, owner, i, j, i, j):
        return False
    if after > j:
        return not _owner_within(order, pos, owner, i, j, j + 1, after)
    return not _owner_within(order, pos, owner, after + 1, i - 1, i, j)


@compiled()
def _insert(order: Ints, flip: Ints, pos: Ints, journal: Ints, i: int, j: int, after: int, turned: bool) -> None:
    """Move i…j behind position `after`, turned round or not."""
    size = j - i + 1
    if after > j:
        _noted(order, flip, pos, journal, i, after)
        _noted(order, flip, pos, journal, i, after - size)
        if not turned:
            _noted(order, flip, pos, journal, after - size + 1, after)
    else:
        _noted(order, flip, pos, journal, after + 1, j)
        _noted(order, flip, pos, journal, after + size + 1, j)
        if not turned:
            _noted(order, flip, pos, journal, after + 1, after + size)


@compiled()
def _best_turn(xy: Floats, near: Ints, order: Ints, flip: Ints, pos: Ints, owner: Ints, k: int, best: Floats) -> None:
    """2-opt (Croes 1958) on the two gaps beside position k; the best found goes into `best`."""
    ring = len(order)
    for ahead in range(2):
        if ahead == 0 and k == 0:
            continue
        a = _leave(order, flip, k) if ahead else _entry(order, flip, k)
        b = _entry(order, flip, k + 1) if ahead else _leave(order, flip, k - 1)
        old = _gap(xy, a, b)
        for c in near[a]:
            gain = old - _gap(xy, a, c)
            if gain <= best[0]:
                break
            m = pos[c >> 1]
            if c != (_leave(order, flip, m) if ahead else _entry(order, flip, m)) or m == k:
                continue
            d = _entry(order, flip, m + 1) if ahead else _leave(order, flip, m - 1)
            gain += _gap(xy, c, d) - _gap(xy, b, d)
            if ahead:
                first, last = min(k, m) + 1, max(k, m)
            else:
                first, last = min(k, m), max(k, m) - 1
            if gain > best[0] and last < ring and not _owner_within(order, pos, owner, first, last, first, last):
                best[0], best[1], best[2], best[3] = gain, _REVERSE, first, last


@compiled()
def _best_place(
    xy: Floats, near: Ints, order: Ints, flip: Ints, pos: Ints, owner: Ints, i: int, j: int, best: Floats
) -> None:
    """Or-opt: the best other place for the items at i…j, either way round."""
    head, tail = _entry(order, flip, i), _leave(order, flip, j)
    before, after = _leave(order, flip, i - 1), _entry(order, flip, j + 1)
    saved = _gap(xy, before, head) + _gap(xy, tail, after) - _gap(xy, before, after)
    for side in range(2):
        near_end, far_end = (head, tail) if side == 0 else (tail, head)
        for c in near[near_end]:
            gain = saved - _gap(xy, near_end, c)
            if gain <= best[0]:
                break
            m = pos[c >> 1]
            if i <= m <= j:
                continue
            behind = c == _leave(order, flip, m)
            place = m if behind else m - 1
            if place in (i - 1, j):
                continue
            other = _entry(order, flip, m + 1) if behind else _leave(order, flip, m - 1)
            gain += _gap(xy, c, other) - _gap(xy, far_end, other)
            turned = behind == (side == 1)
            if gain > best[0] and _may_insert(order, pos, owner, i, j, place, turned):
                best[0], best[1], best[2], best[3] = gain, _INSERT, i, j
                best[4], best[5] = place, 1.0 if turned else 0.0


@compiled()
def _push(queue: Ints, waits: Ints, item: int) -> None:
    """Items to look at again, a ring; `waits` ends with where it begins and how many wait."""
    if waits[item]:
        return
    waits[item] = 1
    begin, count = waits[-2], waits[-1]
    queue[(begin + count) % len(queue)] = item
    waits[-1] = count + 1


@compiled()
def _push_around(order: Ints, queue: Ints, waits: Ints, k: int) -> None:
    ring = len(order)
    for near in range(k - 1, k + 2):
        _push(queue, waits, order[(near + ring) % ring])


@compiled()
def _settle(
    xy: Floats, near: Ints, order: Ints, flip: Ints, pos: Ints, owner: Ints, queue: Ints, waits: Ints, journal: Ints
) -> float:
    """Improve until nothing that waits can be improved. Returns the millimetres saved."""
    best, saved, ring = np.zeros(6), 0.0, len(order)
    while waits[-1] > 0:
        item = queue[waits[-2]]
        waits[-2] = (waits[-2] + 1) % len(queue)
        waits[-1] -= 1
        waits[item] = 0
        k = pos[item]
        best[0] = _MIN_GAIN_MM
        best[1] = 0.0
        _best_turn(xy, near, order, flip, pos, owner, k, best)
        for size in range(1, MAX_SEGMENT + 1):
            if k >= 1 and k + size <= ring:
                _best_place(xy, near, order, flip, pos, owner, k, k + size - 1, best)
            if size > 1 and k - size + 1 >= 1:
                _best_place(xy, near, order, flip, pos, owner, k - size + 1, k, best)
        if best[1] == 0.0:
            continue
        saved += best[0]
        first, last = int(best[2]), int(best[3])
        _push_around(order, queue, waits, first)
        _push_around(order, queue, waits, last)
        if best[1] == _REVERSE:
            _noted(order, flip, pos, journal, first, last)
        else:
            place = int(best[4])
            _push_around(order, queue, waits, place)
            if place + 1 < ring:
                _push_around(order, queue, waits, place + 1)
            _insert(order, flip, pos, journal, first, last, place, best[5] > 0.0)
        _push(queue, waits, item)
    return saved


@compiled()
def settle_all(xy: Floats, near: Ints, order: Ints, flip: Ints, owner: Ints) -> float:
    """Local search from every item, in place. Returns the millimetres saved.

    `near` int64 (2n, k): for each node the nearest nodes of other items, nearest first, FREE never among them. `owner`
    int64 (n,): the item that must come later than this one, −1 = none; the tour given must keep to it, and stays so. An
    empty one means that no item has any.
    """
    ring = len(order)
    pos, queue, waits = np.empty(ring, np.int64), np.empty(ring, np.int64), np.zeros(ring + 2, np.int64)
    for k in range(ring):
        pos[order[k]] = k
    for k in range(ring):
        _push(queue, waits, order[k])
    journal = np.zeros((1, 2), np.int64)
    return _settle(xy, near, order, flip, pos, owner, queue, waits, journal)


@compiled()
def _draw(state: NDArray[np.uint64], below: int) -> int:
    """A number from 0 on (xorshift, Marsaglia 2003): the same in every run."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return int(x >> np.uint64(11)) % below


@compiled()
def kick(xy: Floats, near: Ints, order: Ints, flip: Ints, owner: Ints, kicks: int, state: NDArray[np.uint64]) -> float:
    """Iterated local search: swap two neighbouring stretches somewhere, settle, undo it unless that saved travel.

    Works in place, from a tour that has settled; returns the millimetres saved. `state` uint64 (1,), not 0, goes on
    from call to call.
    """
    ring = len(order)
    pos, queue, waits = np.empty(ring, np.int64), np.empty(ring, np.int64), np.zeros(ring + 2, np.int64)
    for k in range(ring):
        pos[order[k]] = k
    journal = np.zeros((1000, 2), np.int64)
    total, most = 0.0, min(MAX_KICK, (ring - 1) // 2)
    if most < 1:
        return 0.0
    for _ in range(kicks):
        one, two = 1 + _draw(state, most), 1 + _draw(state, most)
        first = 1 + _draw(state, ring - one - two)
        middle, last = first + one, first + one + two - 1
        if _owner_within(order, pos, owner, first, middle - 1, middle, last):
            continue
        a, b = _leave(order, flip, first - 1), _entry(order, flip, first)
        c, d = _leave(order, flip, middle - 1), _entry(order, flip, middle)
        e, f = _leave(order, flip, last), _entry(order, flip, last + 1)
        saved = _gap(xy, a, b) + _gap(xy, c, d) + _gap(xy, e, f) - _gap(xy, a, d) - _gap(xy, e, b) - _gap(xy, c, f)
        journal[-1, 0] = 0
        for k in (first, middle, last):
            _push_around(order, queue, waits, k)
        _insert(order, flip, pos, journal, first, middle - 1, last, False)
        saved += _settle(xy, near, order, flip, pos, owner, queue, waits, journal)
        if saved >= 0.0 or journal[-1, 0] >= len(journal):
            total += saved
        else:
            for row in range(journal[-1, 0] - 1, -1, -1):
                _reverse(order, flip, pos, journal[row, 0], journal[row, 1])
    return total


@compiled()
def choose_starts(
    xy: Floats, order: Ints, flip: Ints, points: Floats, first: Ints, closed: Flags, starts: Ints
) -> None:
    """Start each closed item at its point with the least way there and on, once along the order, in place.

    `points` float64 (m, 2) of all items but the head, item i's from `first[i - 1]` up to `first[i]`; `closed` bool and
    `starts` int64 (n - 1,), which point of its own an item starts at.
    """
    ring = len(order)
    here_x, here_y = xy[0, 0], xy[0, 1]
    for k in range(1, ring):
        path = order[k] - 1
        if not closed[path]:
            node = _leave(order, flip, k)
            here_x, here_y = xy[node, 0], xy[node, 1]
            continue
        best, least = 0, math.inf
        for m in range(first[path], first[path + 1]):
            away = math.hypot(points[m, 0] - here_x, points[m, 1] - here_y)
            if k + 1 < ring:
                node = _entry(order, flip, k + 1)
                away += math.hypot(points[m, 0] - xy[node, 0], points[m, 1] - xy[node, 1])
            if away < least:
                best, least = m, away
        starts[path] = best - first[path]
        here_x, here_y = points[best, 0], points[best, 1]
