"""The servers are started anew once, when a disk that was full has room again."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerf_embedded.disk_watch import FULL_BYTES, ROOM_BYTES, DiskWatch


@pytest.mark.parametrize(
    "seen, expected",
    [
        ([ROOM_BYTES, ROOM_BYTES], 0),
        ([ROOM_BYTES, 0, 0, FULL_BYTES], 0),
        ([0, FULL_BYTES, ROOM_BYTES - 1, ROOM_BYTES, ROOM_BYTES], 1),
        ([FULL_BYTES - 1, ROOM_BYTES, 0, ROOM_BYTES], 2),
        ([FULL_BYTES, ROOM_BYTES], 0),
        ([0, None, ROOM_BYTES], 1),
    ],
)
def test_only_room_after_a_full_disk_counts(seen: list[int | None], expected: int) -> None:
    told: list[str] = []
    left = iter(seen)

    def free_bytes(_: Path) -> int:
        free = next(left)
        if free is None:
            raise OSError("away")
        return free

    watch = DiskWatch(Path("/nowhere"), lambda: told.append("room"), free_bytes)
    for _ in seen:
        watch.look()
    assert len(told) == expected
