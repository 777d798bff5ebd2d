"""The values of a training, and what a request may change of a preset's."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum

from kerf_core.errors import InvalidArgument


class Schedule(StrEnum):
    """How the learning rate goes over the steps, after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"


class Precision(StrEnum):
    """Number format of the computation. Weights are float32 in all of them."""

    AUTO = "auto"
    """As the worker's settings have it."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class Parameters:
    """Everything that a training leaves to choice."""

    rank: int
    alpha: float | None = None
    """The update's scale is alpha / rank; None = the rank."""
    dropout: float = 0.0
    learning_rate: float = 1e-4
    schedule: Schedule = Schedule.COSINE
    warmup_steps: int = 0
    batch_size: int = 1
    accumulation: int = 1
    steps: int | None = None
    """Optimiser steps; None = from `epochs`."""
    epochs: int = 10
    resolution_px: int | None = None
    """Side of the square that pictures are fitted to; None = the base model's own."""
    precision: Precision = Precision.AUTO
    min_snr_gamma: float = 5.0
    noise_offset: float = 0.0
    caption_dropout: float = 0.05
    train_text_encoder: bool = False
    gradient_checkpointing: bool = False
    seed: int = 0
    checkpoint_every_steps: int | None = None
    """None = as the worker's settings have it."""

    def changed(self, changes: dict[str, object]) -> Parameters:
        """These values with `changes` (by field name). A number of steps wins over epochs, whoever gave them."""
        unknown = changes.keys() - {field.name for field in fields(self)}
        if unknown:
            raise KeyError(f"no such parameters: {sorted(unknown)}")
        base = replace(self, steps=None) if "epochs" in changes and "steps" not in changes else self
        return replace(base, **changes)  # type: ignore[arg-type]  # the keys were checked, the values are protobuf's

    @property
    def scale(self) -> float:
        """Factor of the update matrices' product."""
        return (self.rank if self.alpha is None else self.alpha) / self.rank

    @property
    def pictures_per_step(self) -> int:
        """Pictures that one optimiser step sees."""
        return self.batch_size * self.accumulation

    def total_steps(self, pictures: int) -> int:
        """Optimiser steps for a dataset of so many pictures."""
        if self.steps is not None:
            return self.steps
        return max(1, math.ceil(self.epochs * pictures / self.pictures_per_step))

    def learning_rate_at(self, step: int, total: int) -> float:
        """Learning rate of step `step` (0 to total - 1)."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / (self.warmup_steps + 1)
        done = (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        factors = {
            Schedule.CONSTANT: 1.0,
            Schedule.COSINE: 0.5 * (1.0 + math.cos(math.pi * done)),
            Schedule.LINEAR: 1.0 - done,
        }
        return self.learning_rate * factors[self.schedule]

    def described(self) -> dict[str, object]:
        """The values by name, for the metadata of the result."""
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ParameterLimits:
    """What the operator allows."""

    max_steps: int
    max_resolution_px: int
    max_batch_size: int


def check_parameters(parameters: Parameters, total_steps: int, limits: ParameterLimits, multiple_px: int) -> None:
    """Raise InvalidArgument naming a parameter that this worker does not take."""
    side = parameters.resolution_px
    if side is not None and side % multiple_px:
        raise InvalidArgument.of_field(
            "parameters.resolution_px", f"{side} is no multiple of {multiple_px}, as the base model needs it"
        )
    for name, value, most in (
        ("resolution_px", side or 0, limits.max_resolution_px),
        ("batch_size", parameters.batch_size, limits.max_batch_size),
        ("steps", total_steps, limits.max_steps),
    ):
        if value > most:
            raise InvalidArgument.of_field(f"parameters.{name}", f"{value} is more than this worker's limit of {most}")


def drawn_seed(*parts: object) -> int:
    """A number from 0 to 2^63 - 1 that depends on nothing but `parts`: every random choice of a training has one."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
