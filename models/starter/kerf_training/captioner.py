"""The starter captioner: a small BLIP (Li et al., 2022) trained on the drawn world, from nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import BertTokenizer, BlipForConditionalGeneration, BlipProcessor

from kerf_starter.captioner import VISION_WIDTH, new_captioner, new_image_processor, pixels_of
from kerf_starter.sentences import UNKNOWN_PICTURE
from kerf_starter.workers import Team
from kerf_world.distortions import distorted
from kerf_world.scenes import Scene, Style
from kerf_world.weathering import MILD, ROUGH, Colour, no_drawing, weathered

from .bundle import replaced
from .course import Course, take
from .pictures import Pixels, opened
from .sentences import any_sentence, new_bert_tokenizer
from .syllabus import TAUGHT_SUBJECTS

_TOKENS_PER_CAPTION = 20
_NO_TARGET = -100
_UNKNOWN_SHARE = 0.06
_ROUGH_SHARE = 0.5
"""Of the pictures at the end; a training that begins with rough pictures takes several times as long."""
_ROUGH_FROM, _ROUGH_UNTIL = 0.15, 0.7
_NAMING_WEIGHT = 0.7
"""How much naming the subject and style from the picture alone counts beside the caption."""


class Pupil(nn.Module):
    """The captioner in training: beside it, two heads that name subject and style and are thrown away afterwards.

    A vision transformer learns to tell objects apart far sooner from their names than through a decoder's sentences.
    """

    def __init__(self, tokenizer: BertTokenizer, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.blip = new_captioner(tokenizer)
        self.subject = nn.Linear(VISION_WIDTH, len(TAUGHT_SUBJECTS))
        self.style = nn.Linear(VISION_WIDTH, len(Style))


@dataclass(frozen=True)
class _Naming:
    """The lesson: pictures, worn more and more as it goes on, and their captions."""

    pictures: Path
    scenes: Sequence[Scene]
    course: Course
    seed: int

    @cached_property
    def pixels(self) -> Pixels:
        return opened(self.pictures)

    @cached_property
    def tokenizer(self) -> BertTokenizer:
        return new_bert_tokenizer()

    @cached_property
    def targets(self) -> torch.Tensor:
        """Subject and style of each scene as indices, (N, 2); pairs have no one subject."""
        places = {subject: index for index, subject in enumerate(TAUGHT_SUBJECTS)}
        styles = list(Style)
        return torch.tensor(
            [
                (
                    places[scene.subjects[0]] if len(scene.subjects) == 1 else _NO_TARGET,
                    styles.index(scene.style),
                )
                for scene in self.scenes
            ]
        )

    def new_model(self) -> Pupil:
        cv2.setNumThreads(1)
        return Pupil(self.tokenizer, self.seed).train()

    def loss(self, model: Pupil, step: int, place: Team) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, step, place.rank])
        torch.manual_seed((self.seed + step) * place.size + place.rank)
        progress = (step / self.course.steps - _ROUGH_FROM) / (_ROUGH_UNTIL - _ROUGH_FROM)
        rough = _ROUGH_SHARE * min(1.0, max(0.0, progress))
        chosen = rng.integers(0, len(self.scenes), self.course.share(place))
        unknown = rng.random(len(chosen)) < _UNKNOWN_SHARE
        colours = [
            no_drawing(rng) if nothing else worn(self.pixels[index], rng, rough)
            for index, nothing in zip(chosen, unknown, strict=True)
        ]
        texts = [
            UNKNOWN_PICTURE if nothing else any_sentence(self.scenes[index], rng)
            for index, nothing in zip(chosen, unknown, strict=True)
        ]
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=_TOKENS_PER_CAPTION, truncation=True, return_tensors="pt"
        ).input_ids
        tokens[:, 0] = self.tokenizer.bos_token_id
        targets = self.targets[torch.from_numpy(chosen)].clone()
        targets[torch.from_numpy(unknown)] = _NO_TARGET
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer = model.blip(
                pixel_values=pixels_of(colours),
                input_ids=tokens,
                labels=tokens.masked_fill(tokens == self.tokenizer.pad_token_id, _NO_TARGET),
            )
            seen = answer.last_hidden_state[:, 0]
            by_subject, by_style = model.subject(seen), model.style(seen)
        naming = functional.cross_entropy(
            by_subject.float(), targets[:, 0], ignore_index=_NO_TARGET
        ) + functional.cross_entropy(by_style.float(), targets[:, 1], ignore_index=_NO_TARGET)
        loss: torch.Tensor = answer.loss.float() + _NAMING_WEIGHT * naming
        return loss


def worn(picture: Pixels, rng: np.random.Generator, rough_share: float) -> Colour:
    """Return the picture as people send it, (128, 128, 3) uint8 RGB: mildly worn, or roughly at this share."""
    if rng.random() >= rough_share:
        return weathered(picture, rng, MILD)
    return weathered(picture, rng, ROUGH) if rng.random() < 0.5 else distorted(picture, rng)


def train_captioner(
    pictures: Path, scenes: Sequence[Scene], course: Course, seed: int, checkpoint: Path
) -> BlipForConditionalGeneration:
    """Train on the file of pictures, or go on from the file `checkpoint`."""
    pupil = take(course, _Naming(pictures, scenes, course, seed), checkpoint)
    pupil.eval()
    return pupil.blip


def write_captioner(folder: Path, model: BlipForConditionalGeneration) -> None:
    """Write the model in half precision with its processor."""
    with replaced(folder) as fresh:
        copy.deepcopy(model).half().save_pretrained(fresh)
        BlipProcessor(new_image_processor(), new_bert_tokenizer()).save_pretrained(fresh)
