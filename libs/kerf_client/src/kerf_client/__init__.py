"""The Python SDK of kerf and its command line.

`AsyncKerf` and `Kerf` talk to a gateway; messages are those of `kerf.jobs.v1` and `kerf.artifacts.v1`; whatever goes
wrong is a `KerfError`. `kerf_client.recipes` builds the main jobs. `AsyncMonitor` and `Monitor` ask a node's monitor,
`AsyncOptimizer` and `Optimizer` an optimizer for presets and test pieces.
"""

from kerf_client.aio import AsyncKerf, new_request_id
from kerf_client.connection import RetryPolicy, Tls
from kerf_client.errors import (
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    JobCancelled,
    JobEnded,
    JobFailed,
    KerfError,
    NotFound,
    PermissionDenied,
    ProtocolViolation,
    ResourceExhausted,
    ServerError,
    ServiceUnavailable,
    Unauthenticated,
    Violation,
)
from kerf_client.following import is_terminal
from kerf_client.monitor import AsyncMonitor
from kerf_client.optimizer import AsyncOptimizer
from kerf_client.sync import Kerf, Monitor, Optimizer

__all__ = [
    "AlreadyExists",
    "AsyncKerf",
    "AsyncMonitor",
    "AsyncOptimizer",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InvalidRequest",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "Kerf",
    "KerfError",
    "Monitor",
    "NotFound",
    "Optimizer",
    "PermissionDenied",
    "ProtocolViolation",
    "ResourceExhausted",
    "RetryPolicy",
    "ServerError",
    "ServiceUnavailable",
    "Tls",
    "Unauthenticated",
    "Violation",
    "is_terminal",
    "new_request_id",
]
