"""What a terminal, a service manager or the kernel does to the supervisor's own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from integration.embedded.embedded_processes import alive, eventually, family, ports_of, sockets_of
from kerf_embedded.state import Root, is_stale, private_root, read_state

SCRIPT = Path(__file__).with_name("stack_process.py")
TESTS = Path(__file__).parents[2]


@contextmanager
def supervisor(root: Path, *behaviour: str) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor in a process of its own, whose stack is ready."""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, str(SCRIPT), str(root), *behaviour], env=environment) as process:
        try:
            eventually(lambda: read_state(root) is not None or process.poll() is not None, "the stack is up", 60)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def guards(members: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in alive(members) if any("guard_script" in part for part in each.cmdline())]


@pytest.mark.parametrize("guard_dies_before", [False, True])
def test_sigkill_of_the_supervisor_takes_everything_along(tmp_path: Path, guard_dies_before: bool) -> None:
    root = private_root(tmp_path)
    with supervisor(root, "child=1") as process:
        if guard_dies_before:
            (old,) = guards(family(process.pid))
            old.kill()
            eventually(lambda: not alive([old]) and bool(guards(family(process.pid))), "there is a new guard")
        members = family(process.pid)
        assert len(members) == 6  # itself, the guard, nats, s3, the service and the service's child
        process.kill()
        eventually(lambda: not alive(members), "all processes are gone", 5)
    eventually(lambda: not sockets_of(ports_of(root).values()), "the sockets are gone", 5)
    assert is_stale(root)
    assert read_state(root) is None
    private_root(tmp_path)  # the next one clears up
    assert not root.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    root = tmp_path / "root"
    with supervisor(root, "child=1") as process:
        members = family(process.pid)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert not alive(members)
    assert "drained" in (root / "logs" / "fake.log").read_text()
    assert "Server Exiting" in (root / "logs" / "nats.log").read_text()
    assert not sockets_of(ports_of(root).values())
    Root(root).hold()  # nobody holds it


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with supervisor(root, "stubborn=1") as process:
        members = family(process.pid)
        (service,) = [each for each in members if "fake_service.py" in " ".join(each.cmdline())]
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert service.status() != psutil.STATUS_ZOMBIE  # its grace is 45 s
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert not alive(members)
