"""Puts the starter model's scripts, which are no installed package, on the import path."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

STARTER = Path(__file__).resolve().parents[3] / "models" / "starter"
sys.path.insert(0, str(STARTER))


@pytest.fixture(scope="session")
def starter_weights() -> Path:
    """The model folder that the repository ships."""
    return STARTER / "weights"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep to one thread: several threads that wait for one another are slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
