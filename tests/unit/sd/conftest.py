"""Tiny real models, built once; and the warnings of libraries that are not ours to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kerf_models.devices import Compute, choose_compute
from kerf_sd.architecture import Architecture
from kerf_sd.models import LIBRARIES, LoadedModel, load_model
from kerf_sd.tiny import build_tiny_model
from library_warnings import ignore_library_warnings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_library_warnings(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def compute() -> Compute:
    return choose_compute("cpu", threads=1, libraries=LIBRARIES)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Architecture, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: build_tiny_model(root / kind.value, kind) for kind in Architecture}


@pytest.fixture(scope="session")
def tiny_models(tiny_folders: dict[Architecture, Path], compute: Compute) -> dict[Architecture, LoadedModel]:
    compute.enter()
    return {kind: load_model(str(folder), compute=compute) for kind, folder in tiny_folders.items()}


@pytest.fixture(autouse=True)
def one_thread(compute: Compute) -> None:
    torch.set_num_threads(1)
    compute.enter()
