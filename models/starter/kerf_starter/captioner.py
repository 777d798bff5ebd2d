"""The starter captioner: a small BLIP (Li et al., 2022) trained on the drawn world, from nothing."""

from __future__ import annotations

import copy
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
)

from kerf_world.weathering import MILD, ROUGH, Colour, Weather, no_drawing, weathered

from .canvas import Style
from .dataset import Pictures, draw_pictures
from .objects import Kind
from .schedule import warm_cosine
from .sentences import MAX_TOKENS, UNKNOWN_PICTURE, any_sentence, new_bert_tokenizer
from .workers import Team, team

_log = logging.getLogger(__name__)
IMAGE_PX = 64
# Seeds that no other part of the starter model uses; each worker draws its own pictures.
FIRST_TRAINING_SEED = 3_000_000
HELD_OUT_SEED = 4_000_000
_SEEDS_PER_WORKER = 10_000
_PATCH_PX = 8
VISION_WIDTH = 192
_TEXT_WIDTH = 128
_TOKENS_PER_CAPTION = 14
_NO_TARGET = -100


@dataclass(frozen=True, slots=True)
class Lesson:
    """One part of a training; `steps` are optimiser steps of each worker, a multiple of `meet_every_steps`."""

    weather: Weather
    steps: int
    rate: float
    warm_steps: int
    unknown_share: float
    # How much naming the object and style from the picture alone counts beside the caption.
    naming_weight: float
    # Share of the weights that come from this lesson; the rest stays as before it (Wortsman et al., 2022), so that what
    # is rough is learned without forgetting what is clean.
    kept: float = 1.0


# Rough pictures from the first step on would take several times as long to learn from.
_LESSONS = (
    Lesson(MILD, steps=2400, rate=1e-3, warm_steps=150, unknown_share=0.04, naming_weight=1.0),
    Lesson(ROUGH, steps=360, rate=6e-4, warm_steps=40, unknown_share=0.08, naming_weight=0.5, kept=0.7),
)
_QUICK_LESSONS = tuple(replace(lesson, steps=2) for lesson in _LESSONS)


@dataclass(frozen=True, slots=True)
class CaptionerRecipe:
    """All choices of one training."""

    lessons: tuple[Lesson, ...] = _LESSONS
    pictures_per_pair: int = 90
    batch: int = 48
    weight_decay: float = 0.05
    average_decay: float = 0.998
    workers: int = 2
    meet_every_steps: int = 4
    tell_every_steps: int = 100
    seed: int = 20261121

    @classmethod
    def quick(cls) -> CaptionerRecipe:
        """Return a recipe that only shows that every part runs."""
        return cls(lessons=_QUICK_LESSONS, pictures_per_pair=1, batch=4, workers=1, meet_every_steps=1)


