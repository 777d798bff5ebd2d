"""Checkpoints on a real S3 server: only what was committed counts, and only if its bytes are whole."""

from __future__ import annotations

import secrets

import pytest
from pydantic import SecretStr

from fixtures_stack import S3Info
from kerf_core.blobs import BlobStore
from kerf_core.jobs.checkpoints import CheckpointStore
from kerf_core.jobs.names import JobRef, new_job_id
from kerf_core.settings import ServiceSettings
from kerf_core.stages import TenantId


@pytest.fixture
def blobs(s3_server: S3Info) -> BlobStore:
    return BlobStore(
        ServiceSettings(
            s3_endpoint=s3_server.endpoint,
            s3_access_key=s3_server.access_key,
            s3_secret_key=SecretStr(s3_server.secret_key),
            s3_bucket=s3_server.bucket,
            s3_region=s3_server.region,
        )
    )


@pytest.fixture
def store(blobs: BlobStore) -> CheckpointStore:
    return CheckpointStore(blobs, JobRef(TenantId(f"t-{secrets.token_hex(4)}"), new_job_id()), "train")


async def test_the_newest_is_read_back_and_two_are_kept(store: CheckpointStore) -> None:
    assert await store.latest() is None
    for step in (5, 10, 9, 100):
        await store.save(step, b"state %d" % step, fence=3)
    assert await store.latest() == (100, b"state 100")
    assert [(saved.step, saved.size_bytes) for saved in await store.committed()] == [(10, 8), (100, 9)]
    await store.clear()
    assert await store.latest() is None


async def test_damaged_or_uncommitted_bytes_are_passed_over(store: CheckpointStore, blobs: BlobStore) -> None:
    await store.save(1, b"one", fence=3)
    key = await store.save(2, b"two", fence=3)
    await blobs.put_object(key, b"twx")
    assert await store.latest() == (1, b"one")
    await blobs.remove_object(key)
    assert await store.latest() == (1, b"one")
    # Bytes whose manifest was never written are what a killed worker leaves.
    await blobs.put_object(key.replace(f"{2:09d}", f"{7:09d}"), b"seven")
    assert await store.latest() == (1, b"one")


async def test_a_superseded_attempt_does_not_overwrite_its_successor(store: CheckpointStore) -> None:
    await store.save(4, b"successor", fence=9)
    await store.save(4, b"zombie", fence=3)
    assert await store.latest() == (4, b"successor")
