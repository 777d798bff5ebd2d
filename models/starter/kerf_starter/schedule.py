"""What the training loops share: how long each part trains, and how its learning rate moves."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """All choices of one training. Steps are optimiser steps; seeds make it repeatable on one machine class.

    `denoiser_steps` is a multiple of `save_every_steps`, and that of `meet_every_steps`.
    """

    pictures_per_pair: int = 80
    autoencoder_steps: int = 1600
    autoencoder_batch: int = 24
    autoencoder_rate: float = 2e-3
    denoiser_steps: int = 3000
    denoiser_rate: float = 1e-3
    denoiser_batch: int = 32
    caption_dropout: float = 0.1
    average_decay: float = 0.999
    workers: int = 2
    meet_every_steps: int = 8
    save_every_steps: int = 200
    reader_steps: int = 700
    reader_batch: int = 64
    seed: int = 20260101

    @classmethod
    def quick(cls) -> Recipe:
        """Return a recipe that only shows that every part runs."""
        return cls(
            pictures_per_pair=1,
            autoencoder_steps=2,
            autoencoder_batch=2,
            denoiser_steps=2,
            denoiser_batch=2,
            workers=1,
            meet_every_steps=1,
            save_every_steps=1,
            reader_steps=2,
            reader_batch=4,
        )


def warm_cosine(step: int, steps: int, warm_steps: int) -> float:
    """Return the learning-rate factor: a linear rise, then half a cosine down to 2 % (Loshchilov and Hutter, 2017)."""
    warm = min(1.0, (step + 1) / max(1, warm_steps))
    share = min(1.0, step / max(1, steps))
    return warm * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * share)))
