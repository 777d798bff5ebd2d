"""Puts the gateway's parts together."""

from __future__ import annotations

import asyncio

from kerf.admin.v1.admin_pb2_grpc import add_AdminServiceServicer_to_server
from kerf.artifacts.v1.artifacts_pb2_grpc import add_ArtifactServiceServicer_to_server
from kerf.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from kerf_core.catalog import CatalogReader
from kerf_core.grpc_server import GrpcServer
from kerf_core.jobs.dispatch import Dispatcher
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.policy import CostMeter, FairShare
from kerf_core.jobs.view import JobView
from kerf_core.service import Parts, Runtime
from kerf_core.tasks import end_tasks
from kerf_gateway.acceptance import Acceptance
from kerf_gateway.admin_servicer import AdminServicer
from kerf_gateway.admission import Admission
from kerf_gateway.artifact_servicer import ArtifactServicer
from kerf_gateway.batches import Batches
from kerf_gateway.estimates import Estimator
from kerf_gateway.job_servicer import JobServicer
from kerf_gateway.lost_outputs import LostOutputs
from kerf_gateway.queue_stats import QueueBook
from kerf_gateway.quotas import QuotaBook
from kerf_gateway.retention import Archive, Janitor
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.tenants.deletions import DeletionBook
from kerf_gateway.tenants.eraser import TenantEraser
from kerf_gateway.watchers import Watchers


async def build_gateway(runtime: Runtime, settings: GatewaySettings) -> Parts:
    """The gateway's parts, following the feed already."""
    bus, blobs = runtime.bus, runtime.blobs
    feed = EventFeed(bus, compare_every=settings.compare_every)
    view = JobView(feed)
    policy = FairShare(settings.starvation_bound, settings.queue_ahead_below, settings.kept_idle_share)
    feed.listen(CostMeter(policy).entry)
    quotas = QuotaBook(settings, view, policy)
    dispatcher = Dispatcher(bus, view, settings, runtime.worker, policy)
    archive = Archive(blobs)
    janitor = Janitor(bus, blobs, view, archive, settings, runtime.worker)
    deletions = DeletionBook(bus)
    admission = Admission(deletions, settings)
    eraser = TenantEraser(bus, blobs, view, deletions, settings, runtime.worker)
    queue = QueueBook(feed, view, dispatcher.board)
    batches = Batches(bus, view, settings)
    watchers = Watchers(bus, feed, view, settings.watch_queue)
    jobs = JobServicer(
        acceptance=Acceptance(bus, dispatcher, settings),
        archive=archive,
        batches=batches,
        view=view,
        watchers=watchers,
        dispatcher=dispatcher,
        catalog=CatalogReader(bus),
        quotas=quotas,
        queue=queue,
        estimator=Estimator(feed, queue),
        admission=admission,
        blobs=blobs,
        settings=settings,
    )
    artifacts = ArtifactServicer(blobs, LostOutputs(bus, archive, settings), admission, settings)
    for part in (dispatcher, watchers, feed):
        await part.start()

    async def background(server: GrpcServer) -> None:
        works = (dispatcher.run(), quotas.follow(bus), janitor.run(), deletions.follow(), eraser.run())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await server.draining.wait()
            watchers.drain()
            batches.drain()
            await asyncio.gather(*tasks)
        finally:
            await end_tasks(*tasks)
            await feed.stop()

    return Parts(
        service_names=["kerf.jobs.v1.JobService", "kerf.artifacts.v1.ArtifactService", "kerf.admin.v1.AdminService"],
        add=[
            lambda server: add_JobServiceServicer_to_server(jobs, server),
            lambda server: add_ArtifactServiceServicer_to_server(artifacts, server),
            lambda server: add_AdminServiceServicer_to_server(AdminServicer(deletions), server),
        ],
        background=background,
    )
