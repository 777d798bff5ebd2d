"""The configurations of NATS that compose and Kubernetes use, given to a real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from deploy.checks.service_settings import ROOT
from kerf_core.bus import Bus
from kerf_core.settings import ServiceSettings
from kerf_core.streams import EVENTS, WORK, declare
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.ports import LOOPBACK, draw

COMPOSE = ROOT / "deploy" / "compose" / "nats.conf"
CLUSTER = ROOT / "deploy" / "k8s" / "components" / "nats" / "nats.conf"
SINGLE = ROOT / "deploy" / "k8s" / "components" / "single" / "nats.conf"
PASSWORD = "k3Y_-with-all-kinds-of-characters"
LIMIT_S = 30.0


def environment(name: str) -> dict[str, str]:
    return {"PATH": os.defpath, "POD_NAME": name, "NATS_USER": "kerf", "NATS_PASSWORD": PASSWORD}


@contextmanager
def running(config: Path, folder: Path, name: str, arguments: Sequence[str]) -> Iterator[None]:
    """A server with the file as it is, but for the folder of its data; its addresses are given beside it."""
    folder.mkdir()
    text = config.read_text()
    assert '"/data"' in text
    config = folder / "nats.conf"
    config.write_text(text.replace('"/data"', f'"{folder / "data"}"'))
    command = [str(find_server(Server.NATS)), "--config", str(config), "-a", LOOPBACK]
    command += ["-P", str(folder / "pid"), "-m", str(draw()), *arguments]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment(name), stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
        assert process.poll() is None, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def declared(ports: Sequence[int], replicas: int) -> AsyncIterator[Bus]:
    """A connection as a service has it, with all streams and buckets declared."""
    servers = ",".join(f"nats://{LOOPBACK}:{port}" for port in ports)
    settings = ServiceSettings(
        nats_url=servers,
        nats_user="kerf",
        nats_password=PASSWORD,
        nats_replicas=replicas,
    )
    async with asyncio.timeout(LIMIT_S):
        bus = await Bus.connect(settings, "test")
        give_up_at = time.monotonic() + LIMIT_S
        while True:
            try:
                await declare(bus.js, settings)
                break
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError):  # there is no leader yet
                assert time.monotonic() < give_up_at
                await asyncio.sleep(0.2)
    try:
        yield bus
    finally:
        await bus.close()


async def connect_as_nobody(port: int) -> None:
    async def ignore(_: Exception) -> None:
        """The refusal reaches the caller too."""

    client = Client()
    try:
        await client.connect(f"nats://{LOOPBACK}:{port}", allow_reconnect=False, error_cb=ignore)
    finally:
        await client.close()  # after a refused connect too: nats-py leaves the socket open


@pytest.mark.parametrize("config", [COMPOSE, CLUSTER, SINGLE], ids=lambda path: str(path.relative_to(ROOT)))
def test_nats_itself_finds_nothing_wrong(config: Path) -> None:
    command = [str(find_server(Server.NATS)), "-t", "--config", str(config)]
    result = subprocess.run(command, env=environment("kerf-nats-0"), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_nats_does_not_start_without_a_password() -> None:
    without = {key: value for key, value in environment("kerf-nats-0").items() if key != "NATS_PASSWORD"}
    command = [str(find_server(Server.NATS)), "-t", "--config", str(COMPOSE)]
    result = subprocess.run(command, env=without, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "NATS_PASSWORD" in result.stderr


@pytest.mark.parametrize("config", [COMPOSE, SINGLE], ids=lambda path: path.parent.name)
async def test_one_server_takes_all_streams_and_no_strangers(config: Path, tmp_path: Path) -> None:
    port = draw()
    with running(config, tmp_path / "n", "kerf-nats-0", ["-p", str(port)]):
        async with declared([port], 1) as bus:
            info = await bus.js.stream_info(EVENTS)
            assert info.config.num_replicas == 1
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await connect_as_nobody(port)


async def test_three_servers_form_a_cluster_with_three_copies(tmp_path: Path) -> None:
    ports: list[int] = []
    while len(ports) < 6:
        ports.append(draw(avoid=ports))
    clients, peers = ports[:3], ports[3:]
    routes = ",".join(f"nats://{LOOPBACK}:{port}" for port in peers)
    with ExitStack() as servers:
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            arguments = ["-p", str(client), "--cluster", f"nats://{LOOPBACK}:{peer}", "--routes", routes]
            servers.enter_context(running(CLUSTER, tmp_path / f"n{number}", f"kerf-nats-{number}", arguments))
        async with declared(clients, 3) as bus:
            for stream in (EVENTS, WORK):
                info = await bus.js.stream_info(stream)
                assert info.config.num_replicas == 3
                assert info.cluster is not None
                assert len(info.cluster.replicas or []) == 2
