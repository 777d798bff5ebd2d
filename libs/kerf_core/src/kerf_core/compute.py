"""Slots and threads for computing, shared by a worker's two doors: job stages and direct calls."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_LOOK_UP_EVERY_S = 0.05


@contextmanager
def held(lock: threading.Lock, check: Callable[[], None]) -> Iterator[None]:
    """Hold a lock for the body; while waiting for it, `check` is called again and again and may raise."""
    while not lock.acquire(timeout=_LOOK_UP_EVERY_S):
        check()
    try:
        yield
    finally:
        lock.release()


class ComputePool:
    """`capacity` slots, granted in order of asking, and as many threads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._listeners: list[Callable[[], None]] = []
        self._threads = ThreadPoolExecutor(max_workers=capacity, thread_name_prefix="compute")

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a slot was taken or given back."""
        self._listeners.append(listener)

    def take_nowait(self) -> bool:
        """Take a slot if one is free and nobody waits. Whoever takes gives back."""
        if self.free == 0:
            return False
        self.free -= 1
        self._tell()
        return True

    async def take(self) -> None:
        """Wait for a slot and take it."""
        if self.take_nowait():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Give a slot back: to the one who waits longest, if any."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1
        self._tell()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot for the body."""
        await self.take()
        try:
            yield
        finally:
            self.give()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work in a thread. A cancelled caller still waits for the thread: cancel its token too."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        future = loop.run_in_executor(self._threads, lambda: context.run(work, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # retrieved: the caller is gone, nobody else will
            raise

    def close(self) -> None:
        """Let idle threads end; running ones end with their work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
