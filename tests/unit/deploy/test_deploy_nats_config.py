"""The configurations of NATS that compose and Kubernetes use, given to a real server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client

from deploy.checks.service_settings import ROOT
from kerf_core.streams import EVENTS, WORK
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.ports import LOOPBACK, draw
from nats_configured import CLUSTER, cluster_of_three, declared, environment, running

COMPOSE = ROOT / "deploy" / "compose" / "nats.conf"
SINGLE = ROOT / "deploy" / "k8s" / "components" / "single" / "nats.conf"


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
    with cluster_of_three(tmp_path) as (ports, _):
        async with declared(ports, 3) as bus:
            for stream in (EVENTS, WORK):
                info = await bus.js.stream_info(stream)
                assert info.config.num_replicas == 3
                assert info.cluster is not None
                assert len(info.cluster.replicas or []) == 2
