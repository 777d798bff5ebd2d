"""Stacks that start, stop, fail to start, meet each other and start again."""

from __future__ import annotations

import asyncio
import io
import signal
import socket
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from minio import Minio

from integration.embedded.embedded_processes import alive, eventually, fake_service, ports_of, sockets_of
from kerf_core.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from kerf_embedded.guard import Guard
from kerf_embedded.ports import draw
from kerf_embedded.process import Limits, PortTaken, Program, Supervised
from kerf_embedded.state import StackInfo, private_root, read_state
from kerf_embedded.supervisor import EmbeddedStack


def client(info: StackInfo) -> Minio:
    endpoint = info.s3_endpoint.removeprefix("http://")
    return Minio(endpoint, access_key=info.s3_access_key, secret_key=info.s3_secret_key, secure=False)


def objects(info: StackInfo) -> list[str]:
    return [str(entry.object_name) for entry in client(info).list_objects("kerf", recursive=True)]


async def test_a_stop_leaves_nothing_and_a_second_start_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "root"
    before = set(psutil.Process().children(recursive=True))
    async with EmbeddedStack(root, services=[fake_service()]) as stack:
        first = stack.info
        await asyncio.to_thread(client(first).put_object, "kerf", "kept", io.BytesIO(b"x"), 1)
        mine = set(psutil.Process().children(recursive=True)) - before
        assert len(mine) == 4  # nats, s3, the service, the guard
    assert not alive(mine)
    assert not sockets_of(ports_of(root).values())
    assert read_state(root) is None
    assert "drained" in (root / "logs" / "fake.log").read_text()

    began = time.monotonic()
    async with EmbeddedStack(root, services=[fake_service()]) as stack:
        took = time.monotonic() - began
        assert stack.info == first  # ports, credentials and API key too
        assert await asyncio.to_thread(objects, first) == ["kept"]
    assert took < 15

    async with EmbeddedStack(root, services=(), fresh=True, keep_data=False) as stack:
        assert stack.info.api_key != first.api_key
        assert await asyncio.to_thread(objects, stack.info) == []
    assert not root.exists()


async def test_two_stacks_side_by_side_and_moved_ports_keep_data(tmp_path: Path) -> None:
    root, other = tmp_path / "one", private_root(tmp_path / "one")
    async with EmbeddedStack(root, services=()) as stack:
        old = stack.info
        await asyncio.to_thread(client(old).put_object, "kerf", "kept", io.BytesIO(b"x"), 1)
        async with EmbeddedStack(other, services=(), keep_data=False) as second:
            assert not set(ports_of(root).values()) & set(ports_of(other).values())
            assert await asyncio.to_thread(objects, second.info) == []
    assert not other.exists()

    with _listener(int(old.nats_url.rpartition(":")[2])), _listener(int(old.s3_endpoint.rpartition(":")[2])):
        async with EmbeddedStack(root, services=()) as stack:
            assert stack.info.nats_url != old.nats_url
            assert stack.info.s3_endpoint != old.s3_endpoint
            assert await asyncio.to_thread(objects, stack.info) == ["kept"]


async def test_a_service_that_cannot_run_ends_the_start_with_its_words(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    stack = EmbeddedStack(
        tmp_path / "root",
        services=[fake_service(die="1")],
        limits=Limits(backoff=timedelta(milliseconds=10), rapid_deaths=3),
    )
    with pytest.raises(Unavailable, match="fake died 3 times in a row, at last with exit status 3") as caught:
        await stack.start()
    assert "the model file is missing" in caught.value.message
    assert not alive(set(psutil.Process().children(recursive=True)) - before)
    assert read_state(tmp_path / "root") is None


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    starting = asyncio.create_task(EmbeddedStack(tmp_path / "root", services=()).start())

    def started() -> bool:
        return bool(set(psutil.Process().children(recursive=True)) - before)

    await asyncio.to_thread(eventually, started, "a child has started")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not alive(set(psutil.Process().children(recursive=True)) - before)


async def test_a_port_that_was_snatched_is_told_from_other_deaths(tmp_path: Path) -> None:
    port = draw()
    with _listener(port):
        assert isinstance(await _failure(tmp_path, port, "/bin/false"), PortTaken)
    failure = await _failure(tmp_path, port, "/bin/false")
    assert not isinstance(failure, PortTaken)
    assert "died 2 times in a row, at last with exit status 1" in failure.message


async def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    failure = await _failure(tmp_path, draw(), "/does/not/exist")
    assert "cannot run /does/not/exist" in failure.message


async def test_a_process_that_never_gets_ready_is_named(tmp_path: Path) -> None:
    guard = Guard()
    await guard.start()
    child = Supervised(_program(tmp_path, draw(), "/bin/sleep", "60"), guard, Limits(), lambda: None)
    child.start()
    with pytest.raises(DeadlineExceeded, match=r"child was not ready after 0\.2 s: it never is"):
        await child.wait_ready(timedelta(seconds=0.2))
    await child.stop()
    await guard.stop()
    with pytest.raises(FailedPrecondition, match="is not running"):
        child.kill(signal.SIGKILL)


async def _failure(folder: Path, port: int, *command: str) -> Unavailable:
    guard = Guard()
    await guard.start()
    limits = Limits(backoff=timedelta(milliseconds=10), rapid_deaths=2)
    child = Supervised(_program(folder, port, *command), guard, limits, lambda: None)
    child.start()
    try:
        with pytest.raises(Unavailable) as caught:
            await child.wait_ready()
        return caught.value
    finally:
        await child.stop()
        await guard.stop()


def _program(folder: Path, port: int, *command: str) -> Program:
    async def probe() -> None:
        raise Unavailable("NEVER", "it never is")

    return Program("child", command, {}, folder, folder / "log", (port,), probe, timedelta(seconds=5))


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener
