"""Bytes up and down, in chunks, checked by SHA-256."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from kerf.artifacts.v1.artifacts_pb2 import Artifact, DownloadArtifactRequest, UploadArtifactRequest, UploadHeader
from kerf_client.calls import Caller, Patience, is_transient
from kerf_client.connection import CallIdentity
from kerf_client.errors import DataLoss, InvalidRequest, KerfError, ServiceUnavailable

if TYPE_CHECKING:
    from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceAsyncStub

CHUNK_BYTES = 1024 * 1024
DEFAULT_MAX_DOWNLOAD_BYTES = 256 * 1024 * 1024
DEFAULT_MAX_UPLOAD_BYTES = 256 * 1024 * 1024
_NAME_PREFIX = "artifacts/"


async def read_local(source: bytes | Path, max_bytes: int) -> bytes:
    """The bytes to send. Raises InvalidRequest where the file cannot be read or is empty or too large."""
    try:
        data = source if isinstance(source, bytes) else await asyncio.to_thread(_read_capped, source, max_bytes)
    except OSError as error:
        raise InvalidRequest(
            f"{source!s} cannot be read: {error.strerror or error}", reason="FILE_UNREADABLE"
        ) from None
    what = "the bytes to upload" if isinstance(source, bytes) else str(source)
    if not data:
        raise InvalidRequest(f"{what}: there is nothing in it", reason="FILE_EMPTY")
    if len(data) > max_bytes:
        raise InvalidRequest(f"{what}: larger than the limit of {max_bytes:,} bytes", reason="FILE_TOO_LARGE")
    return data


def _read_capped(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(max_bytes + 1)  # one more than allowed shows that there is more, without reading it all


async def upload(
    caller: Caller, stub: ArtifactServiceAsyncStub, data: bytes, *, timeout_seconds: float | None = None
) -> Artifact:
    """Send `data`; tried again as a whole while the server is away (idempotent by content).

    Raises DataLoss where the server stored something else.
    """
    identity = CallIdentity.new()
    sha256 = hashlib.sha256(data).hexdigest()

    async def parts() -> AsyncIterator[UploadArtifactRequest]:
        yield UploadArtifactRequest(header=UploadHeader(size_bytes=len(data), sha256=sha256))
        for start in range(0, len(data), CHUNK_BYTES):
            yield UploadArtifactRequest(chunk=data[start : start + CHUNK_BYTES])

    async def attempt() -> Artifact:
        call = stub.UploadArtifact(parts(), timeout=timeout_seconds, metadata=caller.metadata(identity))
        try:
            return await call
        finally:
            call.cancel()

    artifact = await caller.attempts(attempt, identity)
    if artifact.sha256 != sha256:
        raise DataLoss(f"uploaded {sha256}, but kerf stored {artifact.sha256}", reason="CHECKSUM_MISMATCH")
    return artifact


async def download(caller: Caller, stub: ArtifactServiceAsyncStub, name: str, *, job: str, max_bytes: int) -> bytes:
    """The bytes of `artifacts/<sha256>`, checked against the name; resumed at the offset after a cut.

    An output of `job` that the store has lost is waited for while it is made again; "" if no job is known. Raises
    DataLoss where the bytes differ, InvalidRequest for a name that is none or more than `max_bytes`.
    """
    if not name.startswith(_NAME_PREFIX):
        raise InvalidRequest(f"{name!r} is no artifact name: it must look like artifacts/<sha256>", reason="BAD_NAME")
    return await _Download(caller, stub, name, job, max_bytes).run()


class _Download:
    """The bytes that have arrived so far, through all attempts."""

    def __init__(self, caller: Caller, stub: ArtifactServiceAsyncStub, name: str, job: str, max_bytes: int) -> None:
        self._caller = caller
        self._stub = stub
        self._name = name
        self._job = job
        self._max_bytes = max_bytes
        self._received = bytearray()
        self._identity = CallIdentity.new()
        self._patience = Patience(caller.policy)

    async def run(self) -> bytes:
        while True:
            try:
                await self._attempt()
                break
            except KerfError as error:
                if not is_transient(error):
                    raise
                await self._patience.wait(error)
        data = bytes(self._received)
        if hashlib.sha256(data).hexdigest() != self._name.removeprefix(_NAME_PREFIX):
            text = f"{self._name}: {len(data):,} bytes arrived that are not the promised ones"
            raise DataLoss(text, reason="CHECKSUM_MISMATCH")
        return data

    async def _attempt(self) -> None:
        request = DownloadArtifactRequest(name=self._name, offset=len(self._received), job=self._job)
        promised_bytes: int | None = None
        async with aclosing(self._caller.stream(self._stub.DownloadArtifact, request, self._identity)) as messages:
            async for message in messages:
                if message.HasField("artifact"):
                    promised_bytes = message.artifact.size_bytes
                self._received += message.chunk
                if max(len(self._received), promised_bytes or 0) > self._max_bytes:
                    text = f"{self._name}: larger than the limit of {self._max_bytes:,} bytes"
                    raise InvalidRequest(text, reason="TOO_LARGE")
                self._patience.sign_of_life()
        if promised_bytes is not None and len(self._received) < promised_bytes:
            raise ServiceUnavailable(
                f"{self._name}: the download ended after {len(self._received):,} of {promised_bytes:,} bytes",
                code=grpc.StatusCode.UNAVAILABLE,
                reason="STREAM_ENDED_EARLY",
            )
