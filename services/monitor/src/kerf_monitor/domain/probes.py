"""Asking what may never answer: each probe runs in a thread of its own, with a time limit."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from kerf_monitor.domain.snapshot import GpuFacts, HostFigures

LOG = logging.getLogger(__name__)
T = TypeVar("T")


class GpuProbe(Protocol):
    """Reads all GPUs."""

    def read(self) -> GpuFacts:
        """Ask the driver, blocking. Never raises: what fails is UNKNOWN, with the reason."""
        ...


class HostProbe(Protocol):
    """Reads the host."""

    def read(self) -> HostFigures:
        """Ask the system, blocking. Never raises: what fails is UNKNOWN, with the reason."""
        ...


class Silent(Exception):
    """The probe did not answer in time, or broke; says which and for people."""


class PatientProbe(Generic[T]):
    """Runs a blocking read off the event loop; a read that hangs holds one thread, never two, and never the process."""

    def __init__(self, name: str, read: Callable[[], T], timeout: timedelta) -> None:
        self._name = name
        self._read = read
        self._timeout = timeout.total_seconds()
        self._running: asyncio.Future[T] | None = None

    async def read(self) -> T:
        """The answer. Raises Silent; then the read goes on, and the next call waits for it instead of a new one."""
        if self._running is None:
            self._running = self._start()
        running = self._running
        await asyncio.wait({running}, timeout=self._timeout)  # the time limit ends the waiting, not the read
        if not running.done():
            raise Silent(f"{self._name} has not answered within {self._timeout:g} s")
        self._running = None
        error = running.exception()
        if error is not None:
            LOG.error("%s broke", self._name, exc_info=error)
            raise Silent(f"{self._name} broke: {type(error).__name__}") from error
        return running.result()

    def _start(self) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def tell(set_it: Callable[[], None]) -> None:
            def unless_done() -> None:
                if not future.done():
                    set_it()

            if not loop.is_closed():
                loop.call_soon_threadsafe(unless_done)

        def work() -> None:
            try:
                answer = self._read()
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
                problem = error
                tell(lambda: future.set_exception(problem))
            else:
                tell(lambda: future.set_result(answer))

        # A daemon thread, not a pool: at its end Python waits for the threads of a pool, and a hung one never ends.
        threading.Thread(target=work, name=self._name, daemon=True).start()
        return future
