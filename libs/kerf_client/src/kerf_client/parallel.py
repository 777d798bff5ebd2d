"""Several waits at once, without leaving one behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def map_parallel(
    work: Callable[[Item], Coroutine[Any, Any, Result]], items: Iterable[Item], limit: int
) -> list[Result]:
    """`work` on every item, at most `limit` at once; the results in the items' order.

    The first error is raised as it is (a TaskGroup would wrap it) after all others were cancelled and have ended.
    """
    gate = asyncio.Semaphore(limit)

    async def one(item: Item) -> Result:
        async with gate:
            return await work(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
