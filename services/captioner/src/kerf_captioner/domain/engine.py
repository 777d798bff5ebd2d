"""What the captioner needs from an engine, in words that know neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(StrEnum):
    """How captions come about."""

    BLIP = "blip"
    """A network that looks at the picture (Li et al., 2022)."""
    SIMPLE = "simple"
    """Configured text; does not look."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model in memory."""

    name: str
    engine: Engine
    sha256: str
    """Over its weight files; empty for an engine without weights."""
    image_size_px: int
    """Side of the picture that it reads; 0 = it reads none."""
    beams: int
    """Of requests that name none."""
    max_tokens: int
    """Of requests that name none."""
    repetition_penalty: float
    """Of requests that name none."""
    warnings: tuple[str, ...] = ()
    """What every caller of this model should know."""


@dataclass(frozen=True)
class ModelListing:
    """A model that can be served."""

    name: str
    engine: Engine
    loaded: bool
    sha256: str
    """Empty until it was first loaded."""
    image_size_px: int
    """0 = not known before it was loaded, or reads none."""
    description: str


@dataclass(frozen=True)
class CaptionOrder:
    """One caption to make, with nothing left open."""

    prompt: str
    beams: int
    max_tokens: int
    min_tokens: int
    repetition_penalty: float


@dataclass(frozen=True)
class Description:
    """What a model wrote, and how long it computed."""

    text: str
    device_seconds: float
    """0 = no device was needed."""


class CaptionModel(Protocol):
    """A model in memory. Thread-safe."""

    facts: ModelFacts

    def describe(self, rgb: NDArray[np.uint8], order: CaptionOrder, check: Callable[[], None]) -> Description:
        """The caption of a picture (rows, columns, 3), RGB, that begins with the order's prompt.

        Equal orders on equal pixels give equal texts within one numeric class. `check` is called at least once per
        token and while waiting for the model; what it raises comes out here. Raises InvalidArgument if the prompt is
        longer than the model reads, FailedPrecondition CAPTION_NOT_FINITE, ResourceExhausted OUT_OF_MEMORY.
        """
        ...


class CaptionShelf(Protocol):
    """The models that this worker can serve. Thread-safe."""

    default_model: str
    versions: dict[str, str]

    def names(self) -> list[str]:
        """Names of the models, sorted."""
        ...

    def listings(self) -> list[ModelListing]:
        """What can be served, by name. Reads small files at most."""
        ...

    def numeric_class_of(self, engine: Engine) -> str:
        """Device, instruction set, threads and library versions; empty where nothing is computed."""
        ...

    def last_facts(self, name: str) -> ModelFacts | None:
        """The facts of a model that was loaded once, though it may be out of memory now; None before that."""
        ...

    def open(self, name: str, check: Callable[[], None]) -> CaptionModel:
        """The model, loaded if it was not; loading takes seconds to minutes.

        `check` is called now and then while it loads; what it raises ends the loading.
        Raises FailedPrecondition (not installed, broken, unsafe, not supported), ResourceExhausted OUT_OF_MEMORY.
        """
        ...
