"""A small disk that may be filled: a tmpfs, which only root can mount."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DISK_MIB = 384
"""Room for a run of some hundred jobs, and quickly filled."""
_MIB = 1 << 20


@dataclass(frozen=True)
class Disk:
    """Where it is mounted."""

    folder: Path

    @property
    def _hog(self) -> Path:
        return self.folder / "hog"

    def fill(self) -> None:
        """Leave no byte."""
        with self._hog.open("wb", buffering=0) as file:
            for block in (bytes(_MIB), bytes(512)):
                try:
                    while True:
                        file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give the space back."""
        self._hog.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Disk | None]:
    """A disk mounted at `folder`; None without the right to mount."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        yield None
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
