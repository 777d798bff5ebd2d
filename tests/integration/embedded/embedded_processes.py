"""Looks at real processes, ports and files, for the tests of the embedded stack."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from kerf_embedded.service import ServiceSpec

FAKE_SERVICE = Path(__file__).with_name("fake_service.py")


def eventually(holds: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run. psutil knows a process by number and start time; a zombie runs no more."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def fake_service(name: str = "fake", **behaviour: str) -> ServiceSpec:
    environment = {f"FAKE_{key.upper()}": value for key, value in behaviour.items()}
    return ServiceSpec(name, (sys.executable, str(FAKE_SERVICE), name), environment)


def ports_of(root: Path) -> dict[str, int]:
    ports: dict[str, int] = json.loads((root / "ports.json").read_text())
    return ports


def sockets_of(ports: Iterable[int]) -> list[Path]:
    """What SeaweedFS on these ports has in the folder that it cannot be talked out of."""
    return [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]
