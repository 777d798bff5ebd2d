"""What a training needs from whatever computes it. `adapters` has the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from kerf_trainer.domain.dataset import Pair
from kerf_trainer.domain.parameters import Parameters

Check = Callable[[], None]
"""Raises to stop the work; called often."""


@dataclass(frozen=True)
class BaseFacts:
    """What is known of a base model from its small files."""

    name: str
    architecture: str
    native_size_px: int
    multiple_px: int
    """Sides must be multiples of this."""


@dataclass(frozen=True)
class Layer:
    """A layer of the denoiser with weights."""

    weights: int
    inputs: int
    outputs: int
    level: int
    """How often the picture was halved where it works."""
    reads_text: bool
    """Works on the tokens of the caption instead of the picture."""
    is_target: bool
    """Gets a LoRA."""
    attends: bool
    """Its output is compared at every place with that at every other one (self-attention)."""


@dataclass(frozen=True)
class BaseShape:
    """How large a base model is."""

    weights: int
    """Of all its parts."""
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class TrainingPlan:
    """A training with nothing left open."""

    name: str
    base_model: str
    preset: str
    parameters: Parameters
    resolution_px: int
    total_steps: int
    trigger_word: str
    sample_prompt: str
    dataset_sha256: str

    def caption_of(self, pair: Pair) -> str:
        """The words that a picture is learnt with."""
        return f"{self.trigger_word}, {pair.caption}" if self.trigger_word else pair.caption


@dataclass(frozen=True)
class PassDone:
    """One forward and backward pass of a step."""


@dataclass(frozen=True)
class StepDone:
    """One optimiser step."""

    step: int
    """Steps done, counted from 1."""
    loss: float
    smoothed_loss: float
    learning_rate: float


Event = PassDone | StepDone


@dataclass(frozen=True)
class Curve:
    """Figures of all steps so far."""

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    smoothed_loss: tuple[float, ...]
    learning_rate: tuple[float, ...]


class Run(Protocol):
    """One training in memory. Used by one thread."""

    warnings: list[str]
    model_sha256: str
    numeric_class: str
    versions: dict[str, str]

    @property
    def step(self) -> int:
        """Steps done; more than 0 at first if a checkpoint was taken up."""
        ...

    @property
    def smoothed_loss(self) -> float:
        """Exponential mean of the loss; NaN before the first step."""
        ...

    def steps(self) -> Iterator[Event]:
        """Train to the end. Between two events the run may be left; `checkpoint` then has all whole steps.

        Raises FailedPrecondition TRAINING_DIVERGED, ResourceExhausted OUT_OF_MEMORY.
        """
        ...

    def checkpoint(self) -> bytes:
        """The whole state after the last whole step."""
        ...

    def lora(self) -> bytes:
        """The LoRA as it is now: a safetensors file in the layout of diffusers. Equal states give equal bytes."""
        ...

    def curve(self) -> Curve:
        """Figures of all steps, also of those before a resume."""
        ...

    def sample(self, check: Check, *, with_lora: bool) -> bytes:
        """A PNG of the plan's sample prompt; `check` is called after every denoising step."""
        ...

    def peak_memory_bytes(self) -> int:
        """Most memory that was in use: of the device, or of this process on a CPU."""
        ...


class Engine(Protocol):
    """Trains on the base models of this worker. Thread-safe; one run at a time computes."""

    default_model: str
    precision: str
    """Number format where a request names none."""

    def names(self) -> list[str]:
        """Names of the base models, sorted."""
        ...

    def facts(self, name: str) -> BaseFacts:
        """Reads small files. Raises FailedPrecondition MODEL_NOT_INSTALLED, MODEL_BROKEN, MODEL_UNSAFE."""
        ...

    def shape(self, name: str) -> BaseShape:
        """Reads the headers of the weights. Raises as `facts`."""
        ...

    def operations_per_second(self) -> float:
        """Multiplications and additions a second of this device at its best; measured once."""
        ...

    def open(
        self, plan: TrainingPlan, pairs: Sequence[Pair], checkpoint: bytes | None, check: Check
    ) -> AbstractContextManager[Run]:
        """Load the base model, encode the dataset, take up the checkpoint. Waits until no other run computes.

        `check` is called now and then. A checkpoint of another training is left out, with a warning.
        """
        ...
