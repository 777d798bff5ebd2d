"""Files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` to `path` with mode 0600, in one step: a reader sees the old content or the new, never a part.

    If `durable`, it is on the disk when this returns: a power cut leaves the old content or the new, too.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def private_folder(path: Path) -> Path:
    """Make a folder with mode 0700 if it is missing, and its parents; returns it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _sync_folder(path: Path) -> None:
    """Without this the name could be lost, though the content is not."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
