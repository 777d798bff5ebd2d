"""What the worker needs from an engine that draws. `adapters` has the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kerf_diffusion.domain.requests import LoraWeight, Scheduler


@dataclass(frozen=True)
class ModelFacts:
    """What must be known of a loaded model to plan a picture."""

    name: str
    sha256: str
    native_size_px: int
    size_multiple_px: int
    default_steps: int
    default_guidance: float


@dataclass(frozen=True)
class ModelListing:
    """A model that the worker can serve, for people."""

    name: str
    architecture: str
    """`sd`, `sdxl`, or empty if the folder could not be read."""
    loaded: bool
    sha256: str
    """Empty until it was first loaded."""
    native_size_px: int
    description: str


@dataclass(frozen=True)
class PictureOrder:
    """One picture, with nothing left open."""

    prompt: str
    negative_prompt: str
    width_px: int
    height_px: int
    steps: int
    guidance: float
    scheduler: Scheduler
    seed: int
    loras: tuple[LoraWeight, ...]


@dataclass(frozen=True)
class Picture:
    """A finished picture."""

    png: bytes
    width_px: int
    height_px: int
    seed: int


@dataclass(frozen=True)
class UsedLora:
    """A LoRA that takes part, by the SHA-256 of its file."""

    name: str
    sha256: str


StepWatch = Callable[[int, int, Callable[[], bytes]], None]
"""Called after every denoising step with the step, their number, and a function that draws how the picture looks so far
(PNG, at most 64 KiB). What it raises ends the picture at once."""


class PictureModel(Protocol):
    """A model in memory."""

    facts: ModelFacts

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the model has never seen; empty for a model of general knowledge."""
        ...

    def unread_text(self, prompt: str) -> str:
        """The end of the prompt that the model does not read; empty if it reads all."""
        ...

    def lora_warnings(self, loras: tuple[LoraWeight, ...], check: Callable[[], None]) -> list[str]:
        """Load the LoRAs beside the model and say what is odd about them.

        `check` is called while waiting for the model; what it raises ends the waiting.
        Raises FailedPrecondition if one is broken or does not fit.
        """
        ...

    def draw(self, order: PictureOrder, check: Callable[[], None], watch: StepWatch) -> Picture:
        """Draw one picture. Equal orders give equal bytes, whatever was drawn before or is drawn beside.

        `check` is called while waiting for the model, `watch` after every step; what they raise comes out here.
        Raises FailedPrecondition PICTURE_NOT_FINITE, ResourceExhausted OUT_OF_MEMORY.
        """
        ...


class ModelShelf(Protocol):
    """The models and LoRAs that this worker can serve. Thread-safe."""

    default_model: str
    numeric_class: str
    versions: dict[str, str]

    def names(self) -> list[str]:
        """Names of the models, sorted."""
        ...

    def listings(self) -> list[ModelListing]:
        """What can be served, by name. Reads small files."""
        ...

    def open(self, name: str, check: Callable[[], None]) -> PictureModel:
        """The model, loaded if it was not; loading takes seconds to minutes.

        `check` is called now and then while it loads; what it raises ends the loading.
        Raises FailedPrecondition (not installed, broken, unsafe), ResourceExhausted OUT_OF_MEMORY.
        """
        ...

    def find_lora(self, name: str) -> UsedLora:
        """An installed LoRA. Raises FailedPrecondition LORA_NOT_INSTALLED, LORA_UNSAFE or LORA_BROKEN."""
        ...
