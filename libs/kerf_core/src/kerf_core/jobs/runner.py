"""The stage runner: takes dispatched stages, runs the worker's handler, commits. See `DECISION-one-log.md`."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import BadRequestError

from kerf.runtime.v1.runtime_pb2 import Slots
from kerf_core.blobs import BlobStore
from kerf_core.bus import Bus
from kerf_core.compute import ComputePool
from kerf_core.jobs.attempt import Attempt, settle
from kerf_core.jobs.context import ProgressBudget
from kerf_core.jobs.names import parse_work
from kerf_core.jobs.pull import WorkPuller
from kerf_core.metrics import SLOTS_FREE, STAGES_RUNNING
from kerf_core.settings import ServiceSettings
from kerf_core.stages import StageHandler
from kerf_core.streams import declare_consumer
from kerf_core.tasks import end_tasks

LOG = logging.getLogger(__name__)
_ANNOUNCE_SECONDS = 2.0
_ANNOUNCE_LEAST_SECONDS = 0.005
"""A free slot may idle for so long before the dispatchers hear of it."""
_IDLE_ASK_SECONDS = 0.5


class StageRunner:
    """Runs stages of one kind until it is told to stop."""

    def __init__(
        self,
        *,
        bus: Bus,
        blobs: BlobStore,
        pool: ComputePool,
        handler: StageHandler,
        settings: ServiceSettings,
        worker: str,
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._pool = pool
        self._handler = handler
        self._settings = settings
        self._worker = worker
        self._budget = ProgressBudget(settings.progress_budget_per_second)
        self._attempts: dict[asyncio.Task[None], Attempt | None] = {}
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._slots_changed = asyncio.Event()

    async def run(self) -> None:
        """Take and run stages; returns after `stop` when no message can arrive any more."""
        name = await self._declared()
        puller = WorkPuller(self._bus, name, self._wake)
        await puller.start()
        self._pool.on_change(self._wake.set)
        self._pool.on_change(self._slots_changed.set)
        announcer = asyncio.create_task(self._announce())
        try:
            while not self._stopping.is_set():
                while not puller.arrived.empty():
                    self._begin(puller.arrived.get_nowait())
                with suppress(NatsError):
                    await puller.ask(self._pool.free)
                await self._awake()
            while puller.outstanding or not puller.arrived.empty():
                while not puller.arrived.empty():
                    await _hand_on(puller.arrived.get_nowait())
                await self._awake()
        finally:
            await end_tasks(announcer)

    async def _declared(self) -> str:
        """The consumer's name, once NATS has it: servers that choose a leader just now answer later."""
        while True:
            try:
                return await declare_consumer(self._bus.js, self._handler.kind, self._settings)
            except BadRequestError:  # it would say so for ever
                raise
            except NatsError as error:
                LOG.warning("declaring the consumer: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_IDLE_ASK_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Take nothing more; let running stages end within the grace, then hand back what still runs.

        A stage that saves its work loses nothing by going on elsewhere: it is handed back at once.
        """
        self._stopping.set()
        self._wake.set()
        self._slots_changed.set()
        for attempt in self._attempts.values():
            if attempt is not None and attempt.running is not None and attempt.running.checkpointed:
                attempt.hand_back("the worker is stopping")
        if self._attempts:
            await asyncio.wait(list(self._attempts), timeout=grace_seconds)
        for attempt in self._attempts.values():
            if attempt is not None:
                attempt.hand_back("the worker is stopping")
        if self._attempts:
            await asyncio.wait(list(self._attempts), timeout=10)

    async def _awake(self) -> None:
        """Wait until something changed, or for half a second: requests expire, connections come back."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_ASK_SECONDS):
                await self._wake.wait()
        self._wake.clear()

    def _begin(self, message: Msg) -> None:
        task = asyncio.create_task(self._deliver(message, holds_slot=self._pool.take_nowait()))
        self._attempts[task] = None
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._attempts.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a delivery failed; the message comes again", exc_info=task.exception())

    async def _deliver(self, message: Msg, *, holds_slot: bool) -> None:
        if not holds_slot:
            # Direct calls took the slots meanwhile: keep the message alive while it waits for one.
            keeper = asyncio.create_task(_keep(message, self._settings.heartbeat.total_seconds()))
            try:
                await self._pool.take()
            finally:
                await end_tasks(keeper)
        STAGES_RUNNING.labels(self._handler.kind).inc()
        try:
            if self._stopping.is_set():
                await _hand_on(message)
            else:
                await settle(self._attempt(message))
        finally:
            STAGES_RUNNING.labels(self._handler.kind).dec()
            self._pool.give()

    def _attempt(self, message: Msg) -> Attempt:
        attempt = Attempt(
            bus=self._bus,
            blobs=self._blobs,
            pool=self._pool,
            handler=self._handler,
            settings=self._settings,
            worker=self._worker,
            budget=self._budget,
            work=parse_work(message.subject),
            message=message,
        )
        task = asyncio.current_task()
        if task is not None:
            self._attempts[task] = attempt
        return attempt

    async def _announce(self) -> None:
        """Tell the dispatchers how many slots are free: at every change, and every few seconds."""
        subject = f"kerf.v1.slots.{self._handler.kind}.{self._worker}"
        kind = self._handler.kind
        while True:
            self._slots_changed.clear()
            stopping = self._stopping.is_set()
            slots = Slots(
                capacity=0 if stopping else self._pool.capacity,
                free=0 if stopping else self._pool.free,
                node=self._settings.node or socket.gethostname(),
            )
            SLOTS_FREE.labels(kind).set(slots.free)
            await self._bus.publish(subject, slots.SerializeToString())
            await asyncio.sleep(_ANNOUNCE_LEAST_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANNOUNCE_SECONDS):
                    await self._slots_changed.wait()


async def _keep(message: Msg, interval_seconds: float) -> None:
    while True:
        await asyncio.sleep(interval_seconds)
        with suppress(NatsError):
            await message.in_progress()


async def _hand_on(message: Msg) -> None:
    """Give an untouched message to whoever asks next."""
    with suppress(NatsError):
        await message.nak()
