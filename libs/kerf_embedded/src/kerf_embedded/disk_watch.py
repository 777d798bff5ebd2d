"""Notices that the disk was full and has room again.

NATS (2.15) never writes to a stream again that has met a full disk, and answers nothing to whoever appends to it, until
it is started anew; the S3 server sometimes refuses writes for minutes. So both are started anew when there is room.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

LOG = logging.getLogger(__name__)
FULL_BYTES = 8 << 20
"""Less than this is free: a write may have failed."""
ROOM_BYTES = 32 << 20
_INTERVAL_S = 0.5


class DiskWatch:
    """Looks at the file system of a folder, again and again."""

    def __init__(
        self, folder: Path, has_room_again: Callable[[], None], free_bytes: Callable[[Path], int] | None = None
    ) -> None:
        self._folder = folder
        self._has_room_again = has_room_again
        self._free_bytes = free_bytes or _free_bytes
        self._was_full = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_INTERVAL_S)

    def look(self) -> None:
        """Once."""
        try:
            free = self._free_bytes(self._folder)
        except OSError as error:
            LOG.debug("cannot look at %s: %s", self._folder, error)
            return
        if free < FULL_BYTES and not self._was_full:
            LOG.warning("the disk of %s is full: new work is refused until there is room", self._folder)
            self._was_full = True
        elif free >= ROOM_BYTES and self._was_full:
            LOG.warning("the disk of %s has room again: NATS and S3 are started anew", self._folder)
            self._was_full = False
            self._has_room_again()


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
