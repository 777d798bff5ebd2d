"""A request for pictures, and the rules that it must keep before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from kerf_core.errors import InvalidArgument, Violation

SEED_RANGE = 1 << 32
"""Seeds of requests are 0 to this minus 1; picture i uses seed + i."""
MAX_GUIDANCE = 30.0
MAX_LORA_WEIGHT = 4.0


class Scheduler(StrEnum):
    """The samplers; the same words as `kerf_sd.schedulers.SchedulerKind`."""

    MODEL_DEFAULT = "model-default"
    DDIM = "ddim"
    DPMPP_2M = "dpmpp-2m"
    DPMPP_2M_KARRAS = "dpmpp-2m-karras"
    EULER = "euler"
    EULER_ANCESTRAL = "euler-ancestral"
    UNIPC = "unipc"


@dataclass(frozen=True)
class LoraWeight:
    """An installed LoRA and how much of it (-4 to 4; 1 = as trained)."""

    name: str
    weight: float


@dataclass(frozen=True)
class PictureRequest:
    """What to draw. 0, an empty text or None stand for the model's or the worker's default."""

    prompt: str
    seed: int
    negative_prompt: str = ""
    model: str = ""
    width_px: int = 0
    height_px: int = 0
    steps: int = 0
    guidance: float | None = None
    scheduler: Scheduler = Scheduler.MODEL_DEFAULT
    images: int = 1
    loras: tuple[LoraWeight, ...] = ()
    preview_every_steps: int = 0


@dataclass(frozen=True)
class Limits:
    """How much one request may ask of this worker."""

    max_prompt_chars: int = 2000
    min_side_px: int = 64
    max_side_px: int = 2048
    max_pixels: int = 1536 * 1536
    max_images: int = 16
    max_steps: int = 150
    max_loras: int = 8


def check_request(request: PictureRequest, limits: Limits) -> None:
    """Check everything that does not depend on the model.

    Raises InvalidArgument with every violation, by the field names of `GenerateRequest`.
    """
    violations = (
        *_text_violations(request, limits),
        *_size_violations(request.width_px, request.height_px, 8, limits),
        *_number_violations(request, limits),
        *_lora_violations(request, limits),
    )
    raise_violations(violations)


def check_size(width_px: int, height_px: int, multiple_px: int, limits: Limits) -> None:
    """Check the size that results with the model's defaults. Raises InvalidArgument."""
    raise_violations(tuple(_size_violations(width_px, height_px, multiple_px, limits)))


def raise_violations(violations: tuple[Violation, ...]) -> None:
    """Raise InvalidArgument INVALID_REQUEST that names all violations; nothing if there are none."""
    if violations:
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise InvalidArgument("INVALID_REQUEST", text, violations=violations)


def _text_violations(request: PictureRequest, limits: Limits) -> Iterator[Violation]:
    if not request.prompt.strip():
        yield Violation("prompt", "is empty; say what to draw")
    for field, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if len(text) > limits.max_prompt_chars:
            yield Violation(field, f"has {len(text)} characters, at most {limits.max_prompt_chars} are allowed")
        if "\0" in text:
            yield Violation(field, "holds a NUL character")


def _size_violations(width_px: int, height_px: int, multiple_px: int, limits: Limits) -> Iterator[Violation]:
    for field, side_px in (("width_px", width_px), ("height_px", height_px)):
        if side_px == 0:
            continue
        if side_px % multiple_px:
            yield Violation(field, f"is {side_px}, which is no multiple of {multiple_px}")
        if not limits.min_side_px <= side_px <= limits.max_side_px:
            yield Violation(field, f"is {side_px}; {limits.min_side_px} to {limits.max_side_px} are allowed")
    if width_px * height_px > limits.max_pixels:
        yield Violation("width_px", f"{width_px} x {height_px} are more than {limits.max_pixels} pixels")


def _number_violations(request: PictureRequest, limits: Limits) -> Iterator[Violation]:
    if not 0 <= request.steps <= limits.max_steps:
        yield Violation("steps", f"is {request.steps}; 0 (the model's default) to {limits.max_steps} are allowed")
    if not 1 <= request.images <= limits.max_images:
        yield Violation("images", f"is {request.images}; 1 to {limits.max_images} are allowed")
    if not 0 <= request.seed < SEED_RANGE:
        yield Violation("seed", f"is {request.seed}; 0 to {SEED_RANGE - 1} are allowed")
    if request.preview_every_steps < 0:
        yield Violation("preview_every_steps", "is negative")
    guidance = request.guidance
    if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:  # also refuses NaN
        yield Violation("guidance", f"is {guidance}; 0 to {MAX_GUIDANCE:g} are allowed")


def _lora_violations(request: PictureRequest, limits: Limits) -> Iterator[Violation]:
    if len(request.loras) > limits.max_loras:
        yield Violation("loras", f"has {len(request.loras)} entries, at most {limits.max_loras} are allowed")
    for index, lora in enumerate(request.loras):
        if not lora.name:
            yield Violation(f"loras[{index}].name", "is empty")
        if not (math.isfinite(lora.weight) and abs(lora.weight) <= MAX_LORA_WEIGHT):
            limit = f"{MAX_LORA_WEIGHT:g}"
            yield Violation(f"loras[{index}].weight", f"is {lora.weight}; -{limit} to {limit} are allowed")
