"""kerf's own services as child processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from kerf_core.errors import Unavailable
from kerf_embedded.credentials import Credentials
from kerf_embedded.nats_server import nats_url
from kerf_embedded.ports import LOOPBACK
from kerf_embedded.process import Program
from kerf_embedded.s3_server import BUCKET, s3_endpoint

GATEWAY = "gateway"
_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class ServiceSpec:
    """A service to run beside the servers."""

    name: str
    """Lower case; `KERF_<NAME>_…` is the prefix of its settings."""
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings in addition to what the stack sets; complete names."""
    grace: timedelta = timedelta(seconds=45)
    """Between SIGTERM and SIGKILL; not shorter than the service's `termination_grace`."""


def python_service(name: str, **environment: str) -> ServiceSpec:
    """`python -m kerf_<name>`, in this interpreter."""
    return ServiceSpec(name, (sys.executable, "-m", f"kerf_{name}"), environment)


def default_services(names: Collection[str] | None = None) -> tuple[ServiceSpec, ...]:
    """The services of this version of kerf; with `names`, the gateway and those only."""
    known = (GATEWAY, "diffusion", "captioner", "optimizer", "trainer", "monitor")
    if names is not None and (unknown := set(names) - set(known)):
        raise ValueError(f"no services of kerf: {', '.join(sorted(unknown))}")
    return tuple(python_service(name) for name in known if names is None or name == GATEWAY or name in names)


def port_names(services: Sequence[ServiceSpec]) -> list[str]:
    """The names of the ports that services need, as `service_program` expects them."""
    return [f"{spec.name}_{use}" for spec in services for use in ("grpc", "metrics")]


def service_program(
    spec: ServiceSpec, log: Path, ports: Mapping[str, int], credentials: Credentials, s3_data: Path
) -> Program:
    """How to run a service. `s3_data`: where the S3 server's files lie, to be flushed after originals were stored."""
    port = ports[f"{spec.name}_grpc"]
    prefix = f"KERF_{spec.name.upper()}_"
    settings = {
        "NATS_URL": nats_url(ports["nats"]),
        "NATS_USER": credentials.nats_user,
        "NATS_PASSWORD": credentials.nats_password,
        "S3_ENDPOINT": s3_endpoint(ports["s3"]),
        "S3_ACCESS_KEY": credentials.s3_access_key,
        "S3_SECRET_KEY": credentials.s3_secret_key,
        "S3_BUCKET": BUCKET,
        "S3_FLUSH_PATH": str(s3_data),
        "GRPC_HOST": LOOPBACK,
        "GRPC_PORT": str(port),
        "METRICS_PORT": str(ports[f"{spec.name}_metrics"]),
    }
    # What the user has set (a model, a log level) holds; where things are is the stack's to say.
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    environment |= {prefix + name: value for name, value in settings.items()} | dict(spec.environment)

    async def probe() -> None:
        await probe_health(f"{LOOPBACK}:{port}", spec.name)

    return Program(
        name=spec.name,
        command=spec.command,
        environment=environment,
        folder=Path.cwd(),  # relative paths in the user's settings mean what they say
        log=log,
        ports=(port, ports[f"{spec.name}_metrics"]),
        probe=probe,
        grace=spec.grace,
    )


async def probe_health(target: str, name: str) -> None:
    """Ask gRPC health of the whole process. Raises Unavailable unless it says SERVING."""
    # A channel of its own: the process-wide pool of subchannels would make us wait out an old one's backoff.
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise Unavailable("SERVICE_UNAVAILABLE", f"{name} at {target}: {error.details()}") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise Unavailable("SERVICE_UNAVAILABLE", f"{name} at {target} says {state}")
