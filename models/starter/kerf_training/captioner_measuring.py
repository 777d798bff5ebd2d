"""What the starter captioner is asked when it is measured: drawings of held-out combinations, and worn ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BlipForConditionalGeneration, BlipProcessor

from kerf_world.scenes import Scene
from kerf_world.weathering import Colour, compressed, moved, no_drawing

from .pictures import Pixels
from .sentences import UNKNOWN_PICTURE, names_rightly

MAX_NEW_TOKENS = 24
WORN_SEED = 7_500_000
_BATCH = 64
_NO_DRAWINGS = 60
_ENLARGED_PX = 700

Wear = Callable[[Colour, np.random.Generator], Colour]


@dataclass(frozen=True)
class Captioner:
    """The model folder as plain transformers loads it."""

    model: BlipForConditionalGeneration
    processor: BlipProcessor


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares from 0 to 1; right is what names the right things and no others."""

    subject: float
    style: float
    both: float


def load_captioner(folder: Path) -> Captioner:
    """Load a captioner folder for the CPU in single precision."""
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return Captioner(model.eval(), BlipProcessor.from_pretrained(folder, local_files_only=True))


def captions_of(captioner: Captioner, colours: Sequence[Colour]) -> list[str]:
    """Caption pictures (rows, columns, 3) uint8 RGB of any size, greedily."""
    texts: list[str] = []
    for start in range(0, len(colours), _BATCH):
        inputs = captioner.processor(images=list(colours[start : start + _BATCH]), return_tensors="pt")
        with torch.inference_mode():
            tokens = captioner.model.generate(pixel_values=inputs.pixel_values, max_new_tokens=MAX_NEW_TOKENS)
        texts += captioner.processor.batch_decode(tokens, skip_special_tokens=True)
    return texts


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


def as_colours(pixels: Pixels) -> list[Colour]:
    """Grey pictures (N, H, W) in three equal channels."""
    return [_as_colour(grey) for grey in pixels]


def _as_colour(grey: NDArray[np.uint8]) -> Colour:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _noisy(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.clip(colour + rng.normal(0, 20, colour.shape), 0, 255).astype(np.uint8)


def _blurred(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.asarray(cv2.GaussianBlur(colour, (0, 0), 1.2), np.uint8)


def _compressed(colour: Colour, rng: np.random.Generator) -> Colour:
    return compressed(colour, 30)


def _turned(colour: Colour, rng: np.random.Generator) -> Colour:
    return _as_colour(moved(colour[:, :, 0], float(rng.choice([-6.0, 6.0]))))


def _enlarged(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.asarray(cv2.resize(colour, (_ENLARGED_PX, _ENLARGED_PX), interpolation=cv2.INTER_CUBIC), np.uint8)


def _small(colour: Colour, rng: np.random.Generator) -> Colour:
    shift_px = (float(rng.uniform(-12, 12)), float(rng.uniform(-12, 12)))
    return _as_colour(moved(colour[:, :, 0], 0.0, (2 / 3, 2 / 3), shift_px))


def _on_a_wide_sheet(colour: Colour, rng: np.random.Generator) -> Colour:
    side_px = colour.shape[1] // 4
    return np.pad(colour, ((0, 0), (side_px, side_px), (0, 0)), constant_values=255)


def _negative(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.asarray(255 - colour, np.uint8)


WEARS: dict[str, Wear] = {
    "noise of 20 levels": _noisy,
    "blur of 1.2 px": _blurred,
    "JPEG quality 30": _compressed,
    "turned by 6 degrees": _turned,
    "enlarged to 700 px": _enlarged,
    "two thirds the size, off the middle": _small,
    "on a sheet of 3:2": _on_a_wide_sheet,
    "white on black": _negative,
}
