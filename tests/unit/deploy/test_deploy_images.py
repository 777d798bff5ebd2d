"""What the images hold beside the services: the health probe, and the preparation of a fresh stack."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from minio import Minio

from deploy.checks.service_settings import ROOT
from fixtures_stack import NatsInfo, S3Info
from kerf_core.auth import KeyRing
from kerf_core.bus import Bus
from kerf_core.errors import Unauthenticated
from kerf_core.settings import ServiceSettings
from kerf_embedded.ports import draw

IMAGES = ROOT / "deploy" / "images"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("KERF_")}
    return subprocess.run(
        [sys.executable, str(IMAGES / script), *arguments],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def service() -> Iterator[tuple[health.HealthServicer, str]]:
    """A gRPC server with health, and its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_the_probe_believes_serving_only(service: tuple[health.HealthServicer, str]) -> None:
    servicer, address = service
    servicer.set("", SERVING)
    assert run("grpc_probe.py", address).returncode == 0
    servicer.set("", NOT_SERVING)
    refused = run("grpc_probe.py", address)
    assert (refused.returncode, "NOT_SERVING" in refused.stderr) == (1, True)


def test_the_probe_fails_where_nobody_listens() -> None:
    nobody = run("grpc_probe.py", f"127.0.0.1:{draw()}")
    assert (nobody.returncode, "UNAVAILABLE" in nobody.stderr) == (1, True)
    assert run("grpc_probe.py").returncode == 2


def s3_variables(server: S3Info, bucket: str) -> dict[str, str]:
    return {
        "KERF_GATEWAY_S3_ENDPOINT": server.endpoint,
        "KERF_GATEWAY_S3_BUCKET": bucket,
        "KERF_GATEWAY_S3_REGION": server.region,
        "KERF_GATEWAY_S3_ACCESS_KEY": server.access_key,
        "KERF_GATEWAY_S3_SECRET_KEY": server.secret_key,
    }


def nats_variables(server: NatsInfo) -> dict[str, str]:
    return {
        "KERF_GATEWAY_NATS_URL": server.url,
        "KERF_GATEWAY_NATS_USER": server.user,
        "KERF_GATEWAY_NATS_PASSWORD": server.password,
    }


def test_the_bucket_is_made_once(s3_server: S3Info) -> None:
    variables = s3_variables(s3_server, "prepared")
    first, second = (run("prepare_stack.py", "bucket", **variables) for _ in range(2))
    assert (first.returncode, first.stdout) == (0, "made the bucket prepared\n"), first.stderr
    assert (second.returncode, second.stdout) == (0, "the bucket prepared is there already\n")
    host = s3_server.endpoint.removeprefix("http://")
    client = Minio(host, access_key=s3_server.access_key, secret_key=s3_server.secret_key, secure=False)
    assert client.bucket_exists("prepared")


def test_wrong_s3_keys_are_said_at_once(s3_server: S3Info) -> None:
    variables = s3_variables(s3_server, "never") | {"KERF_GATEWAY_S3_SECRET_KEY": "wrong"}
    refused = run("prepare_stack.py", "--wait", "60", "bucket", **variables)
    assert refused.returncode == 1
    assert "check them" in refused.stderr
    assert "wrong" not in refused.stderr


def test_missing_s3_keys_are_named() -> None:
    refused = run("prepare_stack.py", "bucket", KERF_GATEWAY_S3_ENDPOINT="http://127.0.0.1:1")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "KERF_GATEWAY_S3_SECRET_KEY" in refused.stderr


def test_an_absent_server_is_waited_for_and_then_named(nats_server: NatsInfo) -> None:
    away = {"KERF_GATEWAY_S3_ENDPOINT": f"http://127.0.0.1:{draw()}", "KERF_GATEWAY_S3_ACCESS_KEY": "a"}
    away["KERF_GATEWAY_S3_SECRET_KEY"] = "b"
    s3 = run("prepare_stack.py", "--wait", "0.1", "bucket", **away)
    assert (s3.returncode, away["KERF_GATEWAY_S3_ENDPOINT"] in s3.stderr) == (1, True)
    refused = nats_variables(nats_server) | {"KERF_GATEWAY_NATS_PASSWORD": "wrong"}
    nats = run("prepare_stack.py", "--wait", "2", "api-key", "--tenant", "acme", **refused)
    assert (nats.returncode, nats_server.url in nats.stderr) == (1, True)


async def acts_for(server: NatsInfo, key: str) -> tuple[str, bool]:
    settings = ServiceSettings(nats_url=server.url, nats_user=server.user, nats_password=server.password)
    bus = await Bus.connect(settings, "test")
    try:
        caller = await KeyRing(bus).caller(f"Bearer {key}")
        return caller.tenant, caller.operator
    finally:
        await bus.close()


@pytest.mark.parametrize(("extra", "operator"), [([], False), (["--operator"], True)])
async def test_a_drawn_key_is_shown_and_acts(nats_server: NatsInfo, extra: list[str], operator: bool) -> None:
    drawn = run("prepare_stack.py", "api-key", "--tenant", "acme", *extra, **nats_variables(nats_server))
    assert drawn.returncode == 0, drawn.stderr
    assert await acts_for(nats_server, drawn.stdout.strip()) == ("acme", operator)


async def test_a_given_key_is_not_shown_and_acts(nats_server: NatsInfo) -> None:
    key = "kerf_" + "given-by-the-operator-0123456789"
    variables: Mapping[str, str] = nats_variables(nats_server) | {"KERF_API_KEY": key}
    for _ in range(2):
        given = run("prepare_stack.py", "api-key", "--tenant", "local", **variables)
        assert (given.returncode, key in given.stdout + given.stderr) == (0, False)
    assert await acts_for(nats_server, key) == ("local", False)


@pytest.mark.parametrize("key", ["secret", "kerf_short", "x" * 50])
async def test_a_weak_key_is_refused_and_not_stored(nats_server: NatsInfo, key: str) -> None:
    refused = run("prepare_stack.py", "api-key", "--tenant", "local", **nats_variables(nats_server), KERF_API_KEY=key)
    assert (refused.returncode, "KERF_API_KEY must" in refused.stderr) == (1, True)
    with pytest.raises(Unauthenticated):
        await acts_for(nats_server, key)


def test_a_tenant_that_is_none_is_refused(nats_server: NatsInfo) -> None:
    refused = run("prepare_stack.py", "api-key", "--tenant", "A B", **nats_variables(nats_server))
    assert (refused.returncode, "tenant" in refused.stderr) == (1, True)
