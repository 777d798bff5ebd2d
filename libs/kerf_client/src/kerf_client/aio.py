"""The asynchronous client."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from kerf.admin.v1.admin_pb2 import DeleteTenantRequest, GetTenantDeletionRequest, TenantDeletion
from kerf.admin.v1.admin_pb2_grpc import AdminServiceStub
from kerf.artifacts.v1.artifacts_pb2 import (
    Artifact,
    CreateDownloadUrlRequest,
    CreateDownloadUrlResponse,
    DeleteArtifactRequest,
    GetArtifactRequest,
    ListArtifactsRequest,
)
from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceStub
from kerf.jobs.v1.batch_pb2 import Batch, CancelBatchRequest, CreateBatchRequest, GetBatchRequest
from kerf.jobs.v1.estimate_pb2 import JobEstimate
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf.jobs.v1.job_service_pb2 import (
    CancelJobRequest,
    CreateJobRequest,
    DeadLetter,
    GetJobRequest,
    JobFilter,
    ListDeadLettersRequest,
    ListJobsRequest,
    RetryDeadLetterRequest,
    RetryJobRequest,
)
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceStub
from kerf.jobs.v1.queue_pb2 import GetQueueStatsRequest, QueueStats, WatchQueueRequest, WatchQueueResponse
from kerf_client import transfers
from kerf_client.calls import ConnectedClient
from kerf_client.connection import MESSAGE_LIMIT_BYTES, CallIdentity, RetryPolicy, Tls
from kerf_client.datasets import Uploaded, UploadedDataset, scan_dataset, upload_dataset
from kerf_client.errors import InvalidRequest, ending_error
from kerf_client.following import follow, follow_batch

if TYPE_CHECKING:
    from kerf.admin.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceAsyncStub
    from kerf.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub


MAX_BATCH_JOBS = 1000
_BATCH_TIMEOUT = timedelta(minutes=2)  # the gateway looks at every job, and cancels them a few at a time
_ENVELOPE_BYTES = 1024  # what the message limit must leave for the message's own frame


def new_request_id() -> str:
    """A request id that nobody else has."""
    return uuid.uuid4().hex


class AsyncKerf(ConnectedClient):
    """A connection to kerf's gateway. Use it as an async context manager, in one event loop.

    Every call is tried again while the gateway is away (see `RetryPolicy`) and raises a `kerf_client.KerfError`
    otherwise. Without `tls` everything, the API key too, travels unencrypted: only for loopback and trusted networks.
    """

    def __init__(self, target: str, api_key: str, *, tls: Tls | None = None, policy: RetryPolicy | None = None) -> None:
        super().__init__(target, api_key, tls=tls, policy=policy)
        self._jobs: JobServiceAsyncStub = JobServiceStub(self._channel)
        self._artifacts: ArtifactServiceAsyncStub = ArtifactServiceStub(self._channel)
        self._admin: AdminServiceAsyncStub = AdminServiceStub(self._channel)

    async def create_job(self, job: Job, *, request_id: str = "") -> Job:
        """Accept `job` durably. The same `request_id` gives the same job; empty = a fresh one is drawn.

        Raises InvalidRequest with every violated field, AlreadyExists where the id stands for another job.
        """
        request = CreateJobRequest(request_id=request_id or new_request_id(), job=job)
        return await self._caller.unary(self._jobs.CreateJob, request)

    async def get_job(self, name: str) -> Job:
        """The job `jobs/<id>` as its log has it now. Raises NotFound."""
        return await self._caller.unary(self._jobs.GetJob, GetJobRequest(name=name))

    def list_jobs(self, *, filter: JobFilter | None = None, page_size: int = 0) -> AsyncGenerator[Job, None]:
        """All jobs that match, newest first, without their stages; pages are fetched as they are needed."""
        request = ListJobsRequest(page_size=page_size, filter=filter)
        return self._caller.pages(self._jobs.ListJobs, request, lambda page: page.jobs)

    async def cancel_job(self, name: str, reason: str = "") -> Job:
        """Cancel; a job that ended before stays as it ended."""
        return await self._caller.unary(self._jobs.CancelJob, CancelJobRequest(name=name, reason=reason))

    async def retry_job(self, name: str, *, request_id: str = "") -> Job:
        """A new job with the spec of one that ended."""
        request = RetryJobRequest(name=name, request_id=request_id or new_request_id())
        return await self._caller.unary(self._jobs.RetryJob, request)

    def watch(
        self, name: str, *, after_sequence: int = 0, durable_only: bool = False
    ) -> AsyncGenerator[JobEvent, None]:
        """Every event after `after_sequence`, each number once, until the terminal one; reconnects by itself.

        Raises ProtocolViolation on a gap or duplicate. Leaving the iteration leaves the job alone.
        """
        return follow(self._caller, self._jobs, name, after_sequence=after_sequence, durable_only=durable_only)

    async def run(
        self, job: Job, *, request_id: str = "", durable_only: bool = False
    ) -> AsyncGenerator[JobEvent, None]:
        """Create the job, then yield all of its events. Safe against a lost answer: it has a request id of its own."""
        accepted = await self.create_job(job, request_id=request_id)
        async with aclosing(
            follow(self._caller, self._jobs, accepted.name, after_sequence=0, durable_only=durable_only)
        ) as events:
            async for event in events:
                yield event

    async def wait(self, name: str) -> Job:
        """The job after it ended well. Raises JobFailed or JobCancelled."""
        async with aclosing(follow(self._caller, self._jobs, name, after_sequence=0, durable_only=True)) as events:
            async for _ in events:
                pass
        job = await self.get_job(name)
        if job.state != JobState.JOB_STATE_SUCCEEDED:
            raise ending_error(job)
        return job

    async def create_batch(self, jobs: Iterable[Job], *, request_id: str = "") -> Batch:
        """Accept up to 1,000 jobs together, all or none. The same `request_id` gives the same batch; empty = fresh.

        Raises InvalidRequest with every violated field, or where the jobs do not fit into one message (4 MiB).
        """
        request = CreateBatchRequest(request_id=request_id or new_request_id(), jobs=jobs)
        if not 1 <= len(request.jobs) <= MAX_BATCH_JOBS:
            text = f"{len(request.jobs)} jobs: a batch has 1 to {MAX_BATCH_JOBS:,}"
            raise InvalidRequest(text, code=grpc.StatusCode.INVALID_ARGUMENT, reason="BATCH_SIZE")
        if request.ByteSize() > MESSAGE_LIMIT_BYTES - _ENVELOPE_BYTES:
            text = (
                f"the batch has {request.ByteSize():,} bytes, which do not fit into one message: make several batches"
            )
            raise InvalidRequest(text, code=grpc.StatusCode.INVALID_ARGUMENT, reason="BATCH_SIZE")
        return await self._caller.unary(self._jobs.CreateBatch, request, timeout=_BATCH_TIMEOUT)

    async def get_batch(self, name: str) -> Batch:
        """The batch `batches/<id>` as it stands now. Raises NotFound."""
        return await self._caller.unary(self._jobs.GetBatch, GetBatchRequest(name=name))

    def watch_batch(self, name: str) -> AsyncGenerator[Batch, None]:
        """How the batch stands, at once and whenever it changed, until all its jobs have ended; reconnects by itself.

        Leaving the iteration leaves the batch alone; a later call goes on with how it stands then.
        """
        return follow_batch(self._caller, self._jobs, name)

    async def cancel_batch(self, name: str, reason: str = "") -> Batch:
        """Cancel every job of it that has not ended."""
        request = CancelBatchRequest(name=name, reason=reason)
        return await self._caller.unary(self._jobs.CancelBatch, request, timeout=_BATCH_TIMEOUT)

    async def estimate_job(self, job: Job) -> JobEstimate:
        """What the job would take; nothing is accepted. An interval that is unset is not known.

        Raises as `create_job` does for a job that could not be accepted.
        """
        return await self._caller.unary(self._jobs.EstimateJob, CreateJobRequest(job=job))

    async def get_queue_stats(self) -> QueueStats:
        """How the queue stands: the caller's own tenant's, operators see all."""
        return await self._caller.unary(self._jobs.GetQueueStats, GetQueueStatsRequest())

    async def watch_queue(self, *, interval: timedelta | None = None) -> AsyncGenerator[QueueStats, None]:
        """The same again and again (0.2 s to 60 s; default: 2 s), until the caller leaves; reconnects by itself."""
        request = WatchQueueRequest(interval_seconds=interval.total_seconds() if interval is not None else 0.0)

        def connect(identity: CallIdentity) -> AsyncGenerator[WatchQueueResponse, None]:
            return self._caller.stream(self._jobs.WatchQueue, request, identity)

        answers = self._caller.stream_again(
            connect, lambda: "the gateway ended the queue's statistics", self.get_queue_stats
        )
        async with aclosing(answers) as states:
            async for state in states:
                yield state.stats

    def list_dead_letters(self, *, page_size: int = 0) -> AsyncGenerator[DeadLetter, None]:
        """Jobs of all tenants whose attempts were used up, newest first. Operators only."""
        request = ListDeadLettersRequest(page_size=page_size)
        return self._caller.pages(self._jobs.ListDeadLetters, request, lambda page: page.dead_letters)

    async def retry_dead_letter(self, tenant: str, name: str, *, request_id: str = "") -> Job:
        """A new job of the same tenant with the spec of a dead letter. Operators only. Raises NotFound."""
        request = RetryDeadLetterRequest(tenant=tenant, name=name, request_id=request_id or new_request_id())
        return await self._caller.unary(self._jobs.RetryDeadLetter, request)

    async def delete_tenant(self, tenant: str) -> TenantDeletion:
        """Begin to delete everything that a tenant has; repeated, how far that is. Operators only.

        Raises FailedPrecondition for the tenant that the caller's own key belongs to.
        """
        return await self._caller.unary(self._admin.DeleteTenant, DeleteTenantRequest(tenant=tenant))

    async def get_tenant_deletion(self, tenant: str) -> TenantDeletion:
        """How far a deletion is, or what it removed. Operators only. Raises NotFound if nobody has asked for it."""
        return await self._caller.unary(self._admin.GetTenantDeletion, GetTenantDeletionRequest(tenant=tenant))

    async def upload(self, source: bytes | Path, *, max_bytes: int = transfers.DEFAULT_MAX_UPLOAD_BYTES) -> Artifact:
        """Store bytes or a file (at most `max_bytes`) in chunks of 1 MiB; equal bytes are the same artifact."""
        data = await transfers.read_local(source, max_bytes)
        return await transfers.upload(self._caller, self._artifacts, data)

    async def upload_dataset(
        self, folder: Path, *, caption_suffix: str = "", uploaded: Uploaded | None = None
    ) -> UploadedDataset:
        """Store a folder's pictures and captions for `recipes.train_job`; defects are the trainer's to tell.

        `uploaded` hears how far it is. Raises InvalidRequest where there is no such folder or nothing in it.
        """
        local = await asyncio.to_thread(scan_dataset, folder, caption_suffix)
        return await upload_dataset(self.upload, local, uploaded)

    async def download(
        self, name: str, *, job: str = "", max_bytes: int = transfers.DEFAULT_MAX_DOWNLOAD_BYTES
    ) -> bytes:
        """The bytes of `artifacts/<sha256>`, checked; resumed where a cut interrupted them. Raises DataLoss.

        With the `jobs/<id>` whose output it is, an output that the store has lost is made again and waited for.
        """
        return await transfers.download(self._caller, self._artifacts, name, job=job, max_bytes=max_bytes)

    async def get_artifact(self, name: str) -> Artifact:
        """Describe `artifacts/<sha256>`. Raises NotFound."""
        return await self._caller.unary(self._artifacts.GetArtifact, GetArtifactRequest(name=name))

    def list_artifacts(self, *, page_size: int = 0) -> AsyncGenerator[Artifact, None]:
        """All artifacts of the tenant by name; pages are fetched as they are needed."""
        request = ListArtifactsRequest(page_size=page_size)
        return self._caller.pages(self._artifacts.ListArtifacts, request, lambda page: page.artifacts)

    async def delete_artifact(self, name: str) -> None:
        """Delete the tenant's reference."""
        await self._caller.unary(self._artifacts.DeleteArtifact, DeleteArtifactRequest(name=name))

    async def create_download_url(self, name: str, *, expires_in: timedelta) -> CreateDownloadUrlResponse:
        """Sign a URL at which the bytes can be read without kerf (1 minute to 7 days)."""
        request = CreateDownloadUrlRequest(name=name, expires_in_seconds=int(expires_in.total_seconds()))
        return await self._caller.unary(self._artifacts.CreateDownloadUrl, request)
