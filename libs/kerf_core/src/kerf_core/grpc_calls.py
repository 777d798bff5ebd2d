"""What every gRPC call passes: trace, drain, authentication, validation, the error table, metrics."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
import protovalidate
from google.protobuf.message import Message
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind

from kerf_core.auth import KeyRing, set_caller
from kerf_core.errors import Internal, InvalidArgument, KerfError, Unavailable, Violation
from kerf_core.metrics import GRPC_RUNNING, GRPC_SECONDS
from kerf_core.rpc_status import status_of
from kerf_core.tracing import span

LOG = logging.getLogger(__name__)
_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def draining_error() -> Unavailable:
    """What a caller is told by a process that is about to stop."""
    return Unavailable(
        "DRAINING",
        "this server is about to stop: connect again, another one takes over",
        retry_after=timedelta(milliseconds=200),
    )


def validate(message: Message) -> None:
    """Check a request against the rules in its proto. Raises InvalidArgument naming every violated field."""
    violations = protovalidate.collect_violations(message)
    if not violations:
        return
    found = tuple(Violation(_path(item.proto.field), item.proto.message or item.proto.rule_id) for item in violations)
    text = "; ".join(f"{violation.field}: {violation.description}" for violation in found[:5])
    if len(found) > 5:
        text += f"; and {len(found) - 5} more"
    raise InvalidArgument("INVALID_FIELD", text, violations=found)


def _path(field: Any) -> str:
    """`job.stages[1].generate.prompt`."""
    parts: list[str] = []
    for element in field.elements if field is not None else []:
        text = str(element.field_name)
        if element.subscript is not None:
            text += f"[{element.subscript.value}]"
        parts.append(text)
    return ".".join(parts) or "request"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self.draining = asyncio.Event()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(_OPEN):
            return handler
        metadata = {str(key): str(value) for key, value in handler_call_details.invocation_metadata or ()}
        if handler.request_streaming and handler.response_streaming:
            return handler  # no such method in kerf; reflection's was passed above
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, metadata, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(method, metadata, handler.stream_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, metadata, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    async def _admit(self, metadata: dict[str, str], request: Any) -> None:
        if self.draining.is_set():
            raise draining_error()
        set_caller(await self._keys.caller(metadata.get("authorization", "")))
        if isinstance(request, Message):
            validate(request)

    def _unary(self, method: str, metadata: dict[str, str], work: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            with _measured(method) as measured, span(method, metadata, SpanKind.SERVER):
                try:
                    await _echo_request_id(context, metadata)
                    await self._admit(metadata, request)
                    return await work(request, context)
                except Exception as error:  # noqa: BLE001 - the error table is total: what it does not know becomes INTERNAL
                    await _abort(context, error, method, measured)

        return call

    def _stream(self, method: str, metadata: dict[str, str], work: Any) -> Any:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            with _measured(method) as measured, span(method, metadata, SpanKind.SERVER):
                answers = None
                try:
                    await _echo_request_id(context, metadata)
                    await self._admit(metadata, request)
                    answers = work(request, context)
                    async for answer in answers:
                        yield answer
                except Exception as error:  # noqa: BLE001 - the error table is total: what it does not know becomes INTERNAL
                    await _abort(context, error, method, measured)
                finally:
                    if answers is not None:
                        await answers.aclose()

        return call


class _measured:  # noqa: N801 - used as a function, in `with`
    """Counts a call and its time by method and code."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.code = "OK"

    def __enter__(self) -> _measured:
        self._began = time.monotonic()
        GRPC_RUNNING.labels(self._method).inc()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.code = "CANCELLED"
        GRPC_RUNNING.labels(self._method).dec()
        GRPC_SECONDS.labels(self._method, self.code).observe(time.monotonic() - self._began)


async def _echo_request_id(context: Context, metadata: dict[str, str]) -> None:
    request_id = metadata.get("x-request-id")
    if request_id:
        await context.send_initial_metadata((("x-request-id", request_id),))


async def _abort(context: Context, error: Exception, method: str, measured: _measured) -> None:
    """End the call with the error's status. Never returns normally."""
    if isinstance(error, grpc.aio.AbortError | grpc.RpcError):
        raise error
    if not isinstance(error, KerfError):
        incident = secrets.token_hex(6)
        LOG.exception("%s failed", method, exc_info=error, extra={"incident": incident})
        error = Internal(
            "INTERNAL",
            f"something unexpected failed here; tell your operator incident {incident}",
            metadata={"incident": incident},
        )
    measured.code = error.code.name
    await context.abort_with_status(rpc_status.to_status(status_of(error)))
