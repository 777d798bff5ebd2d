"""Measures the model: every object in every style, named by a classifier trained on drawings alone."""

from __future__ import annotations

import datetime
import json
import logging
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from numpy.typing import NDArray

from kerf_world.drawing import SIZE_PX, Picture

from .bundle import load_model
from .canvas import Style
from .captions import with_article
from .objects import Kind
from .reader import Reading, accuracy, held_out_accuracy, read, train_reader
from .schedule import Recipe
from .vocabulary import OBJECT_NAMES, STYLE_NAMES

_log = logging.getLogger(__name__)
EVALUATION_FILE = "evaluation.json"
STEPS = 20
GUIDANCE = 3.0
SEEDS = (1, 2, 3, 4)
_QUICK_STEPS = 1
_SHEET_COLUMNS = 3
_SHEET_CELL_PX = 64


def evaluate(recipe: Recipe, model_folder: Path, sheet: Path, *, quick: bool = False) -> None:
    """Write `evaluation.json` into the model's folder, and a sheet of samples; `quick` takes one step and one seed."""
    pipeline = load_model(model_folder)
    steps, seeds = (_QUICK_STEPS, SEEDS[:1]) if quick else (STEPS, SEEDS)
    began = time.perf_counter()
    pixels = np.stack([generate(pipeline, prompt, seeds, steps=steps) for prompt in _prompts()])
    seconds = (time.perf_counter() - began) / (len(pixels) * len(seeds))
    kinds = np.repeat(np.arange(len(Kind)), len(Style) * len(seeds))
    styles = np.tile(np.repeat(np.arange(len(Style)), len(seeds)), len(Kind))
    reader = train_reader(recipe)
    reading = read(reader, pixels.reshape(-1, SIZE_PX, SIZE_PX))
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "sampler": DPMSolverMultistepScheduler.__name__,
        "steps": steps,
        "guidance": GUIDANCE,
        "seeds": list(seeds),
        "prompts": "style, article and object, as in 'silhouette of a heart'",
        "pictures": len(kinds),
        "seconds_per_picture": round(seconds, 3),
        "threads": torch.get_num_threads(),
        "reader_on_held_out_drawings": _rounded(asdict(held_out_accuracy(reader))),
        "reader_on_generated": _rounded(asdict(accuracy(reading, kinds, styles))),
        "object_accuracy": _by_kind(reading, kinds),
        "style_accuracy": _by_style(reading, styles),
        "mistaken_for": _mistakes(reading, kinds),
    }
    (model_folder / EVALUATION_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    cv2.imwrite(str(sheet), sample_sheet(pixels[:, 0]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    _log.info("%s", report["reader_on_generated"])


def generate(
    pipeline: StableDiffusionPipeline, prompt: str, seeds: tuple[int, ...], *, steps: int = STEPS
) -> NDArray[np.uint8]:
    """Draw a prompt once per seed; returns (len(seeds), 128, 128) uint8."""
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    drawn = pipeline(
        [prompt] * len(seeds),
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        output_type="np",
    ).images
    return np.asarray(np.round(drawn.mean(axis=3) * 255.0), dtype=np.uint8)


def sample_sheet(pictures: NDArray[np.uint8]) -> Picture:
    """Lay pictures (objects x styles, 128, 128) out: an object's styles side by side, several objects in a row."""
    small = [
        cv2.resize(picture, (_SHEET_CELL_PX, _SHEET_CELL_PX), interpolation=cv2.INTER_AREA) for picture in pictures
    ]
    per_object = [np.hstack(small[first : first + len(Style)]) for first in range(0, len(small), len(Style))]
    blank = np.full_like(per_object[0], 255)
    per_object += [blank] * (-len(per_object) % _SHEET_COLUMNS)
    rows = [
        np.hstack(per_object[first : first + _SHEET_COLUMNS]) for first in range(0, len(per_object), _SHEET_COLUMNS)
    ]
    # 16 greys are enough to look at, and make a small file.
    sheet = np.vstack(rows)
    return np.asarray(np.round(sheet / 17.0) * 17.0, dtype=np.uint8)


def _prompts() -> list[str]:
    return [f"{STYLE_NAMES[style][0]} of {with_article(OBJECT_NAMES[kind][0])}" for kind in Kind for style in Style]


def _by_kind(reading: Reading, kinds: NDArray[np.int64]) -> dict[str, float]:
    right = reading.kinds == kinds
    return {kind.value: round(float(right[kinds == index].mean()), 3) for index, kind in enumerate(Kind)}


def _by_style(reading: Reading, styles: NDArray[np.int64]) -> dict[str, float]:
    right = reading.styles == styles
    return {style.value: round(float(right[styles == index].mean()), 3) for index, style in enumerate(Style)}


def _mistakes(reading: Reading, kinds: NDArray[np.int64]) -> dict[str, int]:
    names = [kind.value for kind in Kind]
    wrong = Counter(
        f"{names[truth]} as {names[seen]}" for truth, seen in zip(kinds, reading.kinds, strict=True) if truth != seen
    )
    return dict(wrong.most_common())


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}
