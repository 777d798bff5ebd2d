"""All objects of the bucket in one tar file, and back. Every one is read back against its SHA-256."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from kerf_core.errors import DataLoss, Unavailable
from kerf_embedded.s3_server import BUCKET, PROBE_FOLDER, REGION
from kerf_embedded.state import StackInfo

_META = "x-amz-meta-"
_SHA256 = "KERF.sha256"
_MEDIA_TYPE = "KERF.media-type"
_METADATA = "KERF.meta."
_PART_BYTES = 16 << 20
_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0
_RETRIES = 5
_GONE = frozenset({"NoSuchKey", "NoSuchObject"})


@dataclass
class Objects:
    """What was copied."""

    count: int = 0
    size_bytes: int = 0
    gone: int = 0
    """Objects that were removed between listing and reading."""


def bucket_client(info: StackInfo) -> Minio:
    """A client with the patience that large objects need."""
    timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S)
    return Minio(
        urlparse(info.s3_endpoint).netloc,
        access_key=info.s3_access_key,
        secret_key=info.s3_secret_key,
        secure=False,
        region=REGION,
        http_client=urllib3.PoolManager(timeout=timeout, retries=urllib3.Retry(_RETRIES, backoff_factor=0.2)),
    )


def save_objects(client: Minio, file: Path) -> Objects:
    """Write every object with its media type and metadata to a tar file. Blocking. Raises Unavailable.

    Bytes are copied as they are found: an artifact that was damaged before is damaged in the copy too, and told as such
    when somebody reads it.
    """
    done = Objects()
    try:
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
            for key in _keys(client):
                _save_object(client, key, archive, done)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise Unavailable("S3_UNAVAILABLE", f"S3 does not answer: {error}; try again") from error
    return done


def load_objects(client: Minio, file: Path) -> Objects:
    """Put every object of a tar file into the bucket. Blocking. Raises Unavailable, DataLoss."""
    done = Objects()
    try:
        with tarfile.open(file, "r") as archive:
            for entry in archive:
                _load_object(client, archive, entry, done)
    except tarfile.TarError as error:
        raise DataLoss("BACKUP_DAMAGED", f"{file} is no backup of objects: {error}") from error
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise Unavailable("S3_UNAVAILABLE", f"S3 does not answer: {error}; begin again in a new folder") from error
    return done


def _keys(client: Minio) -> Iterator[str]:
    for item in client.list_objects(BUCKET, recursive=True):
        key = str(item.object_name)
        if not item.is_dir and not key.startswith(PROBE_FOLDER):
            yield key


def _save_object(client: Minio, key: str, archive: tarfile.TarFile, done: Objects) -> None:
    try:
        answer = client.get_object(BUCKET, key)
    except S3Error as error:
        if error.code not in _GONE:
            raise
        done.gone += 1
        return
    try:
        data = answer.read()
    finally:
        answer.close()
        answer.release_conn()
    entry = tarfile.TarInfo(key)
    entry.size = len(data)
    entry.pax_headers = {_SHA256: hashlib.sha256(data).hexdigest()}
    for name, value in answer.headers.items():
        if name.lower() == "content-type":
            entry.pax_headers[_MEDIA_TYPE] = value
        elif name.lower().startswith(_META):
            entry.pax_headers[_METADATA + name.lower().removeprefix(_META)] = value
    archive.addfile(entry, io.BytesIO(data))
    done.count += 1
    done.size_bytes += len(data)


def _load_object(client: Minio, archive: tarfile.TarFile, entry: tarfile.TarInfo, done: Objects) -> None:
    source = archive.extractfile(entry)
    data = source.read() if source is not None else b""
    headers = entry.pax_headers
    if hashlib.sha256(data).hexdigest() != headers.get(_SHA256):
        raise DataLoss("BACKUP_DAMAGED", f"{entry.name}: the bytes are not those that were saved")
    metadata = {name.removeprefix(_METADATA): value for name, value in headers.items() if name.startswith(_METADATA)}
    client.put_object(
        BUCKET,
        entry.name,
        io.BytesIO(data),
        len(data),
        content_type=headers.get(_MEDIA_TYPE, "application/octet-stream"),
        metadata=dict(metadata),
        part_size=_PART_BYTES,
    )
    done.count += 1
    done.size_bytes += len(data)
