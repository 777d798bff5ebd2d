"""Backup of a running stack, and its restoration into an empty folder.

The order makes it consistent while work goes on. The logs come first: every object that a log names was stored before
the entry that names it, so the objects, copied afterwards, are all there (unless somebody deleted them meanwhile; more
objects than are named do no harm). The remembered request ids come after the logs, too: an id without its job is made
good when the request is repeated, a job without its id would be done again. Queues are not saved: they follow from the
logs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client

from kerf_core.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from kerf_core.streams import CONFIG, EVENTS, REQUESTS
from kerf_embedded.files import private_folder, write_private
from kerf_embedded.log_snapshots import load_stream, save_stream
from kerf_embedded.object_archive import bucket_client, load_objects, save_objects
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack

MANIFEST = "backup.json"
STREAMS = (EVENTS, f"KV_{REQUESTS}", f"KV_{CONFIG}")
"""In the order in which they are saved."""
_OBJECTS = "objects.tar"
_FORMAT = 1
_CONNECT_TIMEOUT_S = 10


async def back_up(info: StackInfo, folder: Path) -> dict[str, Any]:
    """Save a running stack into a new folder; returns the manifest, which lies in it as `backup.json`.

    The folder appears when all is written and synced, never with a part. Nothing in it is secret but the customers'
    own data: keys are there as hashes only. Raises InvalidArgument (the folder exists), Unavailable.
    """
    partial = _begun(folder)
    try:
        manifest: dict[str, Any] = {"format": _FORMAT, "began": _now(), "streams": {}}
        client = await _connect(info)
        try:
            for stream in STREAMS:
                manifest["streams"][stream] = await save_stream(client, stream, partial / _file_of(stream))
        finally:
            await client.close()
        copied = await asyncio.to_thread(save_objects, bucket_client(info), partial / _OBJECTS)
        manifest["objects"] = {"count": copied.count, "size_bytes": copied.size_bytes, "gone": copied.gone}
        manifest["files"] = await asyncio.to_thread(_seal, partial)
        manifest["ended"] = _now()
        write_private(partial / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


async def restore(folder: Path, root: Path) -> dict[str, Any]:
    """Make the stack in `root`, which must not have data yet, from a backup; returns the backup's manifest.

    The stack does not run afterwards: start it as always. Open jobs go on from their last entry; queues are filled
    again from the logs. If it fails, `root` is as empty as before. Raises InvalidArgument (no backup), DataLoss (it is
    damaged), FailedPrecondition (`root` has data, or a stack runs there), Unavailable.
    """
    manifest = await asyncio.to_thread(_checked, folder)
    if (root / "nats").exists() or (root / "s3").exists():
        text = f"{root} has data already: restore into an empty folder, or move nats/ and s3/ away"
        raise FailedPrecondition("ROOT_NOT_EMPTY", text)

    async def put_back(info: StackInfo) -> None:
        await asyncio.to_thread(load_objects, bucket_client(info), folder / _OBJECTS)
        client = await _connect(info)
        try:
            for stream in reversed(STREAMS):
                await load_stream(client, stream, manifest["streams"][stream], folder / _file_of(stream))
        finally:
            await client.close()

    try:
        async with EmbeddedStack(root, services=(), bootstrap=put_back):
            pass
    except BaseException:
        for part in ("nats", "s3"):
            await asyncio.to_thread(shutil.rmtree, root / part, ignore_errors=True)
        raise
    await asyncio.to_thread(os.sync)  # the S3 server leaves that to whoever cares
    return manifest


def _begun(folder: Path) -> Path:
    """Where to write until all is there: beside the folder that it is to become."""
    if folder.exists():
        raise InvalidArgument.of_field("folder", f"{folder} exists: name a new one", "FOLDER_EXISTS")
    return private_folder(folder.with_name(f".{folder.name}.{secrets.token_hex(4)}"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _file_of(stream: str) -> str:
    return f"{stream}.tar.s2"


async def _connect(info: StackInfo) -> Client:
    async def ignore(_: Exception) -> None:
        """What fails is told by the request that failed."""

    try:
        return await nats.connect(
            info.nats_url,
            user=info.nats_user,
            password=info.nats_password,
            connect_timeout=_CONNECT_TIMEOUT_S,
            allow_reconnect=False,
            error_cb=ignore,
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        text = f"NATS at {info.nats_url}: {str(error) or type(error).__name__}"
        raise Unavailable("NATS_UNAVAILABLE", text) from error


def _seal(folder: Path) -> dict[str, Any]:
    """Have every file on the disk; returns their hashes."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        found[path.name] = {"sha256": _sha256(path), "size_bytes": path.stat().st_size}
    return found


def _checked(folder: Path) -> dict[str, Any]:
    """The manifest of a backup whose files are what it says."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, known = manifest["files"], manifest["format"] == _FORMAT
        complete = {*map(_file_of, STREAMS), _OBJECTS} <= files.keys() and manifest["streams"].keys() >= set(STREAMS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument.of_field("folder", f"{folder} is no backup of kerf: {error}", "NO_BACKUP") from error
    if not known or not complete:
        text = f"{folder} is a backup of another version, or not a whole one"
        raise InvalidArgument.of_field("folder", text, "NO_BACKUP")
    for name in (*map(_file_of, STREAMS), _OBJECTS):
        path = folder / name
        if not path.is_file() or _sha256(path) != files[name].get("sha256"):
            raise DataLoss("BACKUP_DAMAGED", f"{path} is not what was saved: use another backup")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
