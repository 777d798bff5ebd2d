"""How a captioner of this world is judged; pictures are worn as `kerf_starter.captioner_evaluation` wears them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerf_starter.captioner_evaluation import Captioner, captions_of
from kerf_starter.sentences import UNKNOWN_PICTURE
from kerf_world.scenes import Scene
from kerf_world.weathering import no_drawing

from .sentences import names_rightly

MAX_NEW_TOKENS = 24
"""The captions of pairs in a border are the longest."""
WORN_SEED = 7_500_000
_NO_DRAWINGS = 60


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares from 0 to 1; right is what names the right things and no others."""

    subject: float
    style: float
    both: float


def accuracy_of(texts: Sequence[str], scenes: Sequence[Scene]) -> Accuracy:
    """How many captions are right."""
    verdicts = np.array([names_rightly(text, scene) for text, scene in zip(texts, scenes, strict=True)])
    subject_right, style_right = verdicts.T
    return Accuracy(float(subject_right.mean()), float(style_right.mean()), float(verdicts.all(axis=1).mean()))


def share_called_unknown(captioner: Captioner) -> float:
    """Share of pictures without any drawing that it says so of."""
    rng = np.random.default_rng(WORN_SEED)
    texts = captions_of(captioner, [no_drawing(rng) for _ in range(_NO_DRAWINGS)])
    return sum(text == UNKNOWN_PICTURE for text in texts) / len(texts)
