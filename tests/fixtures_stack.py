"""Session fixtures with real servers: `nats_server` and `s3_server`.

Load them with `pytest_plugins = ["fixtures_stack"]` in the top conftest. Each server has its own folder and free ports,
and dies with the test run, however that ends. A missing binary is an error, never a skip.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kerf_embedded import nats_server as nats_recipe
from kerf_embedded import s3_server as s3_recipe
from kerf_embedded.credentials import Credentials
from kerf_embedded.guard import Guard
from kerf_embedded.ports import PortBook
from kerf_embedded.process import Limits, PortTaken, Program, Supervised

_ATTEMPTS = 3


@dataclass(frozen=True)
class NatsInfo:
    """Where a NATS server is, and who may use it. The system user reads server facts ($SYS)."""

    url: str
    user: str
    password: str = field(repr=False)
    system_user: str
    system_password: str = field(repr=False)
    folder: Path


@dataclass(frozen=True)
class S3Info:
    """Where an S3 server is, and who may use it."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str
    region: str
    folder: Path


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsInfo]:
    """A NATS server with JetStream on disk, `sync_interval: always`, for the whole session: use names of your own."""
    folder = tmp_path_factory.mktemp("nats")
    credentials = Credentials.draw()

    def program(book: PortBook) -> tuple[Program, int]:
        port = book.assign([nats_recipe.NAME])[nats_recipe.NAME]
        return nats_recipe.nats_program(folder, folder / "log", port, credentials), port

    with _running(program, folder) as port:
        yield NatsInfo(
            url=nats_recipe.nats_url(port),
            user=credentials.nats_user,
            password=credentials.nats_password,
            system_user=credentials.nats_system_user,
            system_password=credentials.nats_system_password,
            folder=folder,
        )


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Info]:
    """An S3 server with the bucket `kerf`, for the whole session: use keys of your own."""
    folder = tmp_path_factory.mktemp("s3")
    credentials = Credentials.draw()

    def program(book: PortBook) -> tuple[Program, int]:
        ports = book.assign(s3_recipe.PORTS, s3_recipe.PORT_PAIRS)
        return s3_recipe.s3_program(folder, folder / "log", ports, credentials), ports["s3"]

    with _running(program, folder) as port:
        yield S3Info(
            endpoint=s3_recipe.s3_endpoint(port),
            access_key=credentials.s3_access_key,
            secret_key=credentials.s3_secret_key,
            bucket=s3_recipe.BUCKET,
            region=s3_recipe.REGION,
            folder=folder,
        )


class _LoopThread:
    """An event loop in a thread of its own: tests have loops of their own that come and go."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers for tests", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def _running(make: Callable[[PortBook], tuple[Program, int]], folder: Path) -> Iterator[int]:
    thread, guard = _LoopThread(), Guard()
    book = PortBook(folder / "ports.json")
    children: list[Supervised] = []

    async def start() -> int:
        await guard.start()
        for _ in range(_ATTEMPTS):
            program, port = make(book)
            child = Supervised(program, guard, Limits(), lambda: None)
            children.append(child)
            guard.sweep(*program.sockets)
            child.start()
            try:
                await child.wait_ready()
            except PortTaken:
                continue  # somebody was faster: draw again
            return port
        raise RuntimeError(f"no free ports after {_ATTEMPTS} attempts")

    async def stop() -> None:
        for child in children:
            child.kill_group()  # its data is thrown away: no need to let it finish
            await child.stop()
        await guard.stop()

    try:
        yield thread.do(start())
    finally:
        thread.do(stop())
        for child in children:
            for path in child.program.sockets:
                path.unlink(missing_ok=True)
        thread.close()
