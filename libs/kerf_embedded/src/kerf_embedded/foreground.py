"""Runs a stack in the foreground of a terminal or under a service manager: signals mean an orderly stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 128


async def run_in_foreground(stack: EmbeddedStack, work: Callable[[StackInfo], Awaitable[int]] | None = None) -> int:
    """Start the stack, do `work` with it, stop it; returns the exit status.

    Without `work` the stack stays until a signal, and a stop by signal is success (0). With it the status is what
    `work` returned, or 128 + the signal's number. The first SIGINT, SIGTERM or SIGHUP cancels the work and drains; the
    second kills every process at once. Raises what `start` and `work` raise, and the reason if a process keeps dying.
    """
    with _signals(stack) as asked:
        body = asyncio.create_task(_body(stack, work))
        asking = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait({body, asking}, return_when=asyncio.FIRST_COMPLETED)
            if body.done():
                return body.result()
            body.cancel()
            await asyncio.gather(body, return_exceptions=True)
            return 0 if work is None else _INTERRUPTED + asked.number
        finally:
            asking.cancel()
            body.cancel()
            await stack.stop()


async def _body(stack: EmbeddedStack, work: Callable[[StackInfo], Awaitable[int]] | None) -> int:
    info = await stack.start()
    failing = asyncio.create_task(stack.wait_failed())
    if work is None:
        raise await failing
    working = asyncio.ensure_future(work(info))
    try:
        await asyncio.wait({working, failing}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise failing.result()
    finally:
        failing.cancel()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


class _Asked(asyncio.Event):
    """Set at the first signal."""

    number = 0


@contextmanager
def _signals(stack: EmbeddedStack) -> Iterator[_Asked]:
    asked = _Asked()

    def on_signal(number: int) -> None:
        if asked.is_set():
            stack.kill_all()
        else:
            asked.number = number
            asked.set()

    loop = asyncio.get_running_loop()
    # nohup and shells' background jobs ignore signals on purpose: that stays so.
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield asked
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
