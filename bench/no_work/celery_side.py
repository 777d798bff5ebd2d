"""Celery's side: Redis with every write synced, and a worker that acknowledges late."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.no_work.sides import ROOT, Side, client_process, family
from bench.peers.setup import CELERY, peer_python
from kerf_core.errors import Unavailable
from kerf_embedded.guard import Guard
from kerf_embedded.ports import LOOPBACK, draw
from kerf_embedded.process import Limits, Program, Supervised

Probe = Callable[[], Awaitable[None]]
_CHANGES = "rdb_changes_since_last_save"


@dataclass(frozen=True)
class WorkerPool:
    """How Celery's worker runs tasks."""

    kind: str
    concurrency: int

    def __str__(self) -> str:
        return f"{self.kind} {self.concurrency}"


POOLS = (WorkerPool("prefork", 2), WorkerPool("prefork", 4), WorkerPool("threads", 64))
"""What is tried; the best is compared with."""


def missing() -> str:
    """Why Celery cannot run here; empty if it can."""
    if shutil.which("redis-server") is None:
        return "redis-server is not on PATH (Debian: apt-get install redis-server)"
    if not peer_python(CELERY).exists():
        return "Celery is not installed: make bench-setup"
    return ""


def versions() -> dict[str, str]:
    """Of Celery and Redis, as they say themselves. Call it only where nothing is missing."""
    say = "import celery, redis; print(celery.__version__, redis.__version__)"
    celery, client = _output(str(peer_python(CELERY)), "-c", say).split()
    server = _output("redis-server", "--version").split(" v=")[1].split()[0]
    return {"celery": celery, "redis-py": client, "redis-server": server}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class CelerySide:
    """The side, and how many changes Redis has logged."""

    side: Side
    pool: WorkerPool
    port: int

    async def changes(self) -> int:
        """Changes of keys that Redis has written to its synced log so far."""
        for line in (await ask_redis(self.port, "INFO persistence")).splitlines():
            name, _, value = line.partition(":")
            if name == _CHANGES:
                return int(value)
        raise RuntimeError(f"redis-server says nothing about {_CHANGES}")


async def ask_redis(port: int, command: str) -> str:
    """Send an inline command and read its simple or bulk reply. Raises Unavailable."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError as error:
        raise Unavailable("REDIS_UNAVAILABLE", f"redis on port {port}: {error.strerror}") from error
    try:
        writer.write(f"{command}\r\n".encode())
        first = (await reader.readline()).decode().strip()
        if first.startswith("$"):
            return (await reader.readexactly(int(first[1:]))).decode()
        if not first.startswith("+"):
            raise Unavailable("REDIS_UNAVAILABLE", f"redis on port {port}: {first or 'closed the connection'}")
        return first[1:]
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def celery_side(folder: Path, pool: WorkerPool) -> AsyncIterator[CelerySide]:
    """Redis, a worker and a client for the body, in a folder of their own."""
    await asyncio.to_thread(folder.mkdir)
    port = draw()
    url = f"redis://{LOOPBACK}:{port}/0"
    guard = Guard()
    await guard.start()
    # Where a process dies the figures mean nothing: it is not started again, the run fails.
    limits = Limits(rapid_deaths=1, rapid_deaths_later=1, ready_within=timedelta(seconds=60))
    children: list[Supervised] = []
    try:
        for program in (_redis(folder, port), _worker(folder, url, pool)):
            child = Supervised(program, guard, limits, lambda: None)
            children.append(child)
            child.start()
            await child.wait_ready()
        redis, worker = children

        def processes() -> Mapping[str, Sequence[int]]:
            return {"worker": family(worker.pid), "redis": family(redis.pid)}

        async with client_process(str(peer_python(CELERY)), "celery_client", {"url": url}) as driver:
            yield CelerySide(Side("celery", driver, processes), pool, port)
        if any(child.failure.done() or child.pid is None for child in children):
            raise RuntimeError("redis-server or the worker died during the run: the figures mean nothing")
    finally:
        for child in reversed(children):
            await child.stop()
        await guard.stop()


def _redis(folder: Path, port: int) -> Program:
    binary = shutil.which("redis-server")
    assert binary is not None
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "auto-aof-rewrite-percentage": "0",  # a rewrite in the middle of a run would only burden Celery
    }

    async def probe() -> None:
        await ask_redis(port, "PING")

    command = (binary, *(part for name, value in options.items() for part in (f"--{name}", value)))
    return _program("redis", command, folder, (port,), probe)


def _worker(folder: Path, url: str, pool: WorkerPool) -> Program:
    command = (
        *(str(peer_python(CELERY)), "-m", "celery", "-A", "bench.no_work.celery_app"),
        *("-b", url, "--result-backend", url),
        *("worker", "-n", "bench@localhost", "--loglevel", "WARNING", "-O", "fair"),
        *("--pool", pool.kind, "--concurrency", str(pool.concurrency)),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )
    ready = folder / "worker.ready"

    async def probe() -> None:
        if not ready.exists():
            raise Unavailable("WORKER_UNAVAILABLE", "the worker has not said that it is ready")

    return _program("worker", command, folder, (), probe)


def _program(name: str, command: tuple[str, ...], folder: Path, ports: tuple[int, ...], probe: Probe) -> Program:
    environment = {"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    log = folder / f"{name}.log"
    return Program(name, command, environment, folder, log, ports, probe, grace=timedelta(seconds=10))
