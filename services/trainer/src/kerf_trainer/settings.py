"""The settings of the trainer; the only place that reads its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kerf_core.settings import ServiceSettings, service_config
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


class TrainerSettings(ServiceSettings):
    """The trainer makes LoRAs from pictures with captions."""

    model_config = service_config("trainer")

    models: dict[str, ModelEntry] = Field(
        default_factory=_starter,
        description="Base models by name, as JSON: a folder or repository id, or an object with source, steps and"
        ' guidance. Example: {"sd15": "/models/sd15"}.',
    )
    default_model: str = Field(
        "", max_length=128, description="Base model of requests that name none; empty = starter, or the first name."
    )
    local_files_only: bool = Field(True, description="Never download; repository ids are looked up in the local cache.")
    device: str = Field("auto", max_length=32, description="auto (CUDA if there is one), cpu, cuda or cuda:<n>.")
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

    @field_validator("models", mode="before")
    @classmethod
    def _plain_sources(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"source": entry} if isinstance(entry, str) else entry for name, entry in value.items()}

    @model_validator(mode="after")
    def _models_are_named(self) -> TrainerSettings:
        if not self.models:
            raise ValueError("models must name at least one base model")
        if self.default_model and self.default_model not in self.models:
            raise ValueError(
                f"default_model {self.default_model!r} is not one of models: {', '.join(sorted(self.models))}"
            )
        return self

    @property
    def resolved_default_model(self) -> str:
        """Name of the base model of requests that name none."""
        return self.default_model or ("starter" if "starter" in self.models else min(self.models))
