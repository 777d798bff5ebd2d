"""Backup and restore of the servers alone: every message and object at its place, and nothing done by halves."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from kerf_core.streams import CONFIG, EVENTS, REQUESTS
from kerf_embedded.__main__ import main
from kerf_embedded.backup import MANIFEST
from kerf_embedded.object_archive import bucket_client
from kerf_embedded.state import StackInfo
from stack_thread import StackThread, running_stack

SUBJECTS = ("kerf.v1.job.local.a.events", "kerf.v1.job.local.b.events", "kerf.v1.job.local.a.events")
KEY = "artifacts/local/" + "0" * 64
DATA = bytes(range(256)) * 2_000
METADATA = {"x-amz-meta-kerf-width-px": "7"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    with running_stack(tmp_path_factory.mktemp("stack") / "root") as running:
        asyncio.run(fill(running.info))
        yield running


@pytest.fixture(scope="module")
def saved(stack: StackThread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "backup"
    assert main(["backup", str(folder), "--root", stack.info.root]) == 0
    return folder


async def connect(info: StackInfo) -> Client:
    return await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)


async def fill(info: StackInfo) -> None:
    client = await connect(info)
    js = client.jetstream()
    for number, subject in enumerate(SUBJECTS):
        await js.publish(subject, bytes([number]) * 70_000, headers={"traceparent": str(number)})
    await js.purge_stream(EVENTS, seq=2)  # the first that is left has number 2
    await (await js.key_value(REQUESTS)).put("local.id", b"a job")
    await client.close()
    bucket = bucket_client(info)
    bucket.put_object(info.s3_bucket, KEY, io.BytesIO(DATA), len(DATA), "image/png", metadata=dict(METADATA))


async def content(info: StackInfo) -> dict[str, Any]:
    """Everything that must be the same afterwards."""
    client = await connect(info)
    js = client.jetstream()
    found: dict[str, Any] = {}
    for sequence in (2, 3):
        message = await js.get_msg(EVENTS, sequence)
        found[f"message {sequence}"] = (message.subject, message.data, message.headers)
    for stream in (EVENTS, f"KV_{REQUESTS}", f"KV_{CONFIG}"):
        about = await js.stream_info(stream)
        found[stream] = (about.config.as_dict(), about.state.messages, about.state.first_seq, about.state.last_seq)
    found["request"] = (await (await js.key_value(REQUESTS)).get("local.id")).value
    await client.close()
    answer = bucket_client(info).get_object(info.s3_bucket, KEY)
    found["object"] = (answer.read(), answer.headers["content-type"], answer.headers["x-amz-meta-kerf-width-px"])
    answer.close()
    answer.release_conn()
    return found


def test_a_restored_stack_has_what_was_saved(
    stack: StackThread, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "other"
    assert main(["restore", str(saved), "--root", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["streams"][EVENTS] == 2
    assert told["objects"]["count"] == 1
    before = asyncio.run(content(stack.info))
    with running_stack(root) as other:
        after = asyncio.run(content(other.info))
        # The other stack has a key of its own, beside the one that it took over.
        config, keys = f"KV_{CONFIG}", 1
        assert after.pop(config)[1] == before.pop(config)[1] + keys
        assert after == before
        assert not any(path.name.startswith(".") for path in saved.parent.iterdir())


def test_what_cannot_work_is_refused_and_leaves_nothing(
    stack: StackThread, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", str(saved), "--root", stack.info.root]) == 2
    assert "FOLDER_EXISTS" in capsys.readouterr().err
    assert main(["backup", str(tmp_path / "new"), "--root", str(tmp_path / "nowhere")]) == 3
    assert "STACK_NOT_RUNNING" in capsys.readouterr().err
    assert main(["restore", str(saved), "--root", stack.info.root]) == 2
    assert "ROOT_NOT_EMPTY" in capsys.readouterr().err
    assert main(["restore", str(tmp_path), "--root", str(tmp_path / "root")]) == 2
    assert "NO_BACKUP" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [f"{EVENTS}.tar.s2", "objects.tar"])
def test_a_changed_backup_is_refused_before_anything_is_made(
    name: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    data = bytearray((changed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (changed / name).write_bytes(data)
    assert main(["restore", str(changed), "--root", str(tmp_path / "root")]) == 1
    assert "BACKUP_DAMAGED" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_a_restore_that_fails_on_the_way_leaves_no_data(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest claims a message more than the file has: seen only after all of it was put back."""
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    manifest = json.loads((changed / MANIFEST).read_text())
    manifest["streams"][EVENTS]["state"]["messages"] += 1
    (changed / MANIFEST).write_text(json.dumps(manifest))
    root = tmp_path / "root"
    assert main(["restore", str(changed), "--root", str(root)]) == 1
    assert "messages came back" in capsys.readouterr().err
    assert not (root / "nats").exists()
    assert not (root / "s3").exists()
