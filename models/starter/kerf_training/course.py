"""One training loop for every part: several processes, an averaged model, and a state from where it goes on."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kerf_starter.schedule import warm_cosine
from kerf_starter.workers import Team, team

_log = logging.getLogger(__name__)
_TELL_EVERY_STEPS = 40

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Course:
    """How long one part trains, and how. Steps are optimiser steps of each worker.

    `steps` is a multiple of `save_every_steps`, and that of `meet_every_steps`.
    """

    name: str
    steps: int
    batch: int
    """Pictures of one step, of all workers together."""
    rate: float
    warm_steps: int = 100
    weight_decay: float = 1e-3
    average_decay: float = 0.999
    workers: int = 2
    meet_every_steps: int = 8
    save_every_steps: int = 200

    def share(self, place: Team) -> int:
        """Pictures of one step that fall to one worker."""
        return max(1, self.batch // place.size)


class Lesson(Protocol[Model]):
    """What a part learns. It is sent to other processes, so it must be picklable."""

    def new_model(self) -> Model:
        """Return the untrained model; all processes must get the same weights."""
        ...

    def loss(self, model: Model, step: int, place: Team) -> torch.Tensor:
        """Return the loss of one step; its random choices depend on the step and the worker's rank alone."""
        ...


def take(
    course: Course, lesson: Lesson[Model], checkpoint: Path, on_saved: Callable[[Model], None] | None = None
) -> Model:
    """Train in `course.workers` processes; returns the averaged model (Polyak and Juditsky, 1992).

    Every `course.save_every_steps` steps the state goes to the file `checkpoint`, from where the next call goes on, and
    the averaged model to `on_saved`. An interrupted training makes the same choices as an undisturbed one.
    """
    work = partial(_work, course, lesson, checkpoint, None)
    # Weights and Adam's two moments.
    elements = 3 * sum(weight.numel() for weight in _learning(lesson.new_model()))
    with team(course.workers, elements, work) as place:
        return _work(course, lesson, checkpoint, on_saved, place)


def _work(
    course: Course, lesson: Lesson[Model], checkpoint: Path, on_saved: Callable[[Model], None] | None, place: Team
) -> Model:
    model = lesson.new_model()
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(_learning(model), lr=course.rate, weight_decay=course.weight_decay, fused=True)
    first_step = _resume(course, checkpoint, model, average, optimiser)
    place.meet()
    for step in range(first_step, course.steps):
        optimiser.param_groups[0]["lr"] = course.rate * warm_cosine(step, course.steps, course.warm_steps)
        # On the CPU, plain matrix products take half the time of the fused attention's way back.
        with sdpa_kernel(SDPBackend.MATH):
            loss = lesson.loss(model, step, place)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(_learning(model), 1.0)
        optimiser.step()
        if (step + 1) % course.meet_every_steps == 0:
            place.average(_learned(model, optimiser))
            _follow(average, model, min(course.average_decay, (1 + step) / (10 + step)) ** course.meet_every_steps)
        if place.rank == 0 and (step + 1) % _TELL_EVERY_STEPS == 0:
            _log.info("%s step %d of %d: loss %.4f", course.name, step + 1, course.steps, loss.item())
        if place.rank == 0 and (step + 1) % course.save_every_steps == 0:
            _save(checkpoint, step + 1, model, average, optimiser)
            if on_saved is not None:
                on_saved(average)
    return average.eval()


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _learned(model: nn.Module, optimiser: torch.optim.AdamW) -> list[torch.Tensor]:
    """Return all that training changes: the weights, then Adam's moments."""
    weights = _learning(model)
    moments = [optimiser.state[weight][name] for name in ("exp_avg", "exp_avg_sq") for weight in weights]
    return [*weights, *moments]


def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(_learning(average), _learning(model), strict=True):
            kept.lerp_(new, 1.0 - decay)


def _save(path: Path, step: int, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _resume(course: Course, path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    _log.info("%s: goes on after step %d of an earlier training", course.name, state["step"])
    return int(state["step"])
