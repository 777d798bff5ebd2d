"""Teaches the text encoder what its words stand for, before the denoiser hears of them.

A denoiser that has to learn words and shapes at once draws styles soon, but one and the same shape for every object for
tens of thousands of pictures: each synonym in each phrase looks like another thing to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from kerf_starter.tokenizer import TOKENS_PER_PROMPT
from kerf_starter.workers import Team
from kerf_world.scenes import Arrangement, Border, Scene, Style

from .course import Course, take
from .prompts import prompt
from .syllabus import TAUGHT_SUBJECTS

TEXT_WIDTH = 128


def new_text_encoder(tokenizer: CLIPTokenizer, seed: int) -> CLIPTextModel:
    """Return an untrained text encoder of 2 layers."""
    torch.manual_seed(seed)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS_PER_PROMPT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class _Reader(nn.Module):
    """The text encoder, and heads on the mean of its states that are thrown away."""

    def __init__(self, tokenizer: CLIPTokenizer, seed: int) -> None:
        super().__init__()
        self.text_encoder = new_text_encoder(tokenizer, seed)
        self.subjects = nn.Linear(TEXT_WIDTH, len(TAUGHT_SUBJECTS))
        self.styles = nn.Linear(TEXT_WIDTH, len(Style) + 1)
        self.arrangements = nn.Linear(TEXT_WIDTH, len(Arrangement))
        self.borders = nn.Linear(TEXT_WIDTH, len(Border))


@dataclass(frozen=True)
class _Naming:
    """The lesson: prompts, and what they ask for."""

    scenes: Sequence[Scene]
    tokenizer: CLIPTokenizer
    course: Course
    seed: int

    @cached_property
    def answers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Subjects as (N, subjects) of 0 and 1; style (faceted apart), arrangement and border as indices, (N, 3)."""
        places = {subject: index for index, subject in enumerate(TAUGHT_SUBJECTS)}
        shown = torch.zeros(len(self.scenes), len(TAUGHT_SUBJECTS))
        for row, scene in enumerate(self.scenes):
            shown[row, [places[subject] for subject in scene.subjects]] = 1.0
        styles, arrangements, borders = list(Style), list(Arrangement), list(Border)
        rest = [
            (
                len(styles) if scene.faceted else styles.index(scene.style),
                arrangements.index(scene.arrangement),
                borders.index(scene.border),
            )
            for scene in self.scenes
        ]
        return shown, torch.tensor(rest)

    def new_model(self) -> _Reader:
        return _Reader(self.tokenizer, self.seed)

    def loss(self, model: _Reader, step: int, place: Team) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, step, place.rank])
        chosen = rng.integers(0, len(self.scenes), self.course.share(place))
        texts = [prompt(self.scenes[index], rng) for index in chosen]
        read = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = model.text_encoder(read.input_ids).last_hidden_state
        pooled = states.float().mean(dim=1)
        shown, rest = (answers[torch.from_numpy(chosen)] for answers in self.answers)
        # Nearly all of the subjects are not there: their mean would be learned by saying no to all.
        loss = (
            functional.binary_cross_entropy_with_logits(model.subjects(pooled), shown, reduction="none").sum(1).mean()
        )
        for head, answers in zip((model.styles, model.arrangements, model.borders), rest.T, strict=True):
            loss = loss + functional.cross_entropy(head(pooled), answers)
        return loss


def train_text_encoder(
    scenes: Sequence[Scene], tokenizer: CLIPTokenizer, course: Course, seed: int, checkpoint: Path
) -> CLIPTextModel:
    """Train, or go on from the file `checkpoint`."""
    return take(course, _Naming(scenes, tokenizer, course, seed), checkpoint).text_encoder
