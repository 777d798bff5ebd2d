"""The models that this worker can serve: loaded when first asked for, dropped for another one or when long unused."""

from __future__ import annotations

import gc
import platform
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import torch

from kerf_captioner.adapters.blip import BlipModel, load_blip
from kerf_captioner.adapters.folder import find_model
from kerf_captioner.adapters.simple import SimpleModel
from kerf_captioner.domain.engine import CaptionModel, Engine, ModelFacts, ModelListing
from kerf_core.compute import held
from kerf_core.errors import FailedPrecondition, KerfError
from kerf_models.devices import Compute


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from, and its defaults."""

    engine: Engine
    source: str
    """Of blip: folder or repository id."""
    text: str
    """Of simple: what it says."""
    beams: int
    max_tokens: int
    repetition_penalty: float
    description: str


class Shelf:
    """See `kerf_captioner.domain.engine.CaptionShelf`."""

    def __init__(
        self,
        sources: Mapping[str, ModelSource],
        *,
        default_model: str,
        compute: Compute,
        kept_models: int,
        local_files_only: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.default_model = default_model
        self.versions = {
            **compute.library_versions(),
            "python": platform.python_version(),
            "kerf-captioner": version("kerf-captioner"),
        }
        self._sources = dict(sources)
        self._compute = compute
        self._kept_models = kept_models
        self._local_files_only = local_files_only
        self._clock = clock
        self._numeric_class = compute.numeric_class
        # The least recently used first, with the time when each was last asked for.
        self._models: OrderedDict[str, tuple[BlipModel, float]] = OrderedDict()
        self._facts: dict[str, ModelFacts] = {}
        self._books = threading.Lock()  # guards the two above; held for moments only
        self._loading = threading.Lock()  # one model loads at a time

    def names(self) -> list[str]:
        """See `CaptionShelf`."""
        return sorted(self._sources)

    def listings(self) -> list[ModelListing]:
        """See `CaptionShelf`."""
        return [self._listing(name) for name in self.names()]

    def numeric_class_of(self, engine: Engine) -> str:
        """See `CaptionShelf`."""
        return self._numeric_class if engine is Engine.BLIP else ""

    def last_facts(self, name: str) -> ModelFacts | None:
        """See `CaptionShelf`."""
        with self._books:
            return self._facts.get(name)

    def open(self, name: str, check: Callable[[], None]) -> CaptionModel:
        """See `CaptionShelf`."""
        source = self._sources.get(name)
        if source is None:
            raise FailedPrecondition("MODEL_NOT_INSTALLED", f"model {name!r} is not installed")
        if source.engine is Engine.SIMPLE:
            return SimpleModel(name, source.text)
        model = self._take(name)
        if model is not None:
            return model
        with held(self._loading, check):
            return self._take(name) or self._load(name, source, check)

    def drop_unused(self, for_seconds: float) -> list[str]:
        """Let go of the models that nobody has asked for so long; returns their names. A caption in the making keeps
        its model alive until it is done.
        """
        with self._books:
            before = self._clock() - for_seconds
            dropped = [name for name, (_, asked) in self._models.items() if asked <= before]
            for name in dropped:
                del self._models[name]
        if dropped:
            self._free()
        return dropped

    def _take(self, name: str) -> BlipModel | None:
        with self._books:
            found = self._models.get(name)
            if found is None:
                return None
            self._models[name] = (found[0], self._clock())
            self._models.move_to_end(name)
            return found[0]

    def _load(self, name: str, source: ModelSource, check: Callable[[], None]) -> BlipModel:
        self._make_room()
        self._compute.enter()
        loaded = load_blip(source.source, self._compute, local_files_only=self._local_files_only, advance=check)
        facts = ModelFacts(
            name=name,
            engine=Engine.BLIP,
            sha256=loaded.sha256,
            image_size_px=loaded.folder.image_size_px,
            beams=source.beams,
            max_tokens=source.max_tokens,
            repetition_penalty=source.repetition_penalty,
        )
        model = BlipModel(loaded, facts, self._compute)
        with self._books:
            self._models[name] = (model, self._clock())
            self._facts[name] = facts
        return model

    def _make_room(self) -> None:
        # Before the new one is loaded, so that both need not fit.
        with self._books:
            while len(self._models) >= self._kept_models:
                self._models.popitem(last=False)
        self._free()

    def _free(self) -> None:
        gc.collect()
        if self._compute.device.type == "cuda":
            torch.cuda.empty_cache()

    def _listing(self, name: str) -> ModelListing:
        source = self._sources[name]
        with self._books:
            facts = self._facts.get(name)
            loaded = name in self._models or source.engine is Engine.SIMPLE
        sha256 = facts.sha256 if facts else ""
        if source.engine is Engine.SIMPLE:
            return ModelListing(name, source.engine, loaded, sha256, 0, source.description)
        try:
            folder = find_model(source.source, local_files_only=True)
        except KerfError as error:
            trouble = f"{source.description} (cannot be loaded: {error.message})".strip()
            return ModelListing(name, source.engine, loaded, sha256, 0, trouble)
        return ModelListing(name, source.engine, loaded, sha256, folder.image_size_px, source.description)
