"""Background tasks end, also those that lose a cancellation."""

from __future__ import annotations

import asyncio

from kerf_core.compute import ComputePool
from kerf_core.tasks import end_tasks


async def test_a_task_that_swallows_a_cancellation_is_asked_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    async def failing() -> None:
        raise ValueError("its own affair")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end_tasks(*tasks)
    assert swallowed == 3
    assert all(task.done() for task in tasks)


async def test_slots_are_granted_in_order_of_asking_and_none_is_lost() -> None:
    pool = ComputePool(1)
    order: list[int] = []

    async def work(number: int) -> None:
        async with pool.slot():
            order.append(number)
            await asyncio.sleep(0)

    assert pool.take_nowait()
    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    pool.give()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 2, 3]
    assert pool.free == pool.capacity == 1
    pool.close()


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    pool = ComputePool(1)
    ended: list[bool] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        import time

        loop.call_soon_threadsafe(begun.set)
        time.sleep(0.2)
        ended.append(True)

    task = asyncio.create_task(pool.run(work))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended == [True]
    pool.close()
