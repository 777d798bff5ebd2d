"""Measures the starter captioner: drawings that it has not seen, worn ones, and pictures that the model drew."""

from __future__ import annotations

import datetime
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BlipForConditionalGeneration, BlipProcessor

from kerf_world.weathering import Colour, compressed, moved, no_drawing

from .bundle import load_model
from .canvas import Style
from .captioner import HELD_OUT_SEED
from .captions import with_article
from .dataset import Pictures, draw_pictures
from .evaluation import EVALUATION_FILE, generate
from .objects import Kind
from .reader import Accuracy
from .sentences import UNKNOWN_PICTURE, names_rightly
from .vocabulary import OBJECT_NAMES, STYLE_NAMES

_log = logging.getLogger(__name__)
MAX_NEW_TOKENS = 16
_PER_PAIR = 2
_BATCH = 64
_GENERATOR_SEED = 11
_NO_DRAWINGS = 60
_ENLARGED_PX = 700

Wear = Callable[[Colour, np.random.Generator], Colour]


@dataclass(frozen=True)
class Captioner:
    """The model folder as plain transformers loads it."""

    model: BlipForConditionalGeneration
    processor: BlipProcessor


def load_captioner(folder: Path) -> Captioner:
    """Load a captioner folder for the CPU in single precision."""
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return Captioner(model.eval(), BlipProcessor.from_pretrained(folder, local_files_only=True))


def captions_of(captioner: Captioner, colours: Sequence[Colour], max_new_tokens: int = MAX_NEW_TOKENS) -> list[str]:
    """Caption pictures (rows, columns, 3) uint8 RGB of any size, greedily."""
    texts: list[str] = []
    for start in range(0, len(colours), _BATCH):
        inputs = captioner.processor(images=list(colours[start : start + _BATCH]), return_tensors="pt")
        with torch.inference_mode():
            tokens = captioner.model.generate(pixel_values=inputs.pixel_values, max_new_tokens=max_new_tokens)
        texts += captioner.processor.batch_decode(tokens, skip_special_tokens=True)
    return texts


def accuracy_of(texts: Sequence[str], kinds: NDArray[np.int64], styles: NDArray[np.int64]) -> Accuracy:
    """Shares of captions that name the right object and no other, the right style and no other, and both."""
    kind_of, style_of = list(Kind), list(Style)
    verdicts = np.array(
        [names_rightly(text, kind_of[k], style_of[s]) for text, k, s in zip(texts, kinds, styles, strict=True)]
    )
    kind_right, style_right = verdicts.T
    return Accuracy(float(kind_right.mean()), float(style_right.mean()), float(verdicts.all(axis=1).mean()))


def evaluate_captioner(
    folder: Path, generator_folder: Path | None, seconds_of_training: float, *, per_pair: int = _PER_PAIR
) -> None:
    """Write `evaluation.json` into the captioner's folder; without a generator its pictures are left out."""
    captioner = load_captioner(folder)
    pictures = draw_pictures(per_pair, HELD_OUT_SEED)
    colours = [as_colour(pixels) for pixels in pictures.pixels]
    began = time.perf_counter()
    texts = captions_of(captioner, colours)
    seconds = (time.perf_counter() - began) / len(colours)
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "parameters": sum(weight.numel() for weight in captioner.model.parameters()),
        "training_seconds": round(seconds_of_training),
        "pictures": len(texts),
        "first_seed": HELD_OUT_SEED,
        "rule": "right = the caption names this object and no other, and this style and no other",
        "seconds_per_picture": round(seconds, 4),
        "threads": torch.get_num_threads(),
        "held_out_drawings": _rounded(accuracy_of(texts, pictures.kinds, pictures.styles)),
        "mistakes": _mistakes(texts, pictures),
        "worn_drawings": {
            name: _rounded(_worn_accuracy(captioner, pictures, colours, wear)) for name, wear in WEARS.items()
        },
        "no_drawings_called_unknown": _share_called_unknown(captioner),
    }
    if generator_folder is not None:
        report["pictures_of_the_starter_model"] = _rounded(_generated_accuracy(captioner, generator_folder))
    (folder / EVALUATION_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _log.info("%s", report["held_out_drawings"])


def as_colour(grey: NDArray[np.uint8]) -> Colour:
    """A grey picture in three equal channels."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def _noisy(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.clip(colour + rng.normal(0, 20, colour.shape), 0, 255).astype(np.uint8)


def _blurred(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.asarray(cv2.GaussianBlur(colour, (0, 0), 1.2), np.uint8)


def _compressed(colour: Colour, rng: np.random.Generator) -> Colour:
    return compressed(colour, 30)


def _turned(colour: Colour, rng: np.random.Generator) -> Colour:
    return as_colour(moved(colour[:, :, 0], float(rng.choice([-6.0, 6.0]))))


def _enlarged(colour: Colour, rng: np.random.Generator) -> Colour:
    return np.asarray(cv2.resize(colour, (_ENLARGED_PX, _ENLARGED_PX), interpolation=cv2.INTER_CUBIC), np.uint8)


def _small(colour: Colour, rng: np.random.Generator) -> Colour:
    shift_px = (float(rng.uniform(-12, 12)), float(rng.uniform(-12, 12)))
    return as_colour(moved(colour[:, :, 0], 0.0, (2 / 3, 2 / 3), shift_px))


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


def _worn_accuracy(captioner: Captioner, pictures: Pictures, colours: list[Colour], wear: Wear) -> Accuracy:
    rng = np.random.default_rng(HELD_OUT_SEED)
    return accuracy_of(
        captions_of(captioner, [wear(colour, rng) for colour in colours]), pictures.kinds, pictures.styles
    )


def _share_called_unknown(captioner: Captioner) -> float:
    rng = np.random.default_rng(HELD_OUT_SEED)
    texts = captions_of(captioner, [no_drawing(rng) for _ in range(_NO_DRAWINGS)])
    return round(sum(text == UNKNOWN_PICTURE for text in texts) / len(texts), 4)


def _generated_accuracy(captioner: Captioner, generator_folder: Path) -> Accuracy:
    pipeline = load_model(generator_folder)
    pairs = [(kind, style) for kind in range(len(Kind)) for style in range(len(Style))]
    kind_of, style_of = list(Kind), list(Style)
    colours = []
    for kind, style in pairs:
        prompt = f"{STYLE_NAMES[style_of[style]][0]} of {with_article(OBJECT_NAMES[kind_of[kind]][0])}"
        colours.append(as_colour(generate(pipeline, prompt, (_GENERATOR_SEED,))[0]))
    kinds, styles = np.array(pairs, dtype=np.int64).T
    return accuracy_of(captions_of(captioner, colours), kinds, styles)


def _mistakes(texts: Sequence[str], pictures: Pictures) -> dict[str, int]:
    kind_of, style_of = list(Kind), list(Style)
    wrong = Counter(
        f"{kind_of[kind].value}, {style_of[style].value}: {text}"
        for text, kind, style in zip(texts, pictures.kinds, pictures.styles, strict=True)
        if not all(names_rightly(text, kind_of[kind], style_of[style]))
    )
    return dict(wrong.most_common())


def _rounded(measured: Accuracy) -> dict[str, float]:
    return {name: round(share, 4) for name, share in asdict(measured).items()}
