"""Cleans up after a supervisor that died without a chance to do it itself.

The launcher lets direct children die with the supervisor. Their own children, and sockets in the file system, would
stay: this process waits for the end of its standard input, and then removes them. Run by path, with `python -I -S`.

Lines on standard input: `+<n>` process group n lives, `-<n>` it is gone, `~<path>` a file to remove at the end.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def follow(lines: Iterable[str]) -> tuple[set[int], list[str]]:
    """Read to the end; returns (process groups that live, files to remove)."""
    groups: set[int] = set()
    files: list[str] = []
    for line in lines:
        kind, value = line[:1], line[1:].rstrip("\n")
        if kind == "+":
            groups.add(int(value))
        elif kind == "-":
            groups.discard(int(value))
        elif kind == "~":
            files.append(value)
    return groups, files


def main() -> int:
    """Wait, then clean up."""
    groups, files = follow(sys.stdin)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for path in files:
        with contextlib.suppress(OSError):
            os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
