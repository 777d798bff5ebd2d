"""Becomes another program that dies with its parent.

Run as a script, by path, with `python -I -S`: it imports little, and starts in about 20 ms. Asking for the signal here,
after the fork and in a process of its own, needs no code between fork and exec in the supervisor, where gRPC's threads
make that unsafe. Linux only (prctl(2), PR_SET_PDEATHSIG); the setting survives execve(2).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_ORPHANED = 125
EXIT_NO_PRCTL = 126
EXIT_NO_PROGRAM = 127


def main(arguments: list[str]) -> int:
    """`arguments`: the parent's process id, the program's path, its arguments. Returns only on failure."""
    parent, program = int(arguments[0]), arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        print(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return EXIT_NO_PRCTL
    if os.getppid() != parent:  # it died before we asked: nobody will tell us
        return EXIT_ORPHANED
    try:
        os.execv(program[0], program)  # noqa: S606 (becoming another program is what it is for)
    except OSError as error:
        print(f"cannot run {program[0]}: {error.strerror}", file=sys.stderr)
    return EXIT_NO_PROGRAM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