class Pupil(nn.Module):
    """The captioner in training: beside it, two heads that name object and style and are thrown away afterwards.

    A vision transformer learns to tell objects apart far sooner from their names than through a decoder's sentences.
    """

    def __init__(self, tokenizer: BertTokenizer, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.blip = new_captioner(tokenizer)
        self.kind = nn.Linear(VISION_WIDTH, len(Kind))
        self.style = nn.Linear(VISION_WIDTH, len(Style))


def new_captioner(tokenizer: BertTokenizer) -> BlipForConditionalGeneration:
    """Return an untrained BLIP of 2 million parameters for pictures of 64 px."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": _TEXT_WIDTH,
        "intermediate_size": 2 * _TEXT_WIDTH,
        "projection_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 2 * VISION_WIDTH,
        "projection_dim": 64,
        "num_hidden_layers": 5,
        "num_attention_heads": 6,
        "image_size": IMAGE_PX,
        "patch_size": _PATCH_PX,
        "initializer_range": 0.02,
    }
    return BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=vision, projection_dim=64, image_text_hidden_size=64)
    )


def new_image_processor() -> BlipImageProcessorPil:
    """Return the preparation of pictures, as the model folder will describe it."""
    return BlipImageProcessorPil(
        size={"height": IMAGE_PX, "width": IMAGE_PX}, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]
    )


def train_captioner(recipe: CaptionerRecipe, work: Path) -> BlipForConditionalGeneration:
    """Train lesson by lesson in `recipe.workers` processes; each begins with the averaged model of the one before.

    A finished lesson stays in `work`, from where the next call with the same recipe goes on.
    """
    elements = 3 * sum(weight.numel() for weight in Pupil(new_bert_tokenizer(), recipe.seed).parameters())
    before: Path | None = None
    for number in range(len(recipe.lessons)):
        folder = work / f"lesson-{number}"
        if not folder.exists():
            with team(recipe.workers, elements, partial(_work, recipe, number, before)) as place:
                learned = _work(recipe, number, before, place)
            if before is not None:
                learned = blended(_load(before), learned, recipe.lessons[number].kept)
            write_captioner(folder, learned)
        before = folder
    return _load(before) if before else new_captioner(new_bert_tokenizer())


def blended(
    before: BlipForConditionalGeneration, after: BlipForConditionalGeneration, kept: float
) -> BlipForConditionalGeneration:
    """Return the model whose weights lie between two, at the share `kept` of the way from the first to the second."""
    _follow(before, after, 1.0 - kept)
    return before


def write_captioner(folder: Path, model: BlipForConditionalGeneration) -> None:
    """Write the model in half precision with its processor; `folder` is replaced as a whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (folder.with_name(f"{folder.name}.{state}") for state in ("fresh", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    copy.deepcopy(model).half().save_pretrained(fresh)
    BlipProcessor(new_image_processor(), new_bert_tokenizer()).save_pretrained(fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def pixels_of(colours: list[Colour]) -> torch.Tensor:
    """Turn RGB pictures (H, W, 3) uint8 into the model's input: (N, 3, 64, 64) float32 from -1 to 1."""
    size = (IMAGE_PX, IMAGE_PX)
    small = np.stack([cv2.resize(colour, size, interpolation=cv2.INTER_AREA) for colour in colours])
    return torch.from_numpy(small).permute(0, 3, 1, 2).to(torch.float32).div(127.5).sub(1.0).contiguous()


def _load(folder: Path) -> BlipForConditionalGeneration:
    return BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def _work(recipe: CaptionerRecipe, number: int, before: Path | None, place: Team) -> BlipForConditionalGeneration:
    lesson = recipe.lessons[number]
    cv2.setNumThreads(1)
    if place.size > 1:
        torch.set_num_threads(1)  # the workers share the cores
    tokenizer = new_bert_tokenizer()
    pictures = draw_pictures(recipe.pictures_per_pair, FIRST_TRAINING_SEED + place.rank * _SEEDS_PER_WORKER)
    pupil = Pupil(tokenizer, recipe.seed).train()
    if before is not None:
        pupil.blip.load_state_dict(_load(before).state_dict())
    average: BlipForConditionalGeneration = copy.deepcopy(pupil.blip).eval()
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=lesson.rate, weight_decay=recipe.weight_decay)
    place.meet()
    began = time.monotonic()
    for step, batch in enumerate(_batches(recipe, number, pictures, tokenizer, place)):
        optimiser.param_groups[0]["lr"] = lesson.rate * warm_cosine(step, lesson.steps, lesson.warm_steps)
        loss = _loss(pupil, batch, lesson.naming_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % recipe.meet_every_steps == 0:
            place.average(_learned(pupil, optimiser))
            decay = min(recipe.average_decay, (1 + step) / (10 + step)) ** recipe.meet_every_steps
            _follow(average, pupil.blip, decay)
        if place.rank == 0 and (step + 1) % recipe.tell_every_steps == 0:
            seconds = time.monotonic() - began
            _log.info("captioner lesson %d step %d: loss %.4f, %.0f s", number, step + 1, loss.item(), seconds)
    return average


@dataclass(frozen=True, slots=True)
class _Batch:
    pixels: torch.Tensor
    tokens: torch.Tensor
    targets: torch.Tensor
    kinds: torch.Tensor
    styles: torch.Tensor


def _batches(
    recipe: CaptionerRecipe, number: int, pictures: Pictures, tokenizer: BertTokenizer, place: Team
) -> Iterator[_Batch]:
    kinds, styles = list(Kind), list(Style)
    lesson = recipe.lessons[number]
    for step in range(lesson.steps):
        rng = np.random.default_rng([recipe.seed, step, place.rank, number])
        chosen = rng.integers(0, len(pictures), recipe.batch)
        unknown = rng.random(recipe.batch) < lesson.unknown_share
        colours, texts = [], []
        for index, is_unknown in zip(chosen, unknown, strict=True):
            if is_unknown:
                colours.append(no_drawing(rng, lesson.weather))
                texts.append(UNKNOWN_PICTURE)
            else:
                colours.append(weathered(pictures.pixels[index], rng, lesson.weather))
                texts.append(any_sentence(kinds[pictures.kinds[index]], styles[pictures.styles[index]], rng))
        read = tokenizer(
            texts, padding="max_length", max_length=_TOKENS_PER_CAPTION, truncation=True, return_tensors="pt"
        )
        tokens = read.input_ids
        tokens[:, 0] = tokenizer.bos_token_id
        yield _Batch(
            pixels_of(colours),
            tokens,
            tokens.masked_fill(tokens == tokenizer.pad_token_id, _NO_TARGET),
            torch.from_numpy(np.where(unknown, _NO_TARGET, pictures.kinds[chosen])),
            torch.from_numpy(np.where(unknown, _NO_TARGET, pictures.styles[chosen])),
        )


def _loss(pupil: Pupil, batch: _Batch, naming_weight: float) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = pupil.blip(pixel_values=batch.pixels, input_ids=batch.tokens, labels=batch.targets)
        seen = answer.last_hidden_state[:, 0]
        by_kind, by_style = pupil.kind(seen), pupil.style(seen)
    naming = functional.cross_entropy(by_kind.float(), batch.kinds, ignore_index=_NO_TARGET) + functional.cross_entropy(
        by_style.float(), batch.styles, ignore_index=_NO_TARGET
    )
    loss: torch.Tensor = answer.loss.float() + naming_weight * naming
    return loss


def _learned(pupil: Pupil, optimiser: torch.optim.AdamW) -> list[torch.Tensor]:
    """Return all that training changes: the weights, then Adam's moments."""
    weights = list(pupil.parameters())
    moments = [
        optimiser.state[weight].get(name, torch.zeros_like(weight))
        for name in ("exp_avg", "exp_avg_sq")
        for weight in weights
    ]
    return [*weights, *moments]


def _follow(average: BlipForConditionalGeneration, model: BlipForConditionalGeneration, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1.0 - decay)
