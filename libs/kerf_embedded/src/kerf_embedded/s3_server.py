"""The embedded S3 server: SeaweedFS in one process, loopback only, with credentials."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from kerf_core.errors import Unavailable
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.credentials import Credentials
from kerf_embedded.files import private_folder, write_private
from kerf_embedded.ports import LOOPBACK
from kerf_embedded.process import Program

NAME = "s3"
BUCKET = "kerf"
REGION = "us-east-1"
GRACE = timedelta(seconds=4)
"""It stops within a second or, about every third time, not at all. A kill loses nothing: what it has answered is in the
kernel's hands, and originals are flushed to the disk before kerf answers for them."""
PORTS = ("s3", "s3_grpc", "s3_master", "s3_master_grpc", "s3_volume", "s3_volume_grpc", "s3_filer", "s3_filer_grpc")
PORT_PAIRS = {"s3_admin": "s3_admin_grpc"}
"""`weed mini`'s own worker dials the admin server at +10000, whatever `-admin.port.grpc` says."""
_SOCKETS = Path("/tmp")  # noqa: S108 (compiled into the server; we only remove what it left)
_GRPC_SOCKETS = {
    "s3": "s3_grpc",
    "master": "s3_master_grpc",
    "volume": "s3_volume_grpc",
    "filer": "s3_filer_grpc",
    "admin": "s3_admin_grpc",
}
PROBE_FOLDER = ".kerf/"
"""Keys of nobody's data."""
_PROBE_OBJECT = f"{PROBE_FOLDER}probe"
_PROBE_TIMEOUT_S = 2.0


def s3_endpoint(port: int) -> str:
    """Where clients connect."""
    return f"http://{LOOPBACK}:{port}"


def data_folder(folder: Path) -> Path:
    """Where the objects lie, below the server's own folder."""
    return folder / "data"


def s3_program(folder: Path, log: Path, ports: Mapping[str, int], credentials: Credentials) -> Program:
    """Write the configuration into `folder` and say how to run the server. `ports`: all of PORTS and PORT_PAIRS."""
    private_folder(folder)
    private_folder(data_folder(folder))
    write_private(folder / "s3.json", _identities(credentials))
    write_private(folder / "security.toml", _security(credentials))
    # It is written by the server and would win over our flags where these equal a default.
    (data_folder(folder) / "mini.options").unlink(missing_ok=True)

    async def probe() -> None:
        await probe_s3(ports["s3"], credentials)

    return Program(
        name=NAME,
        command=(str(find_server(Server.SEAWEEDFS)), *_flags(folder, ports)),
        # A minimal environment: variables such as AWS_ACCESS_KEY_ID and WEED_… would change identities and settings,
        # and a security.toml in the user's home would be read.
        environment={"PATH": os.defpath, "HOME": str(folder)},
        folder=folder,
        log=log,
        ports=tuple(ports.values()),
        probe=probe,
        grace=GRACE,
        sockets=_sockets(ports),
    )


def _flags(folder: Path, ports: Mapping[str, int]) -> tuple[str, ...]:
    return (
        "mini",
        f"-dir={data_folder(folder)}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-s3.port={ports['s3']}",
        f"-s3.port.grpc={ports['s3_grpc']}",
        f"-master.port={ports['s3_master']}",
        f"-master.port.grpc={ports['s3_master_grpc']}",
        f"-volume.port={ports['s3_volume']}",
        f"-volume.port.grpc={ports['s3_volume_grpc']}",
        f"-filer.port={ports['s3_filer']}",
        f"-filer.port.grpc={ports['s3_filer_grpc']}",
        f"-admin.port={ports['s3_admin']}",
        f"-admin.port.grpc={ports['s3_admin_grpc']}",
        "-volume.preStopSeconds=0",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        # Volumes report themselves at every start; with remembered ones the master refuses writes for 15 s when its
        # log is replayed before its election (seen in 1 of 5 restarts).
        "-master.resumeState=false",
        f"-s3.config={folder / 's3.json'}",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
        "-disableHttp",
    )


def _identities(credentials: Credentials) -> str:
    key = {"accessKey": credentials.s3_access_key, "secretKey": credentials.s3_secret_key}
    identity = {"name": "kerf", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    return json.dumps({"identities": [identity]}, indent=2) + "\n"


def _security(credentials: Credentials) -> str:
    """With signing keys, the volume and filer ports refuse whoever did not come through the S3 port."""
    sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    return "".join(f'[{section}]\nkey = "{credentials.s3_internal_key}-{section}"\n' for section in sections)


def _sockets(ports: Mapping[str, int]) -> tuple[Path, ...]:
    """The server makes these whatever it is told, and leaves them when it is killed."""
    grpc = [f"{part}-grpc-{ports[name]}" for part, name in _GRPC_SOCKETS.items()]
    plain = [f"s3-{ports['s3']}", f"filer-{ports['s3_filer']}"]
    return tuple(_SOCKETS / f"seaweedfs-{name}.sock" for name in grpc + plain)


def minio_client(port: int, credentials: Credentials) -> Minio:
    """A client that gives up soon: for probes."""
    timeout = urllib3.Timeout(connect=_PROBE_TIMEOUT_S, read=_PROBE_TIMEOUT_S)
    return Minio(
        f"{LOOPBACK}:{port}",
        access_key=credentials.s3_access_key,
        secret_key=credentials.s3_secret_key,
        secure=False,
        region=REGION,
        http_client=urllib3.PoolManager(timeout=timeout, retries=False),
    )


async def probe_s3(port: int, credentials: Credentials) -> None:
    """Write an object, read it back and remove it; the bucket is made if it is missing.

    Raises Unavailable while that fails: the port answers before the volume server behind it takes data.
    """
    try:
        await asyncio.to_thread(_round_trip, minio_client(port, credentials))
    except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable("S3_UNAVAILABLE", f"S3 on port {port}: {error}") from error


def _round_trip(client: Minio) -> None:
    if not client.bucket_exists(BUCKET):
        try:
            client.make_bucket(BUCKET)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
    content = b"kerf"
    client.put_object(BUCKET, _PROBE_OBJECT, io.BytesIO(content), len(content))
    answer = client.get_object(BUCKET, _PROBE_OBJECT)
    try:
        if answer.read() != content:
            raise OSError("the probe object came back changed")
    finally:
        answer.close()
        answer.release_conn()
    client.remove_object(BUCKET, _PROBE_OBJECT)
