"""The supervisor's side of `guard_script`: says which process groups live."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

_SCRIPT = Path(__file__).with_name("guard_script.py")
_END_WAIT_S = 5.0
_REVIVE_AFTER_S = 0.1


class Guard:
    """One helper process per supervisor. If it is killed, another one takes its place and is told everything."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._groups: set[int] = set()
        self._files: list[Path] = []

    async def start(self) -> None:
        """Start the helper."""
        process = await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive(process), name="watch the guard")

    def add(self, group: int) -> None:
        """A process group began."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def drop(self, group: int) -> None:
        """A process group ended: its number may soon be somebody else's."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def sweep(self, *paths: Path) -> None:
        """Files to remove if the supervisor dies."""
        self._files += paths
        self._tell(*(f"~{path}" for path in paths))

    async def stop(self) -> None:
        """End the helper; it kills what was not dropped. Does nothing if it was not started."""
        if self._watch is None:
            return
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        process, self._process, self._watch = self._process, None, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_WAIT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _spawn(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_SCRIPT), stdin=PIPE, stdout=DEVNULL, start_new_session=True
        )
        self._process = process
        self._tell(*(f"+{group}" for group in sorted(self._groups)), *(f"~{path}" for path in self._files))
        return process

    async def _keep_alive(self, process: Process) -> None:
        while True:
            await process.wait()
            await asyncio.sleep(_REVIVE_AFTER_S)
            process = await self._spawn()

    def _tell(self, *lines: str) -> None:
        """What a dying helper misses, its successor is told at its start."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())
