"""A Stable Diffusion model in memory, drawing through the plain diffusers pipeline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kerf_core.compute import held
from kerf_core.errors import FailedPrecondition, ResourceExhausted
from kerf_diffusion.adapters.previews import LatestGuess, Previewer
from kerf_diffusion.domain.engine import ModelFacts, Picture, PictureOrder, StepWatch
from kerf_diffusion.domain.requests import LoraWeight
from kerf_media.encode import encode_png_rgb
from kerf_sd.lora_files import LoraFolder
from kerf_sd.loras import LoraMixer
from kerf_sd.models import LoadedModel
from kerf_sd.schedulers import SchedulerKind, make_scheduler
from kerf_sd.vocabulary import unread_text


class DiffusersModel:
    """One loaded model. Pictures are drawn one at a time, each alone in its batch, whoever asks."""

    def __init__(self, loaded: LoadedModel, facts: ModelFacts, loras: LoraFolder, kept_loras: int) -> None:
        self.facts = facts
        self.loaded = loaded
        self._loras = loras
        self._mixer = LoraMixer(loaded, kept_loras)
        self._previewer = Previewer(loaded.pipeline.vae, loaded.preview_decoder)
        self._lock = threading.Lock()

    def unknown_words(self, prompt: str) -> list[str]:
        """See `PictureModel`."""
        return self.loaded.vocabulary.unknown_words(prompt) if self.loaded.vocabulary else []

    def unread_text(self, prompt: str) -> str:
        """See `PictureModel`."""
        return unread_text(self.loaded.tokenizers, prompt)

    def lora_warnings(self, loras: tuple[LoraWeight, ...], check: Callable[[], None]) -> list[str]:
        """See `PictureModel`."""
        if not loras:
            return []
        with held(self._lock, check):
            return self._mix(loras)

    def draw(self, order: PictureOrder, check: Callable[[], None], watch: StepWatch) -> Picture:
        """See `PictureModel`."""
        with held(self._lock, check):
            self.loaded.compute.enter()
            self._mix(order.loras)
            try:
                rgb = self._run_pipeline(order, watch)
            except torch.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                raise ResourceExhausted(
                    "OUT_OF_MEMORY",
                    f"{order.width_px} x {order.height_px} px do not fit into memory ({self.loaded.compute.device})"
                    f" beside model {self.facts.name}; ask for a smaller picture",
                ) from error
        if not np.isfinite(rgb).all():
            raise FailedPrecondition(
                "PICTURE_NOT_FINITE",
                f"model {self.facts.name} gave values that are no numbers; try another scheduler, a lower LoRA weight,"
                " or the precision float32 or bfloat16",
            )
        pixels = np.rint(rgb * 255).astype(np.uint8)
        return Picture(encode_png_rgb(pixels), pixels.shape[1], pixels.shape[0], order.seed)

    def _mix(self, loras: tuple[LoraWeight, ...]) -> list[str]:
        return self._mixer.apply([(self._loras.find(lora.name), lora.weight) for lora in loras])

    def _run_pipeline(self, order: PictureOrder, watch: StepWatch) -> Any:
        """The picture as (H, W, 3) float32 from 0 to 1."""
        pipeline = self.loaded.pipeline
        pipeline.scheduler = make_scheduler(SchedulerKind(order.scheduler.value), self.loaded.own_scheduler)
        guess = LatestGuess(pipeline.scheduler)

        def after_step(_: Any, index: int, __: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            latents = tensors["latents"] if guess.latents is None else guess.latents
            watch(index + 1, pipeline.num_timesteps, lambda: self._previewer.png(latents))
            return {}

        return pipeline(
            prompt=order.prompt,
            negative_prompt=order.negative_prompt or None,
            width=order.width_px,
            height=order.height_px,
            num_inference_steps=order.steps,
            guidance_scale=order.guidance,
            # On the CPU whatever the device, so that a seed means the same noise everywhere.
            generator=torch.Generator("cpu").manual_seed(order.seed),
            output_type="np",
            callback_on_step_end=after_step,
        ).images[0]
