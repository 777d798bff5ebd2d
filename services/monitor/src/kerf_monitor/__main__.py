"""Start the monitor: `python -m kerf_monitor`."""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import REGISTRY

from kerf.monitor.v1.monitor_pb2_grpc import add_MonitorServiceServicer_to_server
from kerf_core.grpc_server import GrpcServer
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings
from kerf_core.tasks import end_tasks
from kerf_monitor.adapters.exporter import NodeCollector
from kerf_monitor.adapters.job_feed import JobFeed
from kerf_monitor.domain.health import health_of
from kerf_monitor.servicer import MonitorServicer
from kerf_monitor.settings import MonitorSettings
from kerf_monitor.wiring import build_book, build_node, limits_of, publish_all, thresholds_of

LOG = logging.getLogger(__name__)
_TOO_OLD_INTERVALS = 5


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(MonitorSettings)

    async def build(runtime: Runtime) -> Parts:
        node = build_node(settings)
        book = build_book(settings, node)
        limits = limits_of(settings)
        first = await node.sample()
        LOG.info("watching node %s: %s", node.name, first.gpu.message)
        too_old = _TOO_OLD_INTERVALS * max(settings.interval, settings.probe_timeout)
        collector = NodeCollector(
            lambda: node.newest, lambda snapshot: health_of(snapshot, limits), lambda: book.running, too_old
        )
        REGISTRY.register(collector)
        feed = JobFeed(runtime.bus, book)
        await feed.start()
        servicer = MonitorServicer(
            node,
            book,
            interval=settings.interval,
            max_watchers=settings.max_watchers,
            limits=limits,
            thresholds=thresholds_of(settings),
        )

        async def background(server: GrpcServer) -> None:
            sampling = asyncio.create_task(node.run())
            publishing = asyncio.create_task(publish_all(runtime.bus, node, settings.interval))
            draining = asyncio.create_task(_drained(server))
            try:
                done, _ = await asyncio.wait({sampling, publishing, draining}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                node.drain()
                await end_tasks(sampling, publishing, draining)
                await feed.stop()

        return Parts(
            service_names=["kerf.monitor.v1.MonitorService"],
            add=[lambda server: add_MonitorServiceServicer_to_server(servicer, server)],
            background=background,
        )

    run_service("monitor", settings, build)


async def _drained(server: GrpcServer) -> None:
    await server.draining.wait()


if __name__ == "__main__":
    main()
