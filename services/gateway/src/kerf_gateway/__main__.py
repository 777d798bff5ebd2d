"""Start the gateway: `python -m kerf_gateway`."""

from __future__ import annotations

import asyncio

from kerf.artifacts.v1.artifacts_pb2_grpc import add_ArtifactServiceServicer_to_server
from kerf.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from kerf_core.catalog import CatalogReader
from kerf_core.grpc_server import GrpcServer
from kerf_core.jobs.dispatch import Dispatcher
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.policy import CostMeter, FairShare
from kerf_core.jobs.view import JobView
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings
from kerf_core.tasks import end_tasks
from kerf_gateway.acceptance import Acceptance
from kerf_gateway.artifact_servicer import ArtifactServicer
from kerf_gateway.batches import Batches
from kerf_gateway.job_servicer import JobServicer
from kerf_gateway.queue_stats import QueueBook
from kerf_gateway.quotas import QuotaBook
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.watchers import Watchers


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(GatewaySettings)

    async def build(runtime: Runtime) -> Parts:
        feed = EventFeed(runtime.bus, compare_every=settings.compare_every)
        view = JobView(feed)
        policy = FairShare(settings.starvation_bound)
        feed.listen(CostMeter(policy).entry)
        quotas = QuotaBook(settings, view, policy)
        dispatcher = Dispatcher(runtime.bus, view, settings, runtime.worker, policy)
        batches = Batches(runtime.bus, view, settings)
        watchers = Watchers(runtime.bus, feed, view, settings.watch_queue)
        jobs = JobServicer(
            acceptance=Acceptance(runtime.bus, dispatcher, settings),
            batches=batches,
            view=view,
            watchers=watchers,
            dispatcher=dispatcher,
            catalog=CatalogReader(runtime.bus),
            quotas=quotas,
            queue=QueueBook(feed, view, dispatcher.board),
            blobs=runtime.blobs,
            settings=settings,
        )
        for part in (dispatcher, watchers, feed):
            await part.start()

        async def background(server: GrpcServer) -> None:
            tasks = [asyncio.create_task(work) for work in (dispatcher.run(), quotas.follow(runtime.bus))]
            try:
                await server.draining.wait()
                watchers.drain()
                batches.drain()
                await asyncio.gather(*tasks)
            finally:
                await end_tasks(*tasks)
                await feed.stop()

        return Parts(
            service_names=["kerf.jobs.v1.JobService", "kerf.artifacts.v1.ArtifactService"],
            add=[
                lambda server: add_JobServiceServicer_to_server(jobs, server),
                lambda server: add_ArtifactServiceServicer_to_server(ArtifactServicer(runtime.blobs, settings), server),
            ],
            background=background,
        )

    run_service("gateway", settings, build)


if __name__ == "__main__":
    main()
