"""Puts the judge, which is no installed package, on the import path; and keeps its libraries to one thread."""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch

STARTER = Path(__file__).resolve().parents[3] / "models" / "starter"
sys.path.insert(0, str(STARTER))


@pytest.fixture(scope="session")
def judge_folder() -> Path:
    """The weights that the repository ships."""
    return STARTER / "judge"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    drawing, reading = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    yield
    cv2.setNumThreads(drawing)
    torch.set_num_threads(reading)
