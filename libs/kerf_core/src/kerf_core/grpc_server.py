"""The gRPC server that every service runs: health, reflection, errors, validation, authentication, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from kerf_core.auth import KeyRing
from kerf_core.grpc_calls import CallInterceptor
from kerf_core.settings import ServiceSettings

MAX_MESSAGE_BYTES = 4 << 20
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

AddServicer = Callable[[grpc.aio.Server], None]


class GrpcServer:
    """One server; knows how to drain."""

    def __init__(
        self, settings: ServiceSettings, keys: KeyRing, *, service_names: Sequence[str], add: Sequence[AddServicer]
    ) -> None:
        """`service_names`: full protobuf names, for reflection and health. `add`: calls the generated add functions."""
        self._settings = settings
        self._calls = CallInterceptor(keys)
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        for add_servicer in add:
            add_servicer(self._server)
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = list(service_names)
        reflection.enable_server_reflection(
            [*self._names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
            self._server,
        )

    @property
    def draining(self) -> asyncio.Event:
        """Set when long streams should end with UNAVAILABLE."""
        return self._calls.draining

    async def start(self) -> int:
        """Listen; returns the port. Health says NOT_SERVING until `set_health`."""
        address = f"{self._settings.grpc_host}:{self._settings.grpc_port}"
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise SystemExit(f"cannot listen on {address}: is the port taken? ({error})") from None
        await self.set_health("", serving=False)
        await self._server.start()
        return int(port)

    async def set_health(self, capability: str, *, serving: bool) -> None:
        """Health of one capability; "" = overall, which also speaks for the service names."""
        status = SERVING if serving else NOT_SERVING
        for name in [capability, *(self._names if capability == "" else [])]:
            await self._health.set(name, status)

    async def drain(self, notice: timedelta, grace: timedelta) -> None:
        """Say NOT_SERVING, go on listening for `notice`, refuse new calls, end streams, stop within `grace`."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(notice.total_seconds())
        self._calls.draining.set()
        await self._server.stop(grace.total_seconds())
