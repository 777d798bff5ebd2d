"""The settings of the trainer; the only place that reads its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kerf_core.model_settings import ServesModels
from kerf_core.settings import service_config
from kerf_trainer.domain.parameters import Precision

_STARTER_WEIGHTS = Path(__file__).resolve().parents[4] / "models" / "starter" / "weights"
"""Where the starter model lies, in a source checkout as in an image of the service."""


class ModelEntry(BaseModel):
    """A base model to train on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="Folder, or repository id `owner/name` or `owner/name@revision`.")
    steps: int = Field(25, ge=1, le=150, description="Denoising steps of sample pictures.")
    guidance: float = Field(7.5, ge=0, le=30, description="Guidance of sample pictures.")


def _starter() -> dict[str, ModelEntry]:
    return {"starter": ModelEntry(source=str(_STARTER_WEIGHTS), steps=20, guidance=3.0)}


class TrainerSettings(ServesModels):
    """The trainer makes LoRAs from pictures with captions."""

    model_config = service_config("trainer")

    models: dict[str, ModelEntry] = Field(
        default_factory=_starter,
        description="Base models by name, as JSON: a folder or repository id, or an object with source, steps and"
        ' guidance. Example: {"sd15": "/models/sd15"}.',
    )
    precision: Precision = Field(
        Precision.AUTO,
        description="Where a request names none: auto (float32 on CPU, bfloat16 on CUDA), or one of the three.",
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of a training; 0 = the usable cores. Part of the numeric class."
    )
    datasets_dir: Path | None = Field(
        None, description="Folder whose sub-folders requests may name as datasets; none = requests must bring theirs."
    )
    checkpoint_every_steps: int = Field(
        50, ge=1, le=100_000, description="A checkpoint every so many steps where neither request nor preset says."
    )
    max_files: int = Field(4000, ge=1, le=20_000, description="Files in one dataset.")
    max_pictures: int = Field(2000, ge=1, le=10_000, description="Pictures in one dataset.")
    max_dataset_bytes: int = Field(512 << 20, ge=1, description="Bytes of all files of one dataset.")
    max_picture_bytes: int = Field(32 << 20, ge=1, description="Bytes of one picture.")
    max_picture_pixels: int = Field(40_000_000, ge=1, le=89_000_000, description="Pixels of one picture.")
    max_caption_chars: int = Field(2000, ge=1, le=16_384, description="Longest caption.")
    small_side_px: int = Field(
        64, ge=1, le=4096, description="LintDataset warns of pictures with a shorter side; a training knows its own."
    )
    max_steps: int = Field(100_000, ge=1, le=100_000, description="Optimiser steps of one training.")
    max_resolution_px: int = Field(1536, ge=64, le=2048, description="Side of the square that pictures are fitted to.")
    max_batch_size: int = Field(64, ge=1, le=64, description="Pictures in one forward pass.")
