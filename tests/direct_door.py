"""A service's direct door in this process: a real gRPC server, with what of kerf_core's interceptor needs no NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from kerf_core.auth import Caller, set_caller
from kerf_core.errors import KerfError
from kerf_core.grpc_calls import validate
from kerf_core.rpc_status import reason_of, status_of
from memory_stage import TENANT

Servicer = TypeVar("Servicer")


class Admission(grpc.aio.ServerInterceptor):
    """Sets the caller, validates requests, and turns errors into codes with their reason."""

    async def intercept_service(self, continuation, handler_call_details):  # type: ignore[no-untyped-def]  # its type is the interceptor's
        handler = await continuation(handler_call_details)

        async def one(request, context):  # type: ignore[no-untyped-def]  # its type is the interceptor's
            set_caller(Caller(TENANT))
            try:
                validate(request)
                return await handler.unary_unary(request, context)
            except KerfError as error:
                await context.abort(grpc.StatusCode[error.code.name], reason_of(status_of(error)))

        async def many(request, context):  # type: ignore[no-untyped-def]  # its type is the interceptor's
            set_caller(Caller(TENANT))
            answers = handler.unary_stream(request, context)
            try:
                validate(request)
                async for answer in answers:
                    yield answer
            except KerfError as error:
                await context.abort(grpc.StatusCode[error.code.name], reason_of(status_of(error)))
            finally:
                await answers.aclose()

        wrap = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
        work = many if handler.response_streaming else one
        return wrap(work, handler.request_deserializer, handler.response_serializer)


@asynccontextmanager
async def serving_door(
    add_to_server: Callable[[Servicer, grpc.aio.Server], None], servicer: Servicer
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a servicer on a free port, stopped at the end."""
    server = grpc.aio.server(interceptors=[Admission()])
    add_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition; TimeoutError after 20 s."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)
