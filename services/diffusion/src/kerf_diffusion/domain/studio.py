"""The work on one request, the same behind both doors: job stages and direct calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kerf_core.errors import FailedPrecondition
from kerf_diffusion.domain.engine import (
    ModelFacts,
    ModelShelf,
    Picture,
    PictureModel,
    PictureOrder,
    StepWatch,
    UsedLora,
)
from kerf_diffusion.domain.requests import Limits, PictureRequest, check_request, check_size

_QUOTED_CHARS = 80
_TELL_EVERY_S = 5.0


class Listener(Protocol):
    """Hears how the work goes on, in the thread that computes. Must be quick."""

    def progress(self, step: int, total: int, eta_seconds: float, message: str) -> None:
        """Step `step` of `total` over all pictures is done; `eta_seconds` negative = not known yet."""
        ...

    def preview(self, image: int, step: int, png: bytes) -> None:
        """How picture `image` looks after its step `step`; PNG, at most 64 KiB."""
        ...

    def picture(self, image: int, picture: Picture) -> None:
        """Picture `image` is finished."""
        ...


@dataclass(frozen=True)
class Drawing:
    """What is known when all pictures are drawn."""

    model: ModelFacts
    loras: list[UsedLora]
    seeds: list[int]
    numeric_class: str
    versions: dict[str, str]
    unknown_words: list[str]
    warnings: list[str]
    device_seconds: float


@dataclass
class _Run:
    """Where the work on one request stands."""

    images: int
    steps: int
    preview_every_steps: int
    listener: Listener
    check: Callable[[], None]
    started: float = field(default_factory=time.monotonic)

    def watch(self, image: int) -> StepWatch:
        """The step watch of picture `image`."""

        def after_step(step: int, total: int, preview: Callable[[], bytes]) -> None:
            self.check()
            # Some samplers take a step more than was asked for; the caller sees the number that he asked for.
            shown = min(self.steps, -(-step * self.steps // total))
            done = image * self.steps + shown
            remaining = (time.monotonic() - self.started) / done * (self.images * self.steps - done)
            self.listener.progress(done, self.images * self.steps, remaining, f"picture {image + 1} of {self.images}")
            if self.preview_every_steps and step % self.preview_every_steps == 0 and step < total:
                self.listener.preview(image, shown, preview())

        return after_step


class Studio:
    """Draws the pictures of requests, one after the other, so that none depends on its neighbours."""

    def __init__(self, shelf: ModelShelf, limits: Limits, preview_every_steps: int = 5) -> None:
        self.shelf = shelf
        self._limits = limits
        self._preview_every_steps = preview_every_steps

    def admit(self, request: PictureRequest) -> None:
        """Refuse what cannot work, before it waits for a slot. Cheap, but may hash a new LoRA file.

        Raises InvalidArgument with every violated field, FailedPrecondition MODEL_NOT_INSTALLED or LORA_NOT_INSTALLED.
        """
        check_request(request, self._limits)
        self._model_name(request)
        for lora in request.loras:
            self.shelf.find_lora(lora.name)

    def draw(self, request: PictureRequest, listener: Listener, check: Callable[[], None]) -> Drawing:
        """Draw the request's pictures; blocks, for a worker thread.

        `check` is called at least once per denoising step and while a model loads or is waited for; it raises
        WorkCancelled to stop, and nothing is drawn or told after that. Raises as `admit`, and what the engine raises.
        """
        self.admit(request)
        loading = _loading(request.images * request.steps, listener, check)
        model = self.shelf.open(self._model_name(request), loading)
        orders = self.plan(request, model)
        loras = [self.shelf.find_lora(lora.name) for lora in request.loras if lora.weight != 0]
        lora_warnings = model.lora_warnings(request.loras, loading)
        run = _Run(len(orders), orders[0].steps, self._previews(request), listener, check)
        for image, order in enumerate(orders):
            check()
            picture = model.draw(order, check, run.watch(image))
            check()
            listener.picture(image, picture)
        unknown = model.unknown_words(request.prompt)
        return Drawing(
            model=model.facts,
            loras=loras,
            seeds=[order.seed for order in orders],
            numeric_class=self.shelf.numeric_class,
            versions=self.shelf.versions,
            unknown_words=unknown,
            warnings=[*_word_warnings(model, request, unknown), *lora_warnings],
            device_seconds=time.monotonic() - run.started,
        )

    def plan(self, request: PictureRequest, model: PictureModel) -> list[PictureOrder]:
        """One order per picture, with the model's defaults filled in; picture i has seed + i.

        Raises InvalidArgument if the resulting size is not one that the model can draw.
        """
        facts = model.facts
        width_px = request.width_px or facts.native_size_px
        height_px = request.height_px or facts.native_size_px
        check_size(width_px, height_px, facts.size_multiple_px, self._limits)
        return [
            PictureOrder(
                prompt=request.prompt,
                negative_prompt=request.negative_prompt,
                width_px=width_px,
                height_px=height_px,
                steps=request.steps or facts.default_steps,
                guidance=facts.default_guidance if request.guidance is None else request.guidance,
                scheduler=request.scheduler,
                seed=request.seed + image,
                loras=request.loras,
            )
            for image in range(request.images)
        ]

    def _previews(self, request: PictureRequest) -> int:
        return request.preview_every_steps or self._preview_every_steps

    def _model_name(self, request: PictureRequest) -> str:
        name = request.model or self.shelf.default_model
        if name not in self.shelf.names():
            known = ", ".join(self.shelf.names())
            raise FailedPrecondition(
                "MODEL_NOT_INSTALLED", f"model {name!r} is not installed; installed: {known or 'none'}"
            )
        return name


def _loading(total: int, listener: Listener, check: Callable[[], None]) -> Callable[[], None]:
    """A check that also tells, now and then, that the work goes on: a large model loads for minutes."""
    told = time.monotonic()
    listener.progress(0, total, -1.0, "loading the model")

    def check_and_tell() -> None:
        nonlocal told
        check()
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            listener.progress(0, total, -1.0, "loading the model")

    return check_and_tell


def _word_warnings(model: PictureModel, request: PictureRequest, unknown: list[str]) -> list[str]:
    warnings = []
    if unknown:
        warnings.append(f"the model {model.facts.name} does not know these words: {', '.join(unknown)}")
    for field_name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        unread = model.unread_text(text)
        if unread:
            shown = unread if len(unread) <= _QUOTED_CHARS else f"{unread[:_QUOTED_CHARS]} …"
            warnings.append(f"the {field_name} is longer than the model reads; it does not read: {shown!r}")
    return warnings
