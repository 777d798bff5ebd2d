"""Ending background tasks for sure."""

from __future__ import annotations

import asyncio

_ASK_AGAIN_SECONDS = 0.2


async def end_tasks(*tasks: asyncio.Future[None]) -> None:
    """Cancel tasks and wait until all have ended; what they raise is theirs and is dropped.

    One `cancel` is not enough: before Python 3.12 `asyncio.wait_for`, which the NATS client uses everywhere, loses a
    cancellation that comes at the moment when its own wait is over (CPython issue 81839), and the task goes on.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_ASK_AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()
