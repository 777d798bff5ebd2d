"""A small gateway in memory, spoken to over real gRPC, that can be told to misbehave."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2

from kerf.artifacts.v1 import artifacts_pb2 as artifacts
from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceServicer, add_ArtifactServiceServicer_to_server
from kerf.jobs.v1 import job_service_pb2 as service
from kerf.jobs.v1.event_pb2 import (
    Accepted,
    BatchPlace,
    Cancelled,
    CancelRequested,
    Failed,
    JobEvent,
    Preview,
    Progress,
    StageCompleted,
    StageStarted,
    Succeeded,
)
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage, StageReceipt, StageTiming
from kerf.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceServicer, add_MonitorServiceServicer_to_server
from unit.client.client_fake_queue import FakeQueue
from unit.client.client_statuses import Context, abort, details, refuse_field

API_KEY = "kerf-test-key"
CHUNK = 256 * 1024
Produce = Callable[["FakeGateway", Stage], list[artifacts.Artifact]]


def _progress(stage: Stage, step: int) -> Progress:
    figures = {"loss": 0.5 / step, "smoothed_loss": 0.5, "learning_rate": 1e-4} if stage.HasField("train") else {}
    return Progress(stage=stage.id, step=step, total=2, eta_seconds=2.0 - step, metrics=figures)


@dataclass
class Faults:
    """What goes wrong next. Each list or counter is used up as it is applied."""

    unavailable_calls: int = 0
    cut_watch_after: list[int] = field(default_factory=list)
    """Cut the next watch streams after so many events."""
    end_watch_after: list[int] = field(default_factory=list)
    """End the next watch streams politely, too early."""
    skip_sequence: int = 0
    repeat_sequence: int = 0
    wrong_job_at: int = 0
    cut_download_after: list[int] = field(default_factory=list)
    """Cut the next downloads after so many messages."""
    corrupt_download: bool = False
    lose_create_answers: int = 0
    """Accept, then drop the answer."""
    fail_stage: str = ""
    fail_details: list[Any] = field(default_factory=list)
    """Go into the status of a stage that fails."""
    hang_stage: str = ""
    """This stage never ends by itself."""
    saved_on_cancel: list[artifacts.Artifact] = field(default_factory=list)
    never_cancelled: bool = False
    """A cancelled job only says that somebody asked."""
    mute: bool = False
    """Every call is taken and never answered."""
    refuse_calls: grpc.StatusCode | None = None
    """Every call ends with it."""
    refuse_uploads_of: bytes = b""
    """Bytes that begin like this are refused."""


class FakeGateway(FakeQueue, ArtifactServiceServicer):
    """Both services. Jobs run at once, stage by stage, with outputs from `produce`."""

    def __init__(self, produce: Produce | None = None, monitor: MonitorServiceServicer | None = None) -> None:
        super().__init__()
        self._monitor = monitor
        self.faults = Faults()
        self.blobs: dict[str, bytes] = {}
        self.meta: dict[str, artifacts.Artifact] = {}
        self.jobs: dict[str, Job] = {}
        self.logs: dict[str, list[JobEvent]] = {}
        self.by_request: dict[str, tuple[bytes, str]] = {}
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.watch_requests: list[int] = []
        self.filters: list[service.JobFilter] = []
        self.download_offsets: list[int] = []
        self.open_streams = 0
        self.port = 0
        self._produce = produce
        self._server: grpc.aio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_JobServiceServicer_to_server(self, self._server)
        add_ArtifactServiceServicer_to_server(self, self._server)
        if self._monitor is not None:
            add_MonitorServiceServicer_to_server(self._monitor, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def put(self, data: bytes, media_type: str = "application/octet-stream", **fields: Any) -> artifacts.Artifact:
        sha256 = hashlib.sha256(data).hexdigest()
        artifact = artifacts.Artifact(
            name=f"artifacts/{sha256}", sha256=sha256, media_type=media_type, size_bytes=len(data), **fields
        )
        self.blobs[artifact.name], self.meta[artifact.name] = data, artifact
        return artifact

    async def _admit(self, context: Context, method: str) -> None:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.calls.append((method, sent))
        if sent.get("authorization") != f"Bearer {API_KEY}":
            await abort(context, grpc.StatusCode.UNAUTHENTICATED, "this API key is not known", reason="BAD_KEY")
        if self.faults.refuse_calls is not None:
            await abort(context, self.faults.refuse_calls, "refused on purpose")
        if self.faults.mute:
            await asyncio.Event().wait()
        if self.faults.unavailable_calls:
            self.faults.unavailable_calls -= 1
            retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=1_000_000))
            await abort(context, grpc.StatusCode.UNAVAILABLE, "draining", retry, reason="DRAINING")

    async def _job(self, context: Context, name: str) -> Job:
        if name not in self.jobs:
            await abort(context, grpc.StatusCode.NOT_FOUND, f"there is no {name}", reason="JOB_NOT_FOUND")
        return self.jobs[name]

    # jobs

    async def CreateJob(self, request: service.CreateJobRequest, context: Context) -> Job:  # noqa: N802 (gRPC's name)
        await self._admit(context, "CreateJob")
        payload = request.job.SerializeToString(deterministic=True)
        if request.request_id in self.by_request:
            known, name = self.by_request[request.request_id]
            if known != payload:
                await abort(
                    context, grpc.StatusCode.ALREADY_EXISTS, "this request id is another job's", reason="REUSED"
                )
            return self.jobs[name]
        if not request.job.stages:
            await refuse_field(context, "job.stages", "must have at least one stage")
        job = self.accept(request.job)
        if request.request_id:
            self.by_request[request.request_id] = payload, job.name
        if self.faults.lose_create_answers:
            self.faults.lose_create_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return job

    def accept(self, spec: Job, retry_of: str = "", batch: str = "") -> Job:
        job = Job()
        job.CopyFrom(spec)
        job.name, job.state, job.retry_of = f"jobs/j{len(self.jobs) + 1}", JobState.JOB_STATE_QUEUED, retry_of
        job.create_time.FromSeconds(1_700_000_000 + len(self.jobs))
        self.jobs[job.name], self.logs[job.name] = job, []
        self._append(job, accepted=Accepted(job=spec, batch=BatchPlace(name=batch)))
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        return job

    def _append(self, job: Job, *, transient: bool = False, **body: Any) -> None:
        log = self.logs[job.name]
        sequence = 0 if transient else 1 + sum(event.sequence > 0 for event in log)
        job.last_sequence = max(job.last_sequence, sequence)
        log.append(JobEvent(job=job.name, sequence=sequence, attempt=1, **body))
        self.grown.set()
        self.grown = asyncio.Event()

    async def _run(self, job: Job) -> None:
        job.state = JobState.JOB_STATE_RUNNING
        for number, stage in enumerate(job.stages):
            stage.attempts = 1
            self._append(job, stage_started=StageStarted(stage=stage.id, worker="w1"))
            for step in (1, 2):
                self._append(job, progress=_progress(stage, step))
                self._append(job, transient=True, preview=Preview(stage=stage.id, step=step, png=b"png"))
                await asyncio.sleep(0)
            if stage.id == self.faults.hang_stage:
                return
            if stage.id == self.faults.fail_stage:
                job.state = stage.state = JobState.JOB_STATE_FAILED
                text, extra = "model 'x' is not installed", self.faults.fail_details
                job.error.CopyFrom(details(code_pb2.FAILED_PRECONDITION, text, *extra, reason="NO_MODEL"))
                self._append(job, failed=Failed(error=job.error))
                return
            self._complete(job, stage, last=number == len(job.stages) - 1)

    def _complete(self, job: Job, stage: Stage, *, last: bool) -> None:
        stage.state = JobState.JOB_STATE_SUCCEEDED
        stage.timing.CopyFrom(StageTiming(queued_seconds=0.01, computed_seconds=0.5, device_seconds=-1))
        stage.receipt.CopyFrom(StageReceipt(versions={"kerf": "0.1.0"}))
        if self._produce is not None:
            stage.outputs.extend(self._produce(self, stage))
        done = StageCompleted(stage=stage.id, outputs=stage.outputs, timing=stage.timing)
        if last:
            job.state = JobState.JOB_STATE_SUCCEEDED
            self._append(job, succeeded=Succeeded(last_stage=done))
        else:
            self._append(job, stage_completed=done)

    async def GetJob(self, request: service.GetJobRequest, context: Context) -> Job:  # noqa: N802 (gRPC's name)
        await self._admit(context, "GetJob")
        return await self._job(context, request.name)

    async def ListJobs(  # noqa: N802 (gRPC's name)
        self, request: service.ListJobsRequest, context: Context
    ) -> service.ListJobsResponse:
        await self._admit(context, "ListJobs")
        found = [
            job
            for job in reversed(self.jobs.values())
            if (job.state in request.filter.states or not request.filter.states)
            and (job.name in self.batches.get(request.filter.batch, ()) or not request.filter.batch)
            and all(job.labels.get(key) == value for key, value in request.filter.labels.items())
        ]
        self.filters.append(request.filter)
        start, size = int(request.page_token or 0), request.page_size or 50
        following = str(start + size) if start + size < len(found) else ""
        heads = [Job(name=job.name, state=job.state, labels=job.labels) for job in found[start : start + size]]
        return service.ListJobsResponse(jobs=heads, next_page_token=following)

    async def CancelJob(self, request: service.CancelJobRequest, context: Context) -> Job:  # noqa: N802 (gRPC's name)
        await self._admit(context, "CancelJob")
        job = await self._job(context, request.name)
        self.cancel(job, request.reason)
        return job

    def cancel(self, job: Job, reason: str) -> None:
        if job.state not in {JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_RUNNING}:
            return
        if self.faults.never_cancelled:
            self._append(job, cancel_requested=CancelRequested(reason=reason))
            return
        job.state = JobState.JOB_STATE_CANCELLED
        self._append(job, cancelled=Cancelled(reason=reason, saved=self.faults.saved_on_cancel))

    async def RetryJob(self, request: service.RetryJobRequest, context: Context) -> Job:  # noqa: N802 (gRPC's name)
        await self._admit(context, "RetryJob")
        old = await self._job(context, request.name)
        return self.accept(self.logs[old.name][0].accepted.job, retry_of=old.name)

    async def WatchJob(  # noqa: N802 (gRPC's name)
        self, request: service.WatchJobRequest, context: Context
    ) -> AsyncIterator[JobEvent]:
        await self._admit(context, "WatchJob")
        await self._job(context, request.name)
        self.watch_requests.append(request.after_sequence)
        cut = self.faults.cut_watch_after.pop(0) if self.faults.cut_watch_after else None
        end = self.faults.end_watch_after.pop(0) if self.faults.end_watch_after else None
        self.open_streams += 1
        try:
            sent = 0
            async for event in self._events(request):
                for shown in self._with_faults(event):
                    if sent == cut:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
                    if sent == end:
                        return
                    yield shown
                    sent += 1
        finally:
            self.open_streams -= 1

    async def _events(self, request: service.WatchJobRequest) -> AsyncIterator[JobEvent]:
        log, position, last = self.logs[request.name], 0, request.after_sequence
        while True:
            grown = self.grown
            while position < len(log):
                event, position = log[position], position + 1
                if event.sequence > last or (event.sequence == 0 and not request.durable_only):
                    yield event
                if event.WhichOneof("body") in {"succeeded", "failed", "cancelled"}:
                    return
            await grown.wait()

    def _with_faults(self, event: JobEvent) -> list[JobEvent]:
        if event.sequence and event.sequence == self.faults.skip_sequence:
            return []
        if event.sequence and event.sequence == self.faults.repeat_sequence:
            return [event, event]
        if event.sequence and event.sequence == self.faults.wrong_job_at:
            other = JobEvent()
            other.CopyFrom(event)
            other.job = "jobs/another"
            return [other]
        return [event]

    # artifacts

    async def UploadArtifact(self, request_iterator: Any, context: Context) -> artifacts.Artifact:  # noqa: N802 (gRPC's name)
        await self._admit(context, "UploadArtifact")
        data, header = bytearray(), artifacts.UploadHeader()
        async for part in request_iterator:
            if part.HasField("header"):
                header = part.header
            data += part.chunk
        if header.size_bytes != len(data):
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the size differs")
        if self.faults.refuse_uploads_of and data.startswith(self.faults.refuse_uploads_of):
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the picture is damaged", reason="PICTURE_BROKEN")
        kind = "image/png" if data.startswith(b"\x89PNG") else "application/octet-stream"
        return self.put(bytes(data), kind)

    async def DownloadArtifact(  # noqa: N802 (gRPC's name)
        self, request: artifacts.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[artifacts.DownloadArtifactResponse]:
        await self._admit(context, "DownloadArtifact")
        if request.name not in self.blobs:
            await abort(context, grpc.StatusCode.NOT_FOUND, f"there is no {request.name}", reason="NO_ARTIFACT")
        self.download_offsets.append(request.offset)
        data = self.blobs[request.name]
        if self.faults.corrupt_download:
            data = bytes([data[0] ^ 1]) + data[1:]
        cut = self.faults.cut_download_after.pop(0) if self.faults.cut_download_after else None
        self.open_streams += 1
        try:
            for number, start in enumerate(range(request.offset, len(data), CHUNK)):
                if number == cut:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
                described = self.meta[request.name] if number == 0 else None
                yield artifacts.DownloadArtifactResponse(chunk=data[start : start + CHUNK], artifact=described)
        finally:
            self.open_streams -= 1

    async def GetArtifact(  # noqa: N802 (gRPC's name)
        self, request: artifacts.GetArtifactRequest, context: Context
    ) -> artifacts.Artifact:
        await self._admit(context, "GetArtifact")
        if request.name not in self.meta:
            await abort(context, grpc.StatusCode.NOT_FOUND, f"there is no {request.name}", reason="NO_ARTIFACT")
        return self.meta[request.name]

    async def ListArtifacts(  # noqa: N802 (gRPC's name)
        self, request: artifacts.ListArtifactsRequest, context: Context
    ) -> artifacts.ListArtifactsResponse:
        await self._admit(context, "ListArtifacts")
        names = sorted(self.meta)
        start, size = int(request.page_token or 0), request.page_size or 100
        following = str(start + size) if start + size < len(names) else ""
        page = [self.meta[name] for name in names[start : start + size]]
        return artifacts.ListArtifactsResponse(artifacts=page, next_page_token=following)

    async def CreateDownloadUrl(  # noqa: N802 (gRPC's name)
        self, request: artifacts.CreateDownloadUrlRequest, context: Context
    ) -> artifacts.CreateDownloadUrlResponse:
        await self._admit(context, "CreateDownloadUrl")
        return artifacts.CreateDownloadUrlResponse(url=f"http://s3/{request.name}?for={request.expires_in_seconds}")

    async def CreateUploadUrl(  # noqa: N802 (gRPC's name)
        self, request: artifacts.CreateUploadUrlRequest, context: Context
    ) -> artifacts.CreateUploadUrlResponse:
        await self._admit(context, "CreateUploadUrl")
        return artifacts.CreateUploadUrlResponse(url="http://s3/u", upload="uploads/u")

    async def DeleteArtifact(  # noqa: N802 (gRPC's name)
        self, request: artifacts.DeleteArtifactRequest, context: Context
    ) -> artifacts.DeleteArtifactResponse:
        await self._admit(context, "DeleteArtifact")
        self.blobs.pop(request.name, None)
        self.meta.pop(request.name, None)
        return artifacts.DeleteArtifactResponse()
