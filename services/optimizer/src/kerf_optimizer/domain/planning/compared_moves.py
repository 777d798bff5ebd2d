"""Proves moves: what the G-code says, compared move by move with the toolpath that was meant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.machine.reader import Motions
from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath
from kerf_optimizer.domain.planning.spec import Check, Verdict

TOLERANCE_UM = 2
_NAME = "gcode-read-back"


class ComparedMoves:
    """Takes the moves of a file in order, some at a time, and remembers only how many there were."""

    def __init__(self, path: Toolpath) -> None:
        self._path = path
        self._count = 0
        self._off_um = 0.0

    def add(self, motions: Motions, first: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Compare the moves from `first` on, those before having been compared; raises Internal (READ_BACK).

        Returns the burning ones, indices of `motions`, and the layer of each.
        """
        path, begin = self._path, self._count
        self._count += len(motions.line) - first
        if self._count > len(path):
            raise _differs(f"more than {len(path)} moves")
        mine, own = slice(begin, self._count), slice(first, None)
        self._compare_targets(motions, own, mine)
        if not np.array_equal(motions.mode[own] == 0, path.rapid[mine]):
            raise _differs("a travel move and a feed move are mixed up")
        if not np.array_equal(np.where(motions.burning, motions.s, 0)[own], path.s[mine]):
            raise _differs("the power of a move differs")
        feeding = ~path.rapid[mine]
        if not np.array_equal(motions.feed_mm_per_min[own][feeding], path.feed_mm_per_min[mine][feeding]):
            raise _differs("the feed of a move differs")
        z_um = np.zeros(1, dtype=np.int64) if path.z_um is None else path.z_um[mine]
        if not bool((np.rint(motions.z_mm[own] * UM_PER_MM) == z_um).all()):
            raise _differs("the height of a move differs")
        burning = np.flatnonzero(motions.burning)
        burning = burning[burning >= first]
        return burning, path.layer[begin + burning - first]

    def _compare_targets(self, motions: Motions, own: slice, mine: slice) -> None:
        path = self._path
        off_x = motions.x_mm[own] * UM_PER_MM - path.x_um[mine]
        off_y = motions.y_mm[own] * UM_PER_MM - path.y_um[mine]
        off_um = float(np.maximum(np.abs(off_x), np.abs(off_y)).max(initial=0.0))
        if not off_um <= TOLERANCE_UM:
            raise _differs(f"a move ends {off_um:.1f} µm from where it should")
        self._off_um = max(self._off_um, off_um)
        mode = motions.mode[own]
        turn = np.zeros(len(mode), dtype=np.int8) if path.turn is None else path.turn[mine]
        if not np.array_equal((mode == 3).astype(np.int8) - (mode == 2), turn):
            raise _differs("a straight move and an arc are mixed up")
        arcs = np.flatnonzero(turn)
        if len(arcs) and path.i_um is not None and path.j_um is not None:
            off_i = motions.i_mm[own][arcs] * UM_PER_MM - path.i_um[mine][arcs]
            off_j = motions.j_mm[own][arcs] * UM_PER_MM - path.j_um[mine][arcs]
            if not float(np.maximum(np.abs(off_i), np.abs(off_j)).max()) <= TOLERANCE_UM:
                raise _differs("the centre of an arc differs")

    def compared(self) -> Check:
        """The verdict; raises Internal (READ_BACK) where moves are missing."""
        count, meant = self._count, len(self._path)
        if count != meant:
            raise _differs(f"{count} moves instead of {meant}")
        detail = f"{count} moves: targets within {self._off_um:.3f} µm, order, power and feed equal"
        return Check(_NAME, Verdict.PASSED, detail)


def _differs(text: str) -> Internal:
    return Internal("READ_BACK", f"Check {_NAME} failed, the files were thrown away: {text}.")
