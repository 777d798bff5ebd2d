"""Errors as kerf sends them, for fakes of its services."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

Context = Any


def details(code: int, message: str, *extra: Any, reason: str = "TEST") -> status_pb2.Status:
    """A status as kerf sends it."""
    status = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="kerf"), *extra):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: Context, code: grpc.StatusCode, message: str, *extra: Any, reason: str = "TEST") -> None:
    """End the call with a status and its details."""
    status = details(code.value[0], message, *extra, reason=reason)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(code, message)


async def refuse_field(context: Context, field: str, description: str) -> None:
    """End the call: one field of the request is wrong."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field=field, description=description)
    await abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the request is not valid", bad, reason="INVALID_FIELD")
