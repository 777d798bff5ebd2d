"""A worker that starts while the servers choose a leader waits for its queue, and dies of what is wrong for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig
from nats.js.errors import BadRequestError, ServiceUnavailableError

from kerf_core.compute import ComputePool
from kerf_core.jobs.runner import StageRunner
from kerf_core.settings import ServiceSettings
from kerf_core.stages import StageContext, StageResult
from kerf_core.tasks import end_tasks


class Idle:
    """A handler that nothing comes to."""

    kind = "noop"

    async def run(self, context: StageContext) -> StageResult:
        raise AssertionError(context.stage.id)


class Servers:
    """Answer requests for a consumer with these errors, then as they should; note that messages are asked for."""

    def __init__(self, *errors: NatsError) -> None:
        self.client = self.js = self
        self.errors = list(errors)
        self.asked = asyncio.Event()

    async def add_consumer(self, stream: str, config: ConsumerConfig) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def delete_consumer(self, stream: str, name: str) -> None:
        """It may be made anew."""

    def new_inbox(self) -> str:
        return "_INBOX.test"

    async def subscribe(self, subject: str, cb: object) -> SimpleNamespace:
        return SimpleNamespace()

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        if reply:
            self.asked.set()


@pytest.fixture
def pool() -> Iterator[ComputePool]:
    pool = ComputePool(1)
    yield pool
    pool.close()


def runner(servers: Servers, pool: ComputePool) -> StageRunner:
    return StageRunner(
        bus=servers,  # type: ignore[arg-type]  # the calls that a runner makes
        blobs=None,  # type: ignore[arg-type]  # nothing is computed
        pool=pool,
        handler=Idle(),
        settings=ServiceSettings.model_construct(),
        worker="w",
    )


async def test_it_asks_again_until_somebody_leads(pool: ComputePool) -> None:
    servers = Servers(NatsTimeout(), ServiceUnavailableError(code=503))
    running = asyncio.create_task(runner(servers, pool).run())
    try:
        await asyncio.wait_for(servers.asked.wait(), 10)
    finally:
        await end_tasks(running)
    assert not servers.errors


async def test_a_refusal_for_good_ends_it(pool: ComputePool) -> None:
    servers = Servers(BadRequestError(code=400), BadRequestError(code=400))
    with pytest.raises(BadRequestError):
        await asyncio.wait_for(runner(servers, pool).run(), 10)
