"""The gateway and the worker that does nothing, on real servers, for all tests of the job protocol."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import nats
import pytest

from e2e_calls import Caller
from kerf_core.auth import new_api_key, store_api_key
from kerf_embedded.ports import LOOPBACK, draw
from stack_thread import QUICK, StackThread, running_stack, service


@pytest.fixture(scope="session")
def noop_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    noop = service("noop", "kerf_core.noop", STAGE_SLOTS="16")
    with running_stack(tmp_path_factory.mktemp("stack"), service("gateway"), noop) as stack:
        yield stack


@pytest.fixture(scope="session")
def full_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    """Every service that there is, with the starter model."""
    names = ["gateway", "diffusion", "captioner", "optimizer", "trainer", "monitor"]
    services = [service(name) for name in names]
    with running_stack(tmp_path_factory.mktemp("full-stack"), *services) as stack:
        yield stack


@pytest.fixture
async def caller(noop_stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(noop_stack.info.gateway_target, noop_stack.info.api_key)
    yield caller
    await caller.channel.close()


@pytest.fixture
async def stranger(noop_stack: StackThread) -> AsyncIterator[Caller]:
    """Another tenant, no operator."""
    info = noop_stack.info
    client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
    key = new_api_key()
    await store_api_key(client.jetstream(), key, "stranger")
    await client.close()
    caller = Caller(info.gateway_target, key)
    yield caller
    await caller.channel.close()


@pytest.fixture
async def second_gateway(noop_stack: StackThread) -> AsyncIterator[Caller]:
    """The same tenant at another gateway of the same installation."""
    info = noop_stack.info
    port = draw()
    values = QUICK | {
        "NATS_URL": info.nats_url,
        "NATS_USER": info.nats_user,
        "NATS_PASSWORD": info.nats_password,
        "S3_ENDPOINT": info.s3_endpoint,
        "S3_ACCESS_KEY": info.s3_access_key,
        "S3_SECRET_KEY": info.s3_secret_key,
        "GRPC_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    environment = os.environ | {f"KERF_GATEWAY_{name}": value for name, value in values.items()}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "kerf_gateway", env=environment)
    caller = Caller(f"{LOOPBACK}:{port}", info.api_key)
    try:
        await asyncio.wait_for(caller.channel.channel_ready(), 30)
        yield caller
    finally:
        await caller.channel.close()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
