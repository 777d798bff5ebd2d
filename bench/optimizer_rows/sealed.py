"""Makes a process find every folder read-only, as in a pod whose root file system is: it stops root too."""

from __future__ import annotations

import errno
import os
import sys

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def refuse_writes() -> None:
    """From now on no file is opened for writing and no folder made, to the end of this process."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITES or path == os.devnull:
            return
    elif event != "os.mkdir":
        return
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))
