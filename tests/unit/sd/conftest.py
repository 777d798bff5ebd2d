"""Tiny real models, built once; and the warnings of libraries that are not ours to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kerf_sd.architecture import Architecture
from kerf_sd.devices import Compute, choose_compute
from kerf_sd.models import LoadedModel, load_model
from kerf_sd.tiny import build_tiny_model

_LIBRARY_WARNINGS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",  # diffusers with numpy 2
    "ignore:Already found a `peft_config` attribute:UserWarning",  # peft, at the second LoRA
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in _LIBRARY_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def compute() -> Compute:
    return choose_compute("cpu", threads=1)


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
