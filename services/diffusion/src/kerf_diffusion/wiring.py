"""Puts the parts together that both doors share."""

from __future__ import annotations

from kerf_diffusion.adapters.shelf import DiffusersShelf, ModelSource
from kerf_diffusion.domain.requests import Limits
from kerf_diffusion.domain.studio import Studio
from kerf_diffusion.settings import DiffusionSettings
from kerf_models.devices import Compute, choose_compute
from kerf_sd.lora_files import LoraFolder
from kerf_sd.models import LIBRARIES


def choose_compute_for(settings: DiffusionSettings) -> Compute:
    """The device and precision that the settings lead to; its `reason` is for the log. Raises FailedPrecondition."""
    return choose_compute(settings.device, settings.precision, settings.threads, libraries=LIBRARIES)


def open_loras(settings: DiffusionSettings) -> LoraFolder:
    """The LoRAs that lie in the settings' folder; those of artifacts come to it."""
    return LoraFolder(settings.loras_dir, settings.max_lora_bytes, settings.max_lora_cache_bytes)


def build_studio(settings: DiffusionSettings, compute: Compute, loras: LoraFolder) -> Studio:
    """A studio with the settings' models and limits; loads nothing yet."""
    shelf = DiffusersShelf(
        {name: ModelSource(**entry.model_dump()) for name, entry in settings.models.items()},
        default_model=settings.resolved_default_model,
        compute=compute,
        loras=loras,
        kept_models=settings.kept_models,
        kept_loras=settings.kept_loras,
        local_files_only=settings.local_files_only,
    )
    limits = Limits(
        max_prompt_chars=settings.max_prompt_chars,
        min_side_px=settings.min_side_px,
        max_side_px=settings.max_side_px,
        max_pixels=settings.max_pixels,
        max_images=settings.max_images,
        max_steps=settings.max_steps,
    )
    return Studio(shelf, limits, settings.preview_every_steps)
