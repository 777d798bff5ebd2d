"""Trains the judge: draws its lessons once, then learns from them, each time disturbed in another way."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from kerf_starter.workers import Team
from kerf_training.course import Course, take
from kerf_world.dialect import JUDGE

from .disturbance import disturbed
from .judge import STYLE_WEIGHTS, SUBJECT_WEIGHTS
from .lessons import NO_STYLE, Lessons, pose_lessons, world_lessons
from .network import JudgeNetwork, TextureNetwork
from .normalising import normalised, reduced

Network = TypeVar("Network", bound=nn.Module)

_log = logging.getLogger(__name__)
_CHUNK = 2000
_SMOOTHED = 0.05
_STYLE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Recipe:
    """All choices of one training of the judge."""

    lessons: int = 16_000
    pose_lessons: int = 6_000
    course: Course = field(
        default=Course(
            "judge",
            steps=2000,
            batch=64,
            rate=2e-3,
            warm_steps=100,
            weight_decay=0.03,
            average_decay=0.996,
            workers=1,
        )
    )
    textures: Course = field(
        default=Course(
            "textures",
            steps=600,
            batch=48,
            rate=4e-3,
            warm_steps=20,
            weight_decay=0.01,
            average_decay=0.98,
            workers=1,
            meet_every_steps=4,
            save_every_steps=100,
        )
    )
    settling_steps: int = 60
    """Batches from which the averaged network's statistics are taken."""
    seed: int = 20261122

    @classmethod
    def quick(cls) -> Recipe:
        """Return a recipe that only shows that every part runs."""
        usual = cls()

        def short(course: Course) -> Course:
            return replace(course, steps=2, batch=4, meet_every_steps=1, save_every_steps=1)

        course, textures = short(usual.course), short(usual.textures)
        return cls(lessons=8, pose_lessons=4, course=course, textures=textures, settling_steps=1)


class _OnDrawings(ABC, Generic[Network]):
    """A lesson of `kerf_training.course` on disturbed drawings."""

    def __init__(self, lessons: Lessons, course: Course, recipe: Recipe) -> None:
        self._lessons = lessons
        self._course = course
        self._recipe = recipe

    @abstractmethod
    def new_model(self) -> Network:
        """Return the untrained network."""

    def settled(self, average: Network) -> Network:
        """Return a copy with statistics taken anew: they are not averaged with the weights."""
        model = self.new_model()
        model.load_state_dict(average.state_dict())
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.reset_running_stats()
                part.momentum = None
        place = Team(0, 1, torch.empty(0), None)
        with torch.no_grad():
            for step in range(self._recipe.settling_steps):
                model(self._batch(self._course.steps + step, place)[0])
        return model.eval()

    def _batch(self, step: int, place: Team) -> tuple[torch.Tensor, NDArray[np.int64], NDArray[np.bool_]]:
        rng = np.random.default_rng([self._recipe.seed, step, place.rank])
        chosen = rng.integers(0, len(self._lessons.subjects), self._course.share(place))
        ink, styled = disturbed(self._lessons.pixels[chosen], rng)
        return ink, chosen, styled

    def _by_style(self, scores: torch.Tensor, chosen: NDArray[np.int64], styled: NDArray[np.bool_]) -> torch.Tensor:
        styles = torch.from_numpy(np.where(styled, self._lessons.styles[chosen], NO_STYLE))
        total = functional.cross_entropy(scores.float(), styles, ignore_index=NO_STYLE, reduction="sum")
        return total / len(chosen)


class Judging(_OnDrawings[JudgeNetwork]):
    """Name the subject; the style is learned along."""

    def new_model(self) -> JudgeNetwork:
        """Return the untrained network."""
        torch.manual_seed(self._recipe.seed)
        return JudgeNetwork().train()

    def loss(self, model: JudgeNetwork, step: int, place: Team) -> torch.Tensor:
        """Return the loss of one step."""
        ink, chosen, styled = self._batch(step, place)
        # What is dropped must not depend on whether the training was interrupted.
        torch.manual_seed(self._recipe.seed + step)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(ink)
        subjects = torch.from_numpy(self._lessons.subjects[chosen])
        by_subject = functional.cross_entropy(scores.subjects.float(), subjects, label_smoothing=_SMOOTHED)
        return by_subject + _STYLE_WEIGHT * self._by_style(scores.styles, chosen, styled)


class Texturing(_OnDrawings[TextureNetwork]):
    """Name the style."""

    def new_model(self) -> TextureNetwork:
        """Return the untrained network."""
        torch.manual_seed(self._recipe.seed)
        return TextureNetwork().train()

    def loss(self, model: TextureNetwork, step: int, place: Team) -> torch.Tensor:
        """Return the loss of one step."""
        ink, chosen, styled = self._batch(step, place)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(ink)
        return self._by_style(scores, chosen, styled)


def train_judge(recipe: Recipe, work: Path, output: Path) -> None:
    """Train into the folder `output`; what is not finished stays in `work`, from where the next call goes on."""
    lessons = drawn_lessons(recipe, work)
    texturing = Texturing(in_styles(lessons), recipe.textures, recipe)
    write(texturing.settled(take(recipe.textures, texturing, work / "textures.pt")), output / STYLE_WEIGHTS)
    small = Lessons(reduced(lessons.pixels), lessons.subjects, lessons.styles)
    judging = Judging(small, recipe.course, recipe)
    write(judging.settled(take(recipe.course, judging, work / "judge.pt")), output / SUBJECT_WEIGHTS)
    _log.info("wrote %s", output)


def in_styles(lessons: Lessons) -> Lessons:
    """Return those lessons that show a style."""
    styled = np.flatnonzero(lessons.styles != NO_STYLE)
    return Lessons(lessons.pixels[styled], lessons.subjects[styled], lessons.styles[styled])


def write(model: nn.Module, path: Path) -> None:
    """Write a network in half precision."""
    tensors = {
        name: weight.half().contiguous() if weight.is_floating_point() else weight
        for name, weight in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    save_file(tensors, unfinished)
    unfinished.chmod(0o644)
    unfinished.replace(path)


def drawn_lessons(recipe: Recipe, work: Path) -> Lessons:
    """Draw what is missing of the lessons, some thousand in a file."""
    cv2.setNumThreads(1)
    work.mkdir(parents=True, exist_ok=True)
    chunks = []
    for name, total, draw in (("lessons", recipe.lessons, world_lessons), ("poses", recipe.pose_lessons, pose_lessons)):
        for first in range(0, total, _CHUNK):
            count = min(_CHUNK, total - first)
            path = work / f"{name}-{first}-{count}.npz"
            if not path.exists():
                drawn = draw(count, np.random.default_rng([recipe.seed, first]), JUDGE)
                unfinished = work / "unfinished.npz"
                np.savez(unfinished, pixels=normalised(drawn.pixels), subjects=drawn.subjects, styles=drawn.styles)
                unfinished.replace(path)
                _log.info("drew %d %s of %d", first + count, name, total)
            with np.load(path) as kept:
                chunks.append(Lessons(kept["pixels"], kept["subjects"], kept["styles"]))
    return Lessons(
        np.concatenate([chunk.pixels for chunk in chunks]),
        np.concatenate([chunk.subjects for chunk in chunks]),
        np.concatenate([chunk.styles for chunk in chunks]),
    )
