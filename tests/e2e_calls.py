"""A tenant's view of a gateway, for tests of the protocol itself: plain stubs, no SDK in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from kerf.artifacts.v1.artifacts_pb2 import Artifact, UploadArtifactRequest, UploadHeader
from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceStub
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceStub

if TYPE_CHECKING:
    from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceAsyncStub
    from kerf.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub

CHUNK_BYTES = 1 << 20


@dataclass
class Caller:
    """A tenant's view of one gateway."""

    target: str
    api_key: str
    jobs: JobServiceAsyncStub = field(init=False)
    artifacts: ArtifactServiceAsyncStub = field(init=False)

    def __post_init__(self) -> None:
        self.channel = grpc.aio.insecure_channel(self.target)
        self.jobs = JobServiceStub(self.channel)
        self.artifacts = ArtifactServiceStub(self.channel)
        self.metadata = (("authorization", f"Bearer {self.api_key}"),)

    async def create(self, job: Job, request_id: str = "") -> Job:
        return await self.jobs.CreateJob(api.CreateJobRequest(request_id=request_id, job=job), metadata=self.metadata)

    async def get(self, name: str) -> Job:
        return await self.jobs.GetJob(api.GetJobRequest(name=name), metadata=self.metadata)

    async def watch(self, name: str, after: int = 0, *, durable_only: bool = True) -> list[JobEvent]:
        request = api.WatchJobRequest(name=name, after_sequence=after, durable_only=durable_only)
        stream = self.jobs.WatchJob(request, metadata=self.metadata)
        try:
            return [event async for event in stream]
        finally:
            stream.cancel()

    async def run(self, job: Job) -> list[JobEvent]:
        return await self.watch((await self.create(job)).name)

    async def upload(self, data: bytes, header: UploadHeader | None = None) -> Artifact:
        async def parts() -> AsyncIterator[UploadArtifactRequest]:
            yield UploadArtifactRequest(header=header or UploadHeader())
            for start in range(0, len(data), CHUNK_BYTES):
                yield UploadArtifactRequest(chunk=data[start : start + CHUNK_BYTES])

        return await self.artifacts.UploadArtifact(parts(), metadata=self.metadata)


def noop_job(stages: int = 1, fail_with: str = "") -> Job:
    task = NoopTask(fail_with=fail_with)
    return Job(stages=[Stage(id=f"s{number}", noop=task) for number in range(stages)])


def status_of_call(error: grpc.aio.AioRpcError) -> Status:
    """The rich status of a failed call; every error of kerf has one."""
    status: Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has code, details and metadata too
    assert status is not None, f"no google.rpc.Status in {error!r}"
    return status


def reason_of_call(error: grpc.aio.AioRpcError) -> str:
    """Its `ErrorInfo` reason."""
    for detail in status_of_call(error).details:
        info = ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "kerf"
            return info.reason
    raise AssertionError("no ErrorInfo")


def violated_fields(error: grpc.aio.AioRpcError) -> set[str]:
    """The fields that its `BadRequest` names."""
    for detail in status_of_call(error).details:
        bad = BadRequest()
        if detail.Unpack(bad):
            return {violation.field for violation in bad.field_violations}
    return set()
