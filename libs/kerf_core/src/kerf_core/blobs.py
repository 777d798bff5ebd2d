"""Bytes in S3, named by their SHA-256.

minio-py is blocking and a stalled call of it never returns (minio-py #1226), so every operation runs in a thread of its
own pool, under a time limit, and is tried again as a whole.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import io
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf_core.errors import DataLoss, KerfError, NotFound, ResourceExhausted, Unavailable
from kerf_core.metrics import BLOB_SECONDS
from kerf_core.settings import ServiceSettings
from kerf_core.stages import TenantId

LOG = logging.getLogger(__name__)
R = TypeVar("R")
_THREADS = 16
_PART_BYTES = 16 << 20
_FULL = frozenset({"InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "EntityTooLarge"})
_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "NoSuchVersion"})
_META = "x-amz-meta-kerf-"


def artifact_key(tenant: TenantId, sha256: str) -> str:
    """S3 key of an artifact."""
    return f"artifacts/{tenant}/{sha256}"


def upload_key(tenant: TenantId, upload: str) -> str:
    """S3 key of bytes that were put at an upload URL and are not an artifact yet."""
    return f"uploads/{tenant}/{upload}"


class BlobStore:
    """Content-addressed artifacts in one bucket, one folder per tenant."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._bucket = settings.s3_bucket
        self._retry_for = settings.s3_retry_for.total_seconds()
        self._timeout = settings.s3_timeout.total_seconds()
        self._flush_path = settings.s3_flush_path
        self._client = _client(settings, settings.s3_endpoint)
        self._public = _client(settings, settings.s3_public_endpoint or settings.s3_endpoint)
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="s3")

    async def put(
        self,
        tenant: TenantId,
        data: bytes,
        media_type: str,
        *,
        size_px: tuple[int, int] = (0, 0),
        size_mm: tuple[float, float] = (0.0, 0.0),
        original: bool = False,
    ) -> Artifact:
        """Store bytes under their SHA-256. An `original` (that cannot be made again) is flushed to the disk first.

        Raises ResourceExhausted (disk full), Unavailable.
        """
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        meta = {
            "width-px": str(size_px[0]),
            "height-px": str(size_px[1]),
            "width-mm": repr(float(size_mm[0])),
            "height-mm": repr(float(size_mm[1])),
        }
        key = artifact_key(tenant, sha256)

        def work() -> None:
            self._client.put_object(
                self._bucket,
                key,
                io.BytesIO(data),
                len(data),
                content_type=media_type,
                metadata={f"{_META}{name}": value for name, value in meta.items()},
                part_size=_PART_BYTES,
            )

        await self._run("put", work, size=len(data))
        if original and self._flush_path is not None:
            await asyncio.to_thread(_flush_file_system, self._flush_path)
        return Artifact(
            name=f"artifacts/{sha256}",
            sha256=sha256,
            media_type=media_type,
            size_bytes=len(data),
            width_px=size_px[0],
            height_px=size_px[1],
            width_mm=size_mm[0],
            height_mm=size_mm[1],
        )

    async def get(self, tenant: TenantId, sha256: str) -> bytes:
        """The bytes, checked against their name. Raises NotFound, DataLoss, Unavailable."""
        key = artifact_key(tenant, sha256)
        data = await self._run("get", lambda: self._read(key))
        found = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        if found != sha256:
            raise DataLoss(
                "ARTIFACT_CORRUPT", f"artifacts/{sha256}: the stored bytes have SHA-256 {found}; upload it again"
            )
        return data

    async def stat(self, tenant: TenantId, sha256: str) -> Artifact:
        """What is known of an artifact without reading it. Raises NotFound, Unavailable."""
        key = artifact_key(tenant, sha256)
        found = await self._run("stat", lambda: self._client.stat_object(self._bucket, key))
        return _describe(sha256, found)

    async def list(self, tenant: TenantId, *, after: str, limit: int) -> list[Artifact]:
        """Up to `limit` artifacts with SHA-256 greater than `after`, in order. Raises Unavailable."""
        prefix = artifact_key(tenant, "")

        def work() -> list[str]:
            listing = self._client.list_objects(self._bucket, prefix=prefix, start_after=prefix + after, recursive=True)
            names: list[str] = []
            for item in listing:
                names.append(str(item.object_name).removeprefix(prefix))
                if len(names) >= limit:
                    break
            return names

        names = await self._run("list", work)
        return list(await asyncio.gather(*(self.stat(tenant, name) for name in names)))

    async def delete(self, tenant: TenantId, sha256: str) -> None:
        """Remove an artifact. Raises NotFound, Unavailable."""
        await self.stat(tenant, sha256)
        await self.remove_object(artifact_key(tenant, sha256))

    async def take_upload(self, tenant: TenantId, upload: str, *, max_bytes: int) -> bytes:
        """The bytes that were put at an upload URL. Raises NotFound, ResourceExhausted (too large), Unavailable."""
        key = upload_key(tenant, upload)
        found = await self._run("stat", lambda: self._client.stat_object(self._bucket, key))
        if int(found.size or 0) > max_bytes:
            raise ResourceExhausted(
                "UPLOAD_TOO_LARGE", f"uploads/{upload} has {found.size} bytes, at most {max_bytes} fit"
            )
        return await self._run("get", lambda: self._read(key))

    async def delete_upload(self, tenant: TenantId, upload: str) -> None:
        """Forget what was put at an upload URL."""
        await self.remove_object(upload_key(tenant, upload))

    async def put_object(self, key: str, data: bytes, *, original: bool = False) -> None:
        """Store bytes that are no artifact under a key of their own. Raises ResourceExhausted, Unavailable.

        `original`: nothing can make them again, so they are with the disk when this returns.
        """

        def work() -> None:
            self._client.put_object(self._bucket, key, io.BytesIO(data), len(data), part_size=_PART_BYTES)

        await self._run("put", work, size=len(data))
        if original and self._flush_path is not None:
            await asyncio.to_thread(_flush_file_system, self._flush_path)

    async def get_object(self, key: str) -> bytes:
        """The bytes under a key; whoever reads them checks them. Raises NotFound, Unavailable."""
        return await self._run("get", lambda: self._read(key))

    async def list_objects(self, prefix: str, *, older_than: timedelta = timedelta(0)) -> Sequence[str]:
        """All keys that begin so and were written at least so long ago. Raises Unavailable."""

        def work() -> Sequence[str]:
            horizon = datetime.now(UTC) - older_than
            listing = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
            return [
                str(item.object_name)
                for item in listing
                if not older_than or (item.last_modified is not None and item.last_modified <= horizon)
            ]

        return await self._run("list", work)

    async def remove_object(self, key: str) -> None:
        """Remove what is under a key, if anything is. Raises Unavailable."""
        await self._run("delete", lambda: self._client.remove_object(self._bucket, key))

    def download_url(self, tenant: TenantId, sha256: str, expires: timedelta) -> str:
        """A signed URL for GET at the public endpoint. Signing needs no connection."""
        return str(self._public.presigned_get_object(self._bucket, artifact_key(tenant, sha256), expires=expires))

    def upload_url(self, tenant: TenantId, upload: str, expires: timedelta) -> str:
        """A signed URL for PUT at the public endpoint."""
        return str(self._public.presigned_put_object(self._bucket, upload_key(tenant, upload), expires=expires))

    async def ready(self) -> bool:
        """True if the bucket answers now."""
        try:
            async with asyncio.timeout(3):
                return await asyncio.to_thread(self._client.bucket_exists, self._bucket)
        except (S3Error, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError, TimeoutError, OSError):
            return False

    def _read(self, key: str) -> bytes:
        response = self._client.get_object(self._bucket, key)
        try:
            data = response.read()
        finally:
            response.close()
            response.release_conn()
        expected = response.headers.get("Content-Length")
        if expected is not None and int(expected) != len(data):
            raise urllib3.exceptions.ProtocolError(f"{len(data)} of {expected} bytes arrived")
        return bytes(data)

    async def _run(self, operation: str, work: Callable[[], R], *, size: int = 0) -> R:
        """One S3 operation, as a whole, until it is done, refused, or `s3_retry_for` is over."""
        began = time.monotonic()
        give_up_at = began + self._retry_for
        limit = 1.5 * self._timeout + size / (1 << 20)  # a megabyte a second is slow enough for anything that is alive
        pause = 0.1
        loop = asyncio.get_running_loop()
        while True:
            outcome = "error"
            try:
                async with asyncio.timeout(limit):
                    result = await loop.run_in_executor(self._threads, work)
                outcome = "ok"
                return result
            except Exception as error:
                refusal = _refusal(error)
                if refusal is not None:
                    raise refusal from error
                if time.monotonic() > give_up_at:
                    raise Unavailable(
                        "S3_UNAVAILABLE",
                        "the artifact store (S3) does not answer; nothing was lost, try again shortly",
                        retry_after=timedelta(seconds=2),
                    ) from error
                LOG.warning("S3 %s: %s: %s", operation, type(error).__name__, error)
            finally:
                BLOB_SECONDS.labels(operation, outcome).observe(time.monotonic() - began)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)


