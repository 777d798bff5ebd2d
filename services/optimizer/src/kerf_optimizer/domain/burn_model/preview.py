"""What a raster will look like on the material."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.burn_model.model import BurnModel, patterns
from kerf_optimizer.domain.error_diffusion import TONE_ONE


def burn_preview(burn: NDArray[np.bool_], model: BurnModel) -> NDArray[np.uint8]:
    """The simulated burn, uint8 of the same shape: 255 = untouched, 0 = as dark as full burn."""
    shades = np.rint(255 - model.tones * (255 / TONE_ONE)).astype(np.uint8)
    return np.asarray(shades[patterns(burn)[1:-1, 1:-1]])


def burnt_tone(burn: NDArray[np.bool_], model: BurnModel) -> float:
    """The simulated burn's mean tone: 0 = untouched, 1 = full burn everywhere."""
    counts = np.bincount(patterns(burn)[1:-1, 1:-1].ravel(), minlength=len(model.tones))
    return float(counts @ model.tones) / TONE_ONE / burn.size
