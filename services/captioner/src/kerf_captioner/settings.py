"""The settings of the captioner; the only place that reads its environment."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kerf_captioner.domain.engine import Engine
from kerf_captioner.domain.requests import CaptionLimits
from kerf_core.model_settings import ServesModels
from kerf_core.settings import Duration, service_config
from kerf_media import PictureLimits

# OpenMP reads it when torch is loaded, so this module is imported before the engines. Threads that wait asleep instead
# of spinning lose little on idle cores and win much on busy ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_STARTER = Path(__file__).resolve().parents[4] / "models" / "starter" / "captioner"
"""Where the starter captioner lies, in a source checkout as in an image of the service."""
_MAX_PICTURE_PIXELS = 89_478_485


class ModelEntry(BaseModel):
    """A model that the worker serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Engine = Field(Engine.BLIP, description="blip, or simple: `text` for every picture, without looking.")
    source: str = Field("", description="Of blip: folder, or repository id `owner/name` or `owner/name@revision`.")
    text: str = Field("", max_length=1000, description="Of simple: what it says.")
    beams: int = Field(1, ge=1, le=16, description="Default beams; 1 = greedy.")
    max_tokens: int = Field(30, ge=1, le=256, description="Default of the longest caption in tokens.")
    repetition_penalty: float = Field(1.0, gt=0, le=10, description="Default; 1 = none.")
    description: str = Field("", max_length=2000, description="What it can tell and what it cannot, for people.")

    @model_validator(mode="after")
    def _has_what_its_engine_needs(self) -> ModelEntry:
        needed, foreign = ("source", "text") if self.engine is Engine.BLIP else ("text", "source")
        if not getattr(self, needed).strip():
            raise ValueError(f"a model of the engine {self.engine.value} needs {needed}")
        if getattr(self, foreign):
            raise ValueError(f"a model of the engine {self.engine.value} has no {foreign}")
        return self


def _starter() -> dict[str, ModelEntry]:
    return {
        "starter": ModelEntry(
            engine=Engine.BLIP,
            source=str(_STARTER),
            max_tokens=16,
            description="The small BLIP that comes with kerf: names one of 35 simple objects and one of three laser"
            " styles. A drawing of anything else it takes for one of its objects; noise and blank sheets it mostly"
            " calls something unknown.",
        )
    }


class CaptionerSettings(ServesModels):
    """The captioner says what pictures show."""

    model_config = service_config("captioner")

    models: dict[str, ModelEntry] = Field(
        default_factory=_starter,
        description="Models by name, as JSON: a folder or repository id of a BLIP, or an object with engine (blip or"
        " simple), source or text, beams, max_tokens, repetition_penalty and description. Example:"
        ' {"blip": "/models/blip-base", "none": {"engine": "simple", "text": "a picture"}}.',
    )
    precision: str = Field(
        "auto",
        pattern="^(auto|float32|float16|bfloat16)$",
        description="auto (float32 on CPU, float16 on CUDA), float32, float16 or bfloat16.",
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of one caption; 0 = the usable cores. Part of the numeric class."
    )
    kept_models: int = Field(1, ge=1, le=16, description="Models kept in memory; the longest unused is dropped first.")
    idle_unload: Duration = Field(
        timedelta(minutes=15), ge=timedelta(0), description="Unused for so long, a model leaves the memory; 0 = never."
    )
    cache_bytes: int = Field(16 << 20, ge=0, description="Memory for captions that were made before; 0 = none.")
    picture_max_bytes: int = Field(32 << 20, ge=1, description="Largest picture file that is read.")
    picture_max_pixels: int = Field(40_000_000, ge=1, le=_MAX_PICTURE_PIXELS, description="Largest picture in pixels.")
    picture_max_side_px: int = Field(20_000, ge=1, le=65_535, description="Longest side of a picture.")
    max_prompt_chars: int = Field(500, ge=0, le=500, description="Longest prompt.")
    max_beams: int = Field(16, ge=1, le=16, description="Most beams of a search.")
    max_tokens: int = Field(256, ge=1, le=256, description="Longest caption in tokens that may be asked for.")

    def caption_limits(self) -> CaptionLimits:
        """The domain's form of the limits of captions."""
        return CaptionLimits(self.max_prompt_chars, self.max_beams, self.max_tokens)

    def picture_limits(self) -> PictureLimits:
        """What is refused before it is decoded."""
        return PictureLimits(self.picture_max_bytes, self.picture_max_pixels, self.picture_max_side_px)
