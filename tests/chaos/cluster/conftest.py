"""Two gateways and a worker on a cluster of three NATS servers, with three copies of every stream."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from e2e_calls import Caller
from fixtures_stack import S3Info
from kerf_core.auth import new_api_key, store_api_key
from kerf_embedded.ports import LOOPBACK, draw
from nats_configured import PASSWORD, USER, Cluster, cluster_of_three, declared
from stack_thread import QUICK


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Info) -> Iterator[Cluster]:
    keys = (new_api_key(), new_api_key())
    with ExitStack() as stack:
        ports, servers = stack.enter_context(cluster_of_three(tmp_path_factory.mktemp("nats-cluster")))
        asyncio.run(_prepare(ports, keys))
        gateways = []
        for _ in range(2):
            gateways.append(f"{LOOPBACK}:{stack.enter_context(_service('gateway', 'kerf_gateway', ports, s3_server))}")
        stack.enter_context(_service("noop", "kerf_core.noop", ports, s3_server))
        yield Cluster((gateways[0], gateways[1]), *keys, ports, servers)


async def _prepare(ports: list[int], keys: tuple[str, str]) -> None:
    async with declared(ports, 3) as bus:
        await store_api_key(bus.js, keys[0], "local", operator=True)
        await store_api_key(bus.js, keys[1], "stranger")


@contextmanager
def _service(name: str, module: str, nats_ports: list[int], s3: S3Info) -> Iterator[int]:
    """A service on the cluster; its gRPC port."""
    port = draw()
    values = QUICK | {
        "NATS_URL": ",".join(f"nats://{LOOPBACK}:{each}" for each in nats_ports),
        "NATS_USER": USER,
        "NATS_PASSWORD": PASSWORD,
        "NATS_REPLICAS": "3",
        "S3_ENDPOINT": s3.endpoint,
        "S3_ACCESS_KEY": s3.access_key,
        "S3_SECRET_KEY": s3.secret_key,
        "GRPC_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    environment = os.environ | {f"KERF_{name.upper()}_{key}": value for key, value in values.items()}
    if name == "noop":
        environment["KERF_NOOP_STAGE_SLOTS"] = "16"
    process = subprocess.Popen([sys.executable, "-m", module], env=environment)
    try:
        with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


async def _calling(target: str, api_key: str) -> AsyncIterator[Caller]:
    caller = Caller(target, api_key)
    yield caller
    await caller.channel.close()


@pytest.fixture
async def caller(cluster: Cluster) -> AsyncIterator[Caller]:
    async for caller in _calling(cluster.targets[0], cluster.api_key):
        yield caller


@pytest.fixture
async def second_gateway(cluster: Cluster) -> AsyncIterator[Caller]:
    async for caller in _calling(cluster.targets[1], cluster.api_key):
        yield caller


@pytest.fixture
async def stranger(cluster: Cluster) -> AsyncIterator[Caller]:
    async for caller in _calling(cluster.targets[0], cluster.stranger_key):
        yield caller