def _client(settings: ServiceSettings, endpoint: str) -> Minio:
    url = urlparse(endpoint)
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=2, read=settings.s3_timeout.total_seconds()),
        retries=False,
        maxsize=_THREADS,
        block=False,
    )
    return Minio(
        url.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.s3_region,
        http_client=http,
    )


def _refusal(error: Exception) -> KerfError | None:
    """What no repetition mends; None for the rest."""
    if isinstance(error, KerfError):
        return error
    if isinstance(error, S3Error):
        if error.code in _MISSING:
            name = str(error.object_name or "").rsplit("/", 1)[-1]
            return NotFound("ARTIFACT_NOT_FOUND", f"artifacts/{name} does not exist")
        if error.code in _FULL:
            return ResourceExhausted("STORAGE_FULL", "the artifact store is full: free space, then try again")
    if isinstance(error, OSError | urllib3.exceptions.HTTPError | TimeoutError | ServerError | InvalidResponseError):
        return None
    if isinstance(error, S3Error):
        return None
    raise error


def _describe(sha256: str, found: Any) -> Artifact:
    headers = {str(key).lower(): str(value) for key, value in (found.metadata or {}).items()}
    artifact = Artifact(
        name=f"artifacts/{sha256}",
        sha256=sha256,
        media_type=str(found.content_type or "application/octet-stream"),
        size_bytes=int(found.size or 0),
        width_px=int(headers.get(f"{_META}width-px", 0)),
        height_px=int(headers.get(f"{_META}height-px", 0)),
        width_mm=float(headers.get(f"{_META}width-mm", 0)),
        height_mm=float(headers.get(f"{_META}height-mm", 0)),
    )
    if found.last_modified is not None:
        artifact.create_time.FromDatetime(found.last_modified)
    return artifact


def _flush_file_system(path: Path) -> None:
    """Make all that was written to the file system of `path` durable (Linux syncfs(2))."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(descriptor)
