"""The settings of the diffusion worker; the only place that reads its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kerf_core.model_settings import ServesModels
from kerf_core.settings import service_config
from kerf_models.devices import Precision

_STARTER_WEIGHTS = Path(__file__).resolve().parents[4] / "models" / "starter" / "weights"
"""Where the starter model lies, in a source checkout as in an image of the service."""


class ModelEntry(BaseModel):
    """A model that the worker serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="Folder, or repository id `owner/name` or `owner/name@revision`.")
    steps: int | None = Field(None, ge=1, le=150, description="Default steps; none = 25 (sd) or 30 (sdxl).")
    guidance: float | None = Field(None, ge=0, le=30, description="Default guidance; none = 7.5 (sd) or 5 (sdxl).")
    description: str = Field("", max_length=2000, description="What it can draw and what it cannot, for people.")


def _starter() -> dict[str, ModelEntry]:
    return {
        "starter": ModelEntry(
            source=str(_STARTER_WEIGHTS),
            steps=20,
            guidance=3.0,
            description="The small model that comes with kerf: simple objects in laser styles at 128 px, from a few"
            " dozen known words. It cannot draw anything else.",
        )
    }


class DiffusionSettings(ServesModels):
    """The diffusion worker draws pictures from words."""

    model_config = service_config("diffusion")

    models: dict[str, ModelEntry] = Field(
        default_factory=_starter,
        description="Models by name, as JSON: a folder or repository id, or an object with source, steps, guidance and"
        ' description. Example: {"sd15": "/models/sd15"}.',
    )
    loras_dir: Path | None = Field(None, description="Folder with LoRAs as <name>.safetensors; none = no LoRAs.")
    max_lora_bytes: int = Field(2 << 30, ge=1, description="Largest LoRA file that is read.")
    max_lora_cache_bytes: int = Field(4 << 30, ge=1, description="Disk for LoRAs that requests name as artifacts.")
    precision: Precision = Field(
        Precision.AUTO, description="auto (float32 on CPU, float16 on CUDA), float32, float16 or bfloat16."
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of one picture; 0 = the usable cores. Part of the numeric class."
    )
    kept_models: int = Field(1, ge=1, le=16, description="Models kept in memory; the longest unused is dropped first.")
    kept_loras: int = Field(8, ge=1, le=64, description="LoRAs kept in memory beside each model.")
    preview_every_steps: int = Field(5, ge=0, le=150, description="A preview every so many steps; 0 = none.")
    max_prompt_chars: int = Field(2000, ge=1, le=2000, description="Longest prompt and negative prompt.")
    min_side_px: int = Field(64, ge=8, le=2048, description="Shortest side of a picture.")
    max_side_px: int = Field(2048, ge=64, le=2048, description="Longest side of a picture.")
    max_pixels: int = Field(1536 * 1536, ge=64 * 64, description="Largest picture in pixels.")
    max_images: int = Field(16, ge=1, le=16, description="Pictures in one request.")
    max_steps: int = Field(150, ge=1, le=150, description="Denoising steps of a picture.")
