"""What can go wrong between a client and kerf, as exceptions with everything that the server said.

`code` is a `grpc.StatusCode` (None where the client itself found the fault), `reason` the stable word of
`google.rpc.ErrorInfo`, `violations` the fields that were wrong, `retry_after` when to come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from kerf.jobs.v1.job_pb2 import Job, JobState


@dataclass(frozen=True)
class Violation:
    """One field that is wrong. `field` is its path, e.g. `job.stages[1].generate.prompt`."""

    field: str
    description: str


class KerfError(Exception):
    """Base of everything that this package raises on purpose; `str()` of it is a sentence for people."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        retry_after: timedelta | None = None,
        metadata: dict[str, str] | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.violations = violations
        self.retry_after = retry_after
        self.metadata = metadata or {}
        self.request_id = request_id


class InvalidRequest(KerfError):
    """The request is wrong, whatever the state of the system; see `violations`."""


class NotFound(KerfError):
    """There is no such thing, or it is another tenant's."""


class AlreadyExists(KerfError):
    """The request id stands for another request."""


class FailedPrecondition(KerfError):
    """The system must change before this can work: a model to install, a job to end."""


class Unauthenticated(KerfError):
    """No API key, or a bad one."""


class PermissionDenied(KerfError):
    """A good API key that does not allow this."""


class ResourceExhausted(KerfError):
    """A quota or a limit is reached; come back after `retry_after`."""


class ServiceUnavailable(KerfError):
    """kerf cannot be reached, or says that it is away; come back after `retry_after`."""


class DeadlineExceeded(KerfError):
    """It took longer than was allowed."""


class DataLoss(KerfError):
    """Bytes that arrived are not the bytes that were promised."""


class ServerError(KerfError):
    """Anything else that the server answered with; `metadata["incident"]` names the line in its log."""


class ProtocolViolation(KerfError):
    """The stream broke its promise: a gap, a duplicate, an event of another job."""


class JobEnded(KerfError):
    """The job reached a terminal state other than SUCCEEDED. `job` is how it ended."""

    def __init__(self, message: str, job: Job, *, reason: str = "", violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message, reason=reason, violations=violations)
        self.job = job


class JobFailed(JobEnded):
    """The job ended FAILED."""


class JobCancelled(JobEnded):
    """The job ended CANCELLED."""


_BY_CODE: dict[grpc.StatusCode, type[KerfError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.DATA_LOSS: DataLoss,
}

_DETAILS_TRAILER = "grpc-status-details-bin"
_DEFAULT_TEXT = {
    grpc.StatusCode.UNAVAILABLE: "the service cannot be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: "no answer within the time allowed",
}


@dataclass(frozen=True)
class _Details:
    reason: str
    violations: tuple[Violation, ...]
    retry_after: timedelta | None
    metadata: dict[str, str]


def unpack_details(status: status_pb2.Status | None) -> _Details:
    """Read `ErrorInfo`, `BadRequest` and `RetryInfo` out of a status; details of other types are left alone."""
    reason, retry_after, metadata = "", None, {}
    violations: list[Violation] = []
    for detail in status.details if status is not None else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        try:
            if detail.Unpack(info):
                reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                violations += [Violation(each.field, each.description) for each in bad.field_violations]
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta()
        except (DecodeError, OverflowError):
            continue  # a detail that cannot be read must not hide the error it belongs to
    return _Details(reason, tuple(violations), retry_after, metadata)


def from_rpc_error(error: grpc.aio.AioRpcError, *, request_id: str = "", target: str = "") -> KerfError:
    """Build the typed exception that an RPC's end stands for."""
    code = error.code()
    details = unpack_details(_status_of(error))
    message = error.details() or _DEFAULT_TEXT.get(code, code.name)
    if code is grpc.StatusCode.UNAVAILABLE and not details.reason:
        # No ErrorInfo: the words are gRPC's own, about sockets; say what they mean first.
        message = f"kerf cannot be reached at {target or 'its address'} ({message})"
    return _BY_CODE.get(code, ServerError)(
        message,
        code=code,
        reason=details.reason or code.name,
        violations=details.violations,
        retry_after=details.retry_after,
        metadata=details.metadata,
        request_id=request_id,
    )


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_TRAILER and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None  # an unreadable trailer must not hide the status line
    return None


def ending_error(job: Job) -> JobEnded:
    """The exception for a job that ended FAILED or CANCELLED."""
    if job.state == JobState.JOB_STATE_CANCELLED:
        return JobCancelled(f"{job.name} was cancelled", job, reason="CANCELLED")
    details = unpack_details(job.error)
    text = job.error.message or details.reason or "the log gives no reason"
    return JobFailed(f"{job.name} failed: {text}", job, reason=details.reason, violations=details.violations)
