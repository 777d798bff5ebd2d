"""A backup is taken under load, everything is destroyed, and another stack goes on from it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from chaos.faults.checker import violations
from chaos.faults.history import TERMINAL, Bounds, Delivery, Entry, History
from chaos.faults.load import Client
from chaos.faults.readback import read_journals, read_logs
from chaos.faults.stack import ACK_WAIT_S, MAX_ATTEMPTS, STACK, FaultyStack, faulty_stack
from chaos.faults.wishes import Entrance, Wish
from e2e_calls import Caller
from kerf_embedded.backup import back_up, restore

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]
ENDS_WITHIN_S = 90.0
CALL_S = 20.0


def wishes() -> Iterator[Wish]:
    """Jobs that take between one and four seconds, each asked for with a request_id."""
    number = 0
    while True:
        yield Wish(
            number=number,
            at_s=0.0,
            word=("fish", "fox", "boat")[number % 3],
            steps=(2, 9)[number % 2],
            seed=number,
            stages=1 + number % 3,
            trains=number % 7 == 6,
            entrance=Entrance.CREATE,
            known=True,
            replays=0,
            contradicts=False,
            cancels_after=0,
            leaves_after=(),
            watchers=1,
        )
        number += 1


class Shop:
    """Asks one stack for jobs and keeps what it was told."""

    def __init__(self, stack: FaultyStack, api_key: str) -> None:
        self.history = History(Bounds(time.time(), ENDS_WITHIN_S, ACK_WAIT_S, MAX_ATTEMPTS))
        self.surprises: list[str] = []
        self.doors = [Caller(target, api_key) for target in stack.doors]
        self.give_up_at = time.time() + ENDS_WITHIN_S

    def client(self, wish: Wish) -> Client:
        return Client(wish, self.doors, self.history, self.surprises, CALL_S, lambda: self.give_up_at)

    async def flood(self, jobs: dict[str, Wish]) -> None:
        """Ask for one job after the other, until cancelled."""
        for wish in wishes():
            jobs[await self.client(wish).create(wish.job())] = wish
            await asyncio.sleep(0.4)

    async def close(self) -> None:
        for door in self.doors:
            await door.channel.close()


async def under_way(stack: FaultyStack, *, ended: int, running: int) -> list[Entry]:
    """The logs, as soon as so many jobs have ended and so many run."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        while True:
            entries = await read_logs(stack.info)
            last = {entry.job: entry for entry in entries}
            done = sum(entry.body in TERMINAL for entry in last.values())
            if done >= ended and sum(entry.head.state == "running" for entry in last.values()) >= running:
                return entries
            await asyncio.sleep(0.1)


async def all_ended(stack: FaultyStack) -> list[Entry]:
    async with asyncio.timeout(ENDS_WITHIN_S):
        while True:
            entries = await read_logs(stack.info)
            if {entry.job for entry in entries} == {entry.job for entry in entries if entry.body in TERMINAL}:
                return entries
            await asyncio.sleep(0.3)


async def test_a_stack_goes_on_from_a_backup_that_was_taken_under_load(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    jobs: dict[str, Wish] = {}
    async with faulty_stack(tmp_path / "first") as first:
        shop = Shop(first, first.info.api_key)
        flood = asyncio.create_task(shop.flood(jobs))
        before = await under_way(first, ended=6, running=2)
        answered = list(shop.history.asked)
        manifest = await back_up(first.info, saved)
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        await shop.close()
        key = first.info.api_key
        first.stack.kill_all()
    shutil.rmtree(tmp_path / "first" / STACK)
    assert manifest["objects"]["count"] > 0
    await restore(saved, tmp_path / "second" / STACK)
    async with faulty_stack(tmp_path / "second") as second:
        again = Shop(second, key)  # the customer's key works as before
        for call in answered:
            wish = jobs[call.job]
            assert await again.client(wish).create(wish.job()) == call.job, "a request was done again"
        after = await all_ended(second)
        kept = {(entry.job, entry.sequence): entry.digest for entry in after}
        assert {(entry.job, entry.sequence): entry.digest for entry in before}.items() <= kept.items()
        for job, sha256 in sorted({(entry.job, output.sha256) for entry in after for output in entry.outputs}):
            client = again.client(jobs.get(job) or next(wishes()))
            got = await client.until_answered(partial(client.download, sha256, job)) or ""
            again.history.deliveries.append(Delivery("reader", job, sha256, got))
        await again.close()
    history = again.history
    history.asked += answered
    history.entries = after
    history.bounds = Bounds(time.time(), ENDS_WITHIN_S, ACK_WAIT_S, MAX_ATTEMPTS)
    second_works = read_journals(tmp_path / "second" / "journals")
    history.executions = read_journals(tmp_path / "first" / "journals") + second_works
    assert not violations(history), "\n".join(map(str, violations(history)))
    assert not again.surprises
    ended_before = {entry.job for entry in before if entry.body in TERMINAL}
    assert not ended_before & {execution.job for execution in second_works}, "what had ended was done again"
    assert second_works, "nothing was open when the backup was taken: it proved little"
