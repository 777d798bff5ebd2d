"""A real embedded stack that tests of any event loop can share: it lives in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kerf_embedded.service import ServiceSpec
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack

T = TypeVar("T")
QUICK = {
    "ACK_WAIT": "3",
    "HEARTBEAT": "0.8",
    "RETRY_BACKOFF": "0.2",
    "APPEND_TIMEOUT": "1",
    "SWEEP_INTERVAL": "1.5",
    "DRAIN_NOTICE": "0",
    "DRAIN_GRACE": "5",
    "TERMINATION_GRACE": "8",
}
"""Timings with which a lost worker is noticed within seconds."""


class StackThread:
    """Calls an `EmbeddedStack` from outside its loop."""

    def __init__(self, root: Path, services: Sequence[ServiceSpec]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stack", daemon=True)
        self._thread.start()
        # pytest removes old folders; the logs of a failed run should stay
        self._stack = EmbeddedStack(root, services=services)
        self.info: StackInfo = self._do(self._stack.start())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; the supervisor starts the process again."""

        async def kill() -> None:
            self._stack.kill(name, number)

        self._do(kill())

    def wait_ready(self, name: str) -> None:
        """Block until the process, or its successor, answers."""
        self._do(self._stack.wait_ready(name))

    def pid(self, name: str) -> int:
        """The process as it runs now."""
        pid = self._stack.pid(name)
        assert pid is not None, f"{name} does not run"
        return pid

    def restarts(self, name: str) -> int:
        """How often the process was started again."""
        return self._stack.restarts(name)

    def stop(self) -> None:
        """Stop everything."""
        self._do(self._stack.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def service(name: str, module: str = "", **more: str) -> ServiceSpec:
    """`python -m kerf_<name>` with quick timings. Names in `more` are without their prefix."""
    prefix = f"KERF_{name.upper()}_"
    environment = {prefix + key: value for key, value in (QUICK | more).items()}
    return ServiceSpec(name, (sys.executable, "-m", module or f"kerf_{name}"), environment)


@contextmanager
def running_stack(root: Path, *services: ServiceSpec) -> Iterator[StackThread]:
    """A stack for the body."""
    stack = StackThread(root, services)
    try:
        yield stack
    finally:
        stack.stop()
