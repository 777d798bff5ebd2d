"""A gateway that answers from memory, for the tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.client.client_fake_gateway import API_KEY, Faults
from unit.client.client_fake_queue import QueueFaults
from unit.client.client_products import produce
from unit.client.client_threaded import ThreadedGateway


@pytest.fixture(scope="module")
def running() -> Iterator[ThreadedGateway]:
    threaded = ThreadedGateway(produce)
    yield threaded
    threaded.close()


@pytest.fixture
def gateway(running: ThreadedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ThreadedGateway:
    """Without faults, known to the environment, called from an empty folder."""
    running.gateway.faults, running.gateway.queue_faults = Faults(), QueueFaults()
    running.gateway.calls.clear()
    monkeypatch.setenv("KERF_CLIENT_GATEWAY", running.gateway.target)
    monkeypatch.setenv("KERF_CLIENT_API_KEY", API_KEY)
    monkeypatch.chdir(tmp_path)
    return running
