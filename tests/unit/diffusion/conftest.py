"""A studio on tiny real models; and the warnings of libraries that are not ours to mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kerf_diffusion.domain.engine import Picture
from kerf_diffusion.domain.studio import Studio
from kerf_diffusion.settings import DiffusionSettings
from kerf_diffusion.wiring import build_studio, choose_compute_for, open_loras
from kerf_sd.architecture import Architecture
from kerf_sd.tiny import build_tiny_model
from library_warnings import ignore_library_warnings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_library_warnings(items, Path(__file__).parent)


@dataclass
class Diary:
    """A listener that writes down what it hears."""

    steps: list[tuple[int, int, float, str]] = field(default_factory=list)
    previews: list[tuple[int, int, bytes]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    at_step: Callable[[int], None] = lambda step: None

    def progress(self, step: int, total: int, eta_seconds: float, message: str) -> None:
        self.steps.append((step, total, eta_seconds, message))
        self.at_step(step)

    def preview(self, image: int, step: int, png: bytes) -> None:
        self.previews.append((image, step, png))

    def picture(self, image: int, picture: Picture) -> None:
        assert image == len(self.pictures)
        self.pictures.append(picture)

    @property
    def pngs(self) -> list[bytes]:
        return [picture.png for picture in self.pictures]


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def new_diary() -> type[Diary]:
    return Diary


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "tiny": build_tiny_model(root / "tiny", Architecture.SD),
        "tiny-xl": build_tiny_model(root / "tiny-xl", Architecture.SDXL),
    }


@pytest.fixture(scope="session")
def settings(tiny_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> DiffusionSettings:
    models = {name: {"source": str(folder), "steps": 4, "guidance": 3.0} for name, folder in tiny_folders.items()}
    loras = tmp_path_factory.mktemp("loras")
    return DiffusionSettings.model_validate(
        {"models": models, "default_model": "tiny", "loras_dir": loras, "device": "cpu", "threads": 1, "kept_models": 2}
    )


@pytest.fixture(scope="session")
def studio(settings: DiffusionSettings) -> Studio:
    return build_studio(settings, choose_compute_for(settings), open_loras(settings))
