"""The kinds of Stable Diffusion that kerf can load. Knows no torch."""

from __future__ import annotations

from enum import StrEnum


class Architecture(StrEnum):
    """How a model is built; the value is what `ListLoadedModels` shows."""

    SD = "sd"
    """Stable Diffusion 1.x and 2.x, and what is built like them: one text encoder."""
    SDXL = "sdxl"
    """Stable Diffusion XL base: two text encoders, size conditioning."""
