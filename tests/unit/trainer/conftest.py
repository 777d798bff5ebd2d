"""A workshop on tiny real models, and datasets drawn on the spot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kerf_core.errors import WorkCancelled
from kerf_media.encode import encode_png_rgb
from kerf_sd.architecture import Architecture
from kerf_sd.tiny import build_tiny_model
from kerf_trainer.domain.dataset import Dataset, DatasetFile
from kerf_trainer.domain.workshop import TrainingOrder, Workshop
from kerf_trainer.settings import TrainerSettings
from kerf_trainer.wiring import build_workshop, choose_compute_for
from library_warnings import ignore_library_warnings

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "models" / "starter"))  # no installed package


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_library_warnings(items, Path(__file__).parent)


def png(seed: int, side_px: int = 64) -> bytes:
    """A picture of squares, another one for each seed."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return encode_png_rgb(np.kron(cells, np.ones((side_px // 8, side_px // 8, 1), np.uint8)))


def files_of(pictures: int = 5) -> dict[str, bytes]:
    """A good dataset."""
    files = {}
    for number in range(pictures):
        files[f"p{number}.png"] = png(number)
        files[f"p{number}.txt"] = f"picture {number}".encode()
    return files


def dataset_of(files: dict[str, bytes], caption_suffix: str = "") -> Dataset:
    return Dataset(tuple(DatasetFile(path, data) for path, data in files.items()), caption_suffix)


@dataclass
class Diary:
    """A listener that writes down what it hears, and may stop the training after a number of steps."""

    stop_after: int = -1
    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    checkpoints: list[tuple[int, bytes]] = field(default_factory=list)
    partial: list[tuple[int, bytes]] = field(default_factory=list)

    def progress(self, step: int, total: int, eta_seconds: float, message: str, metrics: dict[str, float]) -> None:
        if metrics:
            self.steps.append((step, total))
            self.metrics.append(metrics)

    def log(self, message: str, level: str = "info") -> None:
        self.lines.append(message)

    def checkpoint(self, step: int, data: bytes) -> None:
        self.checkpoints.append((step, data))

    def unfinished(self, step: int, lora: bytes) -> None:
        self.partial.append((step, lora))

    def check(self) -> None:
        if self.steps and self.steps[-1][0] == self.stop_after:
            raise WorkCancelled("CANCELLED", "enough")


@pytest.fixture
def new_diary() -> type[Diary]:
    return Diary


@pytest.fixture
def files() -> dict[str, bytes]:
    return files_of()


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "tiny": build_tiny_model(root / "tiny", Architecture.SD),
        "tiny-xl": build_tiny_model(root / "tiny-xl", Architecture.SDXL),
    }


@pytest.fixture(scope="session")
def settings(tiny_folders: dict[str, Path]) -> TrainerSettings:
    models = {name: {"source": str(folder), "steps": 2, "guidance": 2.0} for name, folder in tiny_folders.items()}
    return TrainerSettings.model_validate({"models": models, "default_model": "tiny", "device": "cpu", "threads": 1})


@pytest.fixture(scope="session")
def workshop(settings: TrainerSettings) -> Workshop:
    return build_workshop(settings, choose_compute_for(settings))


NewOrder = Callable[..., TrainingOrder]


@pytest.fixture
def new_order() -> NewOrder:
    """Small trainings: `new_order(model, **changes)`."""

    def make(
        model: str = "tiny", *, sample_prompt: str = "", trigger_word: str = "", **changes: object
    ) -> TrainingOrder:
        small: dict[str, object] = {
            "rank": 4,
            "steps": 6,
            "batch_size": 2,
            "resolution_px": 64,
            "seed": 3,
            "warmup_steps": 0,
            "learning_rate": 1e-2,
            "accumulation": 1,
        }
        preset = "sdxl" if model == "tiny-xl" else "starter"
        return TrainingOrder(
            "squares",
            dataset_of(files_of()),
            model,
            preset,
            small | changes,
            trigger_word=trigger_word,
            sample_prompt=sample_prompt,
        )

    return make
