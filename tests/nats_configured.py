"""Real NATS servers with the configurations that compose and Kubernetes use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import nats.js.errors

from deploy.checks.service_settings import ROOT
from kerf_core.bus import Bus
from kerf_core.settings import ServiceSettings
from kerf_core.streams import declare
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.ports import LOOPBACK, draw

CLUSTER = ROOT / "deploy" / "k8s" / "components" / "nats" / "nats.conf"
USER = "kerf"
PASSWORD = "k3Y_-with-all-kinds-of-characters"
LIMIT_S = 30.0


@dataclass(frozen=True)
class Cluster:
    """Where the gateways are, who may call them, and the NATS servers."""

    targets: tuple[str, str]
    api_key: str
    stranger_key: str
    nats_ports: list[int]
    servers: list[subprocess.Popen[bytes]]


def environment(name: str) -> dict[str, str]:
    return {"PATH": os.defpath, "POD_NAME": name, "NATS_USER": "kerf", "NATS_PASSWORD": PASSWORD}


@contextmanager
def running(config: Path, folder: Path, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
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
        yield process
        assert process.poll() in (None, -9), (folder / "log").read_text()  # only a test may have killed it
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


@contextmanager
def cluster_of_three(folder: Path) -> Iterator[tuple[list[int], list[subprocess.Popen[bytes]]]]:
    """Three servers that know each other: the ports for clients, and the processes."""
    ports: list[int] = []
    while len(ports) < 6:
        ports.append(draw(avoid=ports))
    clients, peers = ports[:3], ports[3:]
    routes = ",".join(f"nats://{LOOPBACK}:{port}" for port in peers)
    with ExitStack() as servers:
        processes = []
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            arguments = ["-p", str(client), "--cluster", f"nats://{LOOPBACK}:{peer}", "--routes", routes]
            name = f"kerf-nats-{number}"
            processes.append(servers.enter_context(running(CLUSTER, folder / f"n{number}", name, arguments)))
        yield clients, processes
