"""The errors that kerf knows. Domain code raises them; the gRPC layer and the stage runner translate them.

This module knows neither gRPC nor protobuf, so that domain code may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


class Code(Enum):
    """The canonical status codes that kerf answers with; names and numbers are those of `google.rpc.Code`."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True)
class Violation:
    """One field that is wrong. `field` is its path, e.g. `job.stages[1].generate.prompt`."""

    field: str
    description: str


class KerfError(Exception):
    """Base of all errors that have a meaning to the caller.

    `reason` is a stable UPPER_SNAKE_CASE word for programs (`ErrorInfo.reason`); `message` says to a person what was
    wrong, where, and what to do. `retryable` says whether a job stage that failed so should be tried again.
    """

    code = Code.INTERNAL
    retryable = False

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        violations: tuple[Violation, ...] = (),
        retry_after: timedelta | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = violations
        self.retry_after = retry_after
        self.metadata = metadata or {}


class InvalidArgument(KerfError):
    """The request is wrong, whatever the state of the system. Name every violated field."""

    code = Code.INVALID_ARGUMENT

    @classmethod
    def of_field(cls, field: str, description: str, reason: str = "INVALID_FIELD") -> InvalidArgument:
        """One wrong field."""
        return cls(reason, f"{field}: {description}", violations=(Violation(field, description),))


class NotFound(KerfError):
    """There is no such thing, or it is another tenant's."""

    code = Code.NOT_FOUND


class AlreadyExists(KerfError):
    """The id stands for something else."""

    code = Code.ALREADY_EXISTS


class FailedPrecondition(KerfError):
    """The system must change before this can work: a model to install, a job to end."""

    code = Code.FAILED_PRECONDITION


class Unauthenticated(KerfError):
    """No credentials, or bad ones."""

    code = Code.UNAUTHENTICATED


class PermissionDenied(KerfError):
    """Good credentials that do not allow this."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(KerfError):
    """A quota, a limit or a disk is full. `retry_after` says when to come back."""

    code = Code.RESOURCE_EXHAUSTED
    retryable = True


class Unavailable(KerfError):
    """NATS, S3 or a worker is away, or this process is draining. `retry_after` says when to come back."""

    code = Code.UNAVAILABLE
    retryable = True


class DeadlineExceeded(KerfError):
    """It took longer than was allowed."""

    code = Code.DEADLINE_EXCEEDED


class DataLoss(KerfError):
    """Bytes that were promised are gone or changed."""

    code = Code.DATA_LOSS


class Internal(KerfError):
    """Something that should not happen did. `metadata["incident"]` names the line in the log."""

    code = Code.INTERNAL
    retryable = True


class WorkCancelled(KerfError):
    """The caller gave up, or another attempt took over: stop computing and write nothing."""

    code = Code.CANCELLED
