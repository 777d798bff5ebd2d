"""Starting and stopping a service: what every `__main__` shares."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kerf_core.auth import KeyRing
from kerf_core.blobs import BlobStore
from kerf_core.bus import Bus
from kerf_core.compute import ComputePool
from kerf_core.grpc_server import AddServicer, GrpcServer
from kerf_core.jobs.runner import StageRunner
from kerf_core.logs import configure_logging
from kerf_core.metrics import serve_metrics
from kerf_core.settings import ServiceSettings
from kerf_core.stages import StageHandler
from kerf_core.streams import declare
from kerf_core.tasks import end_tasks
from kerf_core.tracing import configure_tracing

LOG = logging.getLogger(__name__)
_HEALTH_SECONDS = 1.0


@dataclass
class Runtime:
    """What a service's own parts are built from."""

    bus: Bus
    blobs: BlobStore
    pool: ComputePool
    worker: str


@dataclass
class Parts:
    """What a service's `__main__` builds. `background` runs until the service stops."""

    service_names: list[str]
    add: list[AddServicer]
    handler: StageHandler | None = None
    background: Callable[[GrpcServer], Awaitable[None]] | None = None


Build = Callable[[Runtime], Awaitable[Parts]]


def run_service(name: str, settings: ServiceSettings, build: Build) -> None:
    """Run until SIGTERM or SIGINT, then drain; a second signal ends at once."""
    configure_logging(name, settings.log_level)
    configure_tracing()
    _spare_the_collector()
    asyncio.run(_serve(name, settings, build))


def _spare_the_collector() -> None:
    """Look for garbage cycles less often: a job leaves few, and what was imported never becomes any."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


async def _serve(name: str, settings: ServiceSettings, build: Build) -> None:
    stopping = asyncio.Event()
    _on_signals(stopping)
    worker = settings.worker_id or f"{socket.gethostname().lower().replace('.', '-')[:40]}-{secrets.token_hex(4)}"
    metrics_port = serve_metrics(settings.grpc_host, settings.metrics_port)
    async with _connected(name, settings, stopping) as bus:
        if bus is None:
            return
        blobs = BlobStore(settings)
        pool = ComputePool(settings.stage_slots)
        parts = await build(Runtime(bus, blobs, pool, worker))
        server = GrpcServer(settings, KeyRing(bus), service_names=parts.service_names, add=parts.add)
        port = await server.start()
        LOG.info("listening", extra={"grpc_port": port, "metrics_port": metrics_port, "worker": worker})
        await _run_parts(parts, server, Runtime(bus, blobs, pool, worker), settings, stopping)
        pool.close()
    LOG.info("stopped")


async def _run_parts(
    parts: Parts, server: GrpcServer, runtime: Runtime, settings: ServiceSettings, stopping: asyncio.Event
) -> None:
    tasks = [asyncio.create_task(_watch_health(server, runtime, stopping))]
    runner = None
    if parts.handler is not None:
        runner = StageRunner(
            bus=runtime.bus,
            blobs=runtime.blobs,
            pool=runtime.pool,
            handler=parts.handler,
            settings=settings,
            worker=runtime.worker,
        )
        tasks.append(asyncio.create_task(runner.run()))
    if parts.background is not None:
        tasks.append(asyncio.ensure_future(parts.background(server)))
    stop = asyncio.create_task(_wait(stopping))
    done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    LOG.info("draining")
    grace = settings.drain_grace
    halves = [server.drain(settings.drain_notice, grace)]
    if runner is not None:
        halves.append(runner.stop(grace.total_seconds()))
    await asyncio.gather(*halves)
    await end_tasks(*tasks, stop)
    for task in done - {stop}:
        if not task.cancelled() and task.exception() is not None:
            raise RuntimeError("a part of the service ended early") from task.exception()


async def _watch_health(server: GrpcServer, runtime: Runtime, stopping: asyncio.Event) -> None:
    """Overall health follows NATS; the capability `artifacts` follows S3."""
    while not stopping.is_set():
        await server.set_health("", serving=runtime.bus.connected)
        await server.set_health("artifacts", serving=await runtime.blobs.ready())
        await asyncio.sleep(_HEALTH_SECONDS)


@asynccontextmanager
async def _connected(name: str, settings: ServiceSettings, stopping: asyncio.Event) -> AsyncIterator[Bus | None]:
    """Connect to NATS and declare the streams, however long NATS takes to come; None if told to stop before."""
    connecting = asyncio.create_task(_connect(name, settings))
    stop = asyncio.create_task(_wait(stopping))
    await asyncio.wait({connecting, stop}, return_when=asyncio.FIRST_COMPLETED)
    await end_tasks(stop)
    if not connecting.done():
        connecting.cancel()
        yield None
        return
    bus = connecting.result()
    try:
        yield bus
    finally:
        await bus.close()


async def _connect(name: str, settings: ServiceSettings) -> Bus:
    bus = await Bus.connect(settings, name)
    while True:
        try:
            await declare(bus.js, settings)
            return bus
        except Exception as error:  # noqa: BLE001 - whatever NATS answers while it starts: say it and try again
            LOG.warning("declaring streams: %s: %s", type(error).__name__, error)
            await asyncio.sleep(0.5)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(130)  # a second signal: at once
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
