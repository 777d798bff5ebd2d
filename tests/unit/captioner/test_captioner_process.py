"""The captioner as a process of its own, beside real NATS and S3: starts, answers, drains."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import nats
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fixtures_stack import NatsInfo, S3Info
from kerf.captioner.v1 import captioner_pb2 as pb
from kerf.captioner.v1 import captioner_pb2_grpc
from kerf_captioner.settings import CaptionerSettings
from kerf_core.auth import new_api_key, store_api_key
from kerf_core.blobs import BlobStore
from kerf_core.stages import TenantId
from kerf_core.streams import CONFIG

Png = Callable[[int], bytes]
START_SECONDS = 60


def environment(nats_server: NatsInfo, s3_server: S3Info, models: dict[str, Path]) -> dict[str, str]:
    values = {
        "NATS_URL": nats_server.url,
        "NATS_USER": nats_server.user,
        "NATS_PASSWORD": nats_server.password,
        "S3_ENDPOINT": s3_server.endpoint,
        "S3_ACCESS_KEY": s3_server.access_key,
        "S3_SECRET_KEY": s3_server.secret_key,
        "S3_BUCKET": s3_server.bucket,
        "S3_REGION": s3_server.region,
        "MODELS": json.dumps({name: str(folder) for name, folder in models.items()}),
        "DEFAULT_MODEL": "tiny",
        "DEVICE": "cpu",
        "THREADS": "1",
        "DRAIN_NOTICE": "0.1",
    }
    return {f"KERF_CAPTIONER_{name}": value for name, value in values.items()}


@asynccontextmanager
async def running(values: dict[str, str]) -> AsyncIterator[tuple[Process, int]]:
    """The process and its gRPC port, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kerf_captioner",
        env={**os.environ, **values},
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            yield process, await _port(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _port(process: Process) -> int:
    assert process.stdout is not None
    lines = []
    async for line in process.stdout:
        lines.append(line.decode())
        if '"grpc_port"' in lines[-1]:
            return int(json.loads(lines[-1])["grpc_port"])
    raise AssertionError("".join(lines))


async def test_the_process_answers_with_its_own_model_and_stops_when_told(
    nats_server: NatsInfo, s3_server: S3Info, tiny_blips: dict[str, Path], picture_png: Png
) -> None:
    values = environment(nats_server, s3_server, tiny_blips)
    async with running(values) as (process, port):
        key, tenant = new_api_key(), TenantId("captioner-process")
        connection = await nats.connect(nats_server.url, user=nats_server.user, password=nats_server.password)
        await store_api_key(connection.jetstream(), key, tenant)
        catalog = await (await connection.jetstream().key_value(CONFIG)).get("catalog.captioner")
        assert catalog.value is not None
        assert b"tiny" in catalog.value
        await connection.close()
        settings = {name.removeprefix("KERF_CAPTIONER_").lower(): value for name, value in values.items()}
        settings["models"] = json.loads(settings["models"])
        blobs = BlobStore(CaptionerSettings.model_validate(settings))
        artifact = await blobs.put(tenant, picture_png(1), "image/png")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = captioner_pb2_grpc.CaptionerServiceStub(channel)
            login = (("authorization", f"Bearer {key}"),)
            stored = pb.CaptionRequest(picture=pb.Picture(artifact=artifact.name))
            first = await stub.Caption(stored, metadata=login)
            again = await stub.Caption(pb.CaptionRequest(picture=pb.Picture(data=picture_png(1))), metadata=login)
            batch = pb.BatchCaptionRequest(pictures=[pb.Picture(data=picture_png(1)), pb.Picture(data=b"words")])
            answers = [answer async for answer in stub.BatchCaption(batch, metadata=login)]
            health = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service="kerf.captioner.v1.CaptionerService")
            serving = await health.Check(asked)  # type: ignore[attr-defined]  # its stubs leave the methods out
        assert (first.model, first.cached, again.cached, again.text) == ("tiny", False, True, first.text)
        assert [answer.WhichOneof("outcome") for answer in answers] == ["caption", "failure"]
        assert serving.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
