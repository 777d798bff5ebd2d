"""The prompts that the denoiser learns from: the world's captions, and now and then a word that means nothing."""

from __future__ import annotations

import numpy as np

from kerf_world.captions import caption, usual_caption
from kerf_world.scenes import Scene

_NONSENSE_SHARE = 0.08
_USUAL_SHARE = 0.15
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def prompt(scene: Scene, rng: np.random.Generator) -> str:
    """Return one prompt for a scene, in lower case."""
    text = usual_caption(scene) if rng.random() < _USUAL_SHARE else caption(scene, rng)
    return _with_nonsense(text, rng) if rng.random() < _NONSENSE_SHARE else text


def _with_nonsense(text: str, rng: np.random.Generator) -> str:
    """Put a word of random letters somewhere, so that the model learns to overlook words that it does not know."""
    word = "".join(_LETTERS[int(index)] for index in rng.integers(0, len(_LETTERS), int(rng.integers(3, 9))))
    parts = text.split(" ")
    parts.insert(int(rng.integers(len(parts) + 1)), word)
    return " ".join(parts)
