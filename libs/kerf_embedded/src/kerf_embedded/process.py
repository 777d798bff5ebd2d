"""One child process: started, watched, started again when it dies, stopped; never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from kerf_core.errors import DeadlineExceeded, FailedPrecondition, KerfError, Unavailable
from kerf_embedded.guard import Guard
from kerf_embedded.ports import is_free

LOG = logging.getLogger(__name__)
LAUNCHER = Path(__file__).with_name("launcher.py")
_TAIL_BYTES = 4096
_TAIL_LINES = 20
_PROBE_TIMEOUT_S = 5.0
_PROBE_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Limits:
    """How patient the supervisor is."""

    backoff: timedelta = timedelta(milliseconds=200)
    """Wait before the first restart; doubles with each death that follows soon."""
    backoff_max: timedelta = timedelta(seconds=5)
    rapid_deaths: int = 5
    """Deaths in a row, each before `stable_after`, after which the supervisor gives up: it cannot work at all."""
    rapid_deaths_later: int = 15
    """The same for a process that was ready before: what worked once is worth more patience."""
    stable_after: timedelta = timedelta(seconds=10)
    """A process that lived this long is forgiven its earlier deaths."""
    ready_within: timedelta = timedelta(seconds=120)
    """Wait for a process to become ready."""
    log_keep_bytes: int = 8 << 20
    """A log larger than this is set aside (as `.1`) when its process starts."""


@dataclass(frozen=True)
class Program:
    """What to run, and how to know that it is ready."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    ports: tuple[int, ...]
    probe: Callable[[], Awaitable[None]]
    """Returns if the program serves; raises Unavailable if it does not yet."""
    grace: timedelta
    """Time between SIGTERM and SIGKILL at a stop."""
    sockets: tuple[Path, ...] = ()
    """Files that it makes outside of its folder and leaves there when it is killed."""


class PortTaken(Unavailable):
    """Another process has one of the program's ports: choose others."""


class Supervised:
    """A `Program` that is kept running. Use it from one event loop only.

    The thread that runs this loop must live as long as the process should: Linux ties the parent-death signal to it.
    """

    def __init__(self, program: Program, guard: Guard, limits: Limits, changed: Callable[[], None]) -> None:
        self.program = program
        self.failure: asyncio.Future[KerfError] = asyncio.get_running_loop().create_future()
        """Done once the supervisor has given up on it."""
        self.restarts = 0
        self._guard = guard
        self._limits = limits
        self._changed = changed
        self._process: Process | None = None
        self._doomed: int | None = None
        self._was_ready = False
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is not running."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin to keep it running; returns at once."""
        self._task = asyncio.create_task(self._keep_running(), name=f"supervise {self.program.name}")

    async def wait_ready(self, within: timedelta | None = None) -> None:
        """Return once the running process answers its probe; after `kill`, once its successor does.

        Raises DeadlineExceeded (NOT_READY), or what the supervisor gave up with.
        """
        within = within or self._limits.ready_within
        last = "it has not started"
        deadline = time.monotonic() + within.total_seconds()
        while time.monotonic() < deadline:
            if self.failure.done():
                raise self.failure.result()
            pid = self.pid
            if pid is not None and pid != self._doomed:
                try:
                    await asyncio.wait_for(self.program.probe(), _PROBE_TIMEOUT_S)
                except Unavailable as error:
                    last = error.message
                except TimeoutError:
                    last = f"it did not answer within {_PROBE_TIMEOUT_S:g} s"
                else:
                    if pid == self.pid:  # else somebody else answered, or it has just died
                        self._was_ready = True
                        return
            await asyncio.sleep(_PROBE_INTERVAL_S)
        waited = f"{self.program.name} was not ready after {within.total_seconds():g} s"
        raise DeadlineExceeded("NOT_READY", f"{waited}: {last}{self._log_hint()}")

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the process alone. Raises FailedPrecondition (NOT_RUNNING)."""
        pid = self.pid
        if pid is None:
            raise FailedPrecondition("NOT_RUNNING", f"{self.program.name} is not running now")
        if number in {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}:
            self._doomed = pid
        os.kill(pid, number)

    def kill_group(self) -> None:
        """SIGKILL to the process and all that it started."""
        if (pid := self.pid) is not None:
            _kill_group(pid)

    async def stop(self) -> None:
        """SIGTERM, then after the grace SIGKILL; returns once it is gone, with all that it started."""
        self._stopping.set()
        if self._task is None:
            return
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
                # A process that somebody stopped would only wake up to be killed after the grace.
                self._process.send_signal(signal.SIGCONT)
        done, _ = await asyncio.wait({self._task}, timeout=self.program.grace.total_seconds())
        if not done:
            LOG.info("%s did not stop within %s; killing it", self.program.name, self.program.grace)
            self.kill_group()
        await self._task

    async def _keep_running(self) -> None:
        rapid = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                code = await self._run_once()
            except OSError as error:
                self.failure.set_result(
                    FailedPrecondition("CANNOT_START", f"cannot start {self.program.name}: {error.strerror or error}")
                )
                return
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            rapid = 1 if self._doomed or lived >= self._limits.stable_after.total_seconds() else rapid + 1
            self._doomed = None
            LOG.warning("%s died %s after %.1f s", self.program.name, _describe(code), lived)
            if reason := self._reason_to_give_up(rapid, code):
                self.failure.set_result(reason)
                self._changed()
                return
            delay = min(self._limits.backoff * 2 ** (rapid - 1), self._limits.backoff_max)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay.total_seconds())
            self.restarts += 1

    async def _run_once(self) -> int:
        program = self.program
        for path in program.sockets:  # of a predecessor that was killed
            path.unlink(missing_ok=True)
        with _open_log(program.log, self._limits.log_keep_bytes) as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(LAUNCHER),
                str(os.getpid()),
                *program.command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                cwd=program.folder,
                env=dict(program.environment),
                start_new_session=True,  # Ctrl-C reaches the supervisor only, and the group holds its children
            )
        self._process = process
        try:
            self._guard.add(process.pid)
            self._changed()
            if self._stopping.is_set():  # stop() came while the process was being made, and could not signal it
                process.send_signal(signal.SIGTERM)
            return await process.wait()
        finally:
            self._process = None
            _kill_group(process.pid)
            self._guard.drop(process.pid)

    def _reason_to_give_up(self, rapid: int, code: int) -> KerfError | None:
        name = self.program.name
        taken = [] if self._was_ready else [port for port in self.program.ports if not is_free(port)]
        if taken:
            return PortTaken("PORT_TAKEN", f"{name} cannot listen on port {taken[0]}: another process has it")
        allowed = self._limits.rapid_deaths_later if self._was_ready else self._limits.rapid_deaths
        if rapid < allowed:
            return None
        return Unavailable(
            "PROCESS_KEEPS_DYING",
            f"{name} died {rapid} times in a row, at last {_describe(code)}; not trying again{self._log_hint()}",
        )

    def _log_hint(self) -> str:
        text = tail(self.program.log)
        return f"\nThe end of {self.program.log}:\n{text}" if text else f"\n{self.program.log} is empty"


def tail(path: Path) -> str:
    """The last lines of a log, indented, at most 4 KiB; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


def _describe(code: int) -> str:
    if code >= 0:
        return f"with exit status {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


@contextlib.contextmanager
def _open_log(path: Path, keep_bytes: int) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > keep_bytes:
            path.replace(path.with_name(path.name + ".1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
