"""The one table from kerf's errors to `google.rpc.Status`, and back to gRPC."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from kerf_core.errors import Code, KerfError

DOMAIN = "kerf"


def status_of(error: KerfError) -> Status:
    """Code, message, one `ErrorInfo`, and `BadRequest`, `RetryInfo`, `QuotaFailure` where they apply."""
    status = Status(code=error.code.value, message=error.message)
    status.details.add().Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.violations:
        bad = BadRequest()
        for violation in error.violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        status.details.add().Pack(bad)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    if error.code is Code.RESOURCE_EXHAUSTED:
        quota = QuotaFailure()
        quota.violations.add(subject=error.reason, description=error.message)
        status.details.add().Pack(quota)
    return status


def reason_of(status: Status) -> str:
    """The `ErrorInfo` reason of a status; empty if it has none."""
    info = ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.reason
    return ""
