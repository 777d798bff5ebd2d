"""A thousand flipped bits in stored objects: what comes through a gateway is right, or an error says that it is not."""

from __future__ import annotations

import asyncio
import io
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlparse

import grpc
import pytest
from minio import Minio

from e2e_calls import Caller, reason_of_call
from kerf.artifacts.v1.artifacts_pb2 import DownloadArtifactRequest
from kerf_core.blobs import artifact_key
from kerf_core.stages import TenantId
from kerf_embedded.bootstrap import TENANT
from stack_thread import StackThread, running_stack, service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
FLIPS = 1_000
SIZES_BYTES = (1, 17, 4_096, 65_536, 65_537, 1_500_000)
"""Around the pieces that a download comes in; the last has many of them."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    with running_stack(tmp_path_factory.mktemp("stack"), service("gateway")) as running:
        yield running


def flipped(data: bytes, draw: random.Random) -> bytes:
    bit = draw.randrange(8 * len(data))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


async def download(caller: Caller, sha256: str) -> bytes:
    request = DownloadArtifactRequest(name=f"artifacts/{sha256}")
    return b"".join([part.chunk async for part in caller.artifacts.DownloadArtifact(request, metadata=caller.metadata)])


async def test_no_flipped_bit_is_ever_delivered(stack: StackThread) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    draw, info = random.Random(seed), stack.info
    store = Minio(
        urlparse(info.s3_endpoint).netloc,
        access_key=info.s3_access_key,
        secret_key=info.s3_secret_key,
        secure=False,
    )

    def put(key: str, data: bytes) -> None:
        store.put_object(info.s3_bucket, key, io.BytesIO(data), len(data))

    caller = Caller(info.gateway_target, info.api_key)
    try:
        originals = {}
        for size in SIZES_BYTES:
            data = draw.randbytes(size)
            originals[(await caller.upload(data)).sha256] = data
        told: Counter[str] = Counter()
        for _ in range(FLIPS):
            sha256, data = draw.choice(list(originals.items()))
            key = artifact_key(TenantId(TENANT), sha256)
            await asyncio.to_thread(put, key, flipped(data, draw))
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await download(caller, sha256)
            assert refusal.value.code() is grpc.StatusCode.DATA_LOSS
            told[reason_of_call(refusal.value)] += 1
            await asyncio.to_thread(put, key, data)
        for sha256, data in originals.items():
            assert await download(caller, sha256) == data
        assert told.total() == FLIPS
    finally:
        await caller.channel.close()
