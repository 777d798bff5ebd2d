"""What the denoiser is asked, and how wrong its answer is."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler
from torch.nn import functional


class NoiseTask:
    """Noise is added after the model's own schedule; the model must find it (Ho et al., 2020) or v (Salimans, 2022)."""

    def __init__(self, own_scheduler: Any, device: torch.device, min_snr_gamma: float) -> None:
        # Whatever sampler the folder has: its betas and prediction type are what the model was trained with.
        self._schedule = DDPMScheduler.from_config(own_scheduler.config)
        self._kind = str(self._schedule.config.prediction_type)
        self._gamma = min_snr_gamma
        alphas = self._schedule.alphas_cumprod.to(device=device, dtype=torch.float32)
        self._snr = alphas / (1.0 - alphas)
        self.timesteps = int(self._schedule.config.num_train_timesteps)

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Latents with as much noise as their timesteps want."""
        mixed: torch.Tensor = self._schedule.add_noise(latents, noise, timesteps)
        return mixed

    def loss(
        self, predicted: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Mean squared error over the batch, weighted by min-SNR (Hang et al., 2023) if gamma is not 0."""
        if self._kind == "v_prediction":
            target = self._schedule.get_velocity(latents, noise, timesteps)
        else:
            target = noise if self._kind == "epsilon" else latents
        errors = functional.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))
        return (errors * self._weights(timesteps)).mean()

    def _weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        snr: torch.Tensor = self._snr[timesteps]
        if self._gamma <= 0:
            return torch.ones_like(snr)
        clipped = snr.clamp(max=self._gamma)
        if self._kind == "v_prediction":
            return clipped / (snr + 1.0)
        if self._kind == "epsilon":
            return clipped / snr.clamp(min=1e-8)
        return clipped
