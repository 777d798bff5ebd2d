"""Puts the drawn world, which is no installed package, on the import path; and keeps OpenCV to one thread."""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

STARTER = Path(__file__).resolve().parents[3] / "models" / "starter"
sys.path.insert(0, str(STARTER))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)
