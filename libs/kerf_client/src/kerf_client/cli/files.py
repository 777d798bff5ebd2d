"""Writes a single file that the person named: whole or not at all, and not over another unless told to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kerf_client.cli.console import UsageError


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write it; blocking. Raises UsageError where it exists (without `force`) or cannot be written."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".kerf-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            if force:
                Path(temporary).replace(path)
            else:
                _put_new(Path(temporary), path, data)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{path} exists already; --force replaces it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None


def _put_new(temporary: Path, path: Path, data: bytes) -> None:
    """Unlike a rename this fails where somebody made the file meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # the file system has no links, as those of memory sticks
        with path.open("xb") as file:
            file.write(data)
