"""Mains that can fail: the file systems of a stack in loop files, as a disk has them at the moment of a power cut.

What a process wrote lies in the kernel's memory until it is synced, or until the kernel finds time; a power cut takes
that away. Here ext4 is told to shut down at once without even writing its journal (the kernel's own way to test this),
the image is copied, and the copy is mounted in place of the first. So everything is lost that had not been handed to
the disk. What is not shown: a disk with a cache of its own that loses writes which nobody asked it to flush.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM, NATS, S3 = "system", "nats", "s3"
VOLUMES = (SYSTEM, NATS, S3)
"""In the order of mounting. `system` has the stack's own files; the other two lie in it."""
_SIZES_MIB = {SYSTEM: 64, NATS: 512, S3: 1024}
_SHUTDOWN = 0x8004587D
"""ext4's ioctl EXT4_IOC_SHUTDOWN."""
_NO_FLUSH = struct.pack("I", 2)


class Mains:
    """The volumes of a stack whose root is `root`. Needs root's rights."""

    def __init__(self, root: Path, images: Path) -> None:
        self._folders = {SYSTEM: root, NATS: root / NATS, S3: root / S3}
        self._images = images
        self._cuts = 0

    def switch_on(self) -> None:
        """Make empty volumes and mount them; what a stack needs to take the folder for its own is in it."""
        self._images.mkdir(parents=True)
        for volume in VOLUMES:
            image = self._image(volume)
            with image.open("wb") as file:
                file.truncate(_SIZES_MIB[volume] << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
            self._folders[volume].mkdir(parents=True, exist_ok=True)
            self._mount(volume)
            (self._folders[volume] / "lost+found").rmdir()
            if volume == SYSTEM:
                (self._folders[SYSTEM] / "lock").touch(mode=0o600)
        os.sync()

    def fail(self, volumes: Collection[str]) -> None:
        """Cut the power of these volumes, and have it back. Nobody may be writing, or he sees errors."""
        for volume in volumes:
            descriptor = os.open(self._folders[volume], os.O_RDONLY)
            try:
                fcntl.ioctl(descriptor, _SHUTDOWN, _NO_FLUSH)
            finally:
                os.close(descriptor)
        ordered = [volume for volume in VOLUMES if volume in volumes]
        before = {volume: self._image(volume) for volume in ordered}
        self._cuts += 1
        for volume in reversed(ordered):
            self._unmount(volume)
        for volume in ordered:
            subprocess.run(["cp", "--sparse=auto", str(before[volume]), str(self._image(volume))], check=True)
            before[volume].unlink()
            self._mount(volume)
        for volume in set(VOLUMES) - set(ordered):
            before_cut = self._images / f"{volume}.{self._cuts - 1}"
            before_cut.rename(self._image(volume))

    def switch_off(self) -> None:
        """Unmount what is mounted."""
        for volume in reversed(VOLUMES):
            if os.path.ismount(self._folders[volume]):
                self._unmount(volume)

    def _image(self, volume: str) -> Path:
        return self._images / f"{volume}.{self._cuts}"

    def _mount(self, volume: str) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image(volume)), str(self._folders[volume])], check=True)

    def _unmount(self, volume: str) -> None:
        """Processes that are still there keep the file system until they are gone."""
        subprocess.run(["umount", "-l", str(self._folders[volume])], check=True)


@contextmanager
def mains(folder: Path, stack_root: Path) -> Iterator[Mains]:
    """Volumes for a stack at `stack_root`; their images lie in `folder`, and are removed with whoever removes that."""
    on = Mains(stack_root, folder)
    try:
        on.switch_on()
        yield on
    finally:
        on.switch_off()
