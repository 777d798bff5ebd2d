"""The models that this worker can serve: loaded when first asked for, the longest unused dropped for a new one."""

from __future__ import annotations

import gc
import platform
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import torch

from kerf_core.compute import held
from kerf_core.errors import FailedPrecondition, KerfError
from kerf_diffusion.adapters.model import DiffusersModel
from kerf_diffusion.domain.engine import ModelFacts, ModelListing, UsedLora
from kerf_models.devices import Compute
from kerf_sd.architecture import Architecture
from kerf_sd.folder import find_model
from kerf_sd.lora_files import LoraFolder
from kerf_sd.models import LoadedModel, load_model

_DEFAULT_STEPS = {Architecture.SD: 25, Architecture.SDXL: 30}
_DEFAULT_GUIDANCE = {Architecture.SD: 7.5, Architecture.SDXL: 5.0}
_SIZE_MULTIPLE_PX = 8


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are, and with what it draws best."""

    source: str
    """Folder, or repository id; see `kerf_models.sources.resolve_source`."""
    steps: int | None = None
    """Steps for requests that name none; None = 25 (sd) or 30 (sdxl)."""
    guidance: float | None = None
    """Guidance for requests that name none; None = 7.5 (sd) or 5 (sdxl)."""
    description: str = ""
    """What it can draw and what it cannot, for people."""


class DiffusersShelf:
    """See `kerf_diffusion.domain.engine.ModelShelf`."""

    def __init__(
        self,
        sources: Mapping[str, ModelSource],
        *,
        default_model: str,
        compute: Compute,
        loras: LoraFolder,
        kept_models: int = 1,
        kept_loras: int = 8,
        local_files_only: bool = True,
    ) -> None:
        self.default_model = default_model
        self.numeric_class = f"{compute.numeric_class} pillow-{version('pillow')}"
        self.versions = {
            **compute.library_versions(),
            "pillow": version("pillow"),
            "python": platform.python_version(),
            "kerf-diffusion": version("kerf-diffusion"),
        }
        self._sources = dict(sources)
        self._compute = compute
        self._loras = loras
        self._kept_models = kept_models
        self._kept_loras = kept_loras
        self._local_files_only = local_files_only
        self._models: OrderedDict[str, DiffusersModel] = OrderedDict()  # the least recently used first
        self._hashes: dict[str, str] = {}
        self._books = threading.Lock()  # guards the two above; held for moments only
        self._loading = threading.Lock()  # one model loads at a time

    def names(self) -> list[str]:
        """See `ModelShelf`."""
        return sorted(self._sources)

    def listings(self) -> list[ModelListing]:
        """See `ModelShelf`."""
        return [self._listing(name) for name in self.names()]

    def open(self, name: str, check: Callable[[], None]) -> DiffusersModel:
        """See `ModelShelf`."""
        if name not in self._sources:
            raise FailedPrecondition("MODEL_NOT_INSTALLED", f"model {name!r} is not installed")
        model = self._take(name)
        if model is not None:
            return model
        with held(self._loading, check):
            return self._take(name) or self._load(name, check)

    def find_lora(self, name: str) -> UsedLora:
        """See `ModelShelf`."""
        file = self._loras.find(name)
        return UsedLora(file.name, file.sha256)

    def _take(self, name: str) -> DiffusersModel | None:
        with self._books:
            model = self._models.get(name)
            if model is not None:
                self._models.move_to_end(name)
            return model

    def _load(self, name: str, check: Callable[[], None]) -> DiffusersModel:
        self._make_room()
        self._compute.enter()
        loaded = load_model(
            self._sources[name].source, compute=self._compute, local_files_only=self._local_files_only, advance=check
        )
        model = DiffusersModel(loaded, self._facts(name, loaded), self._loras, self._kept_loras)
        with self._books:
            self._models[name] = model
            self._hashes[name] = loaded.sha256
        return model

    def _make_room(self) -> None:
        # Before the new one is loaded, so that both need not fit. A picture in the making keeps its model alive.
        with self._books:
            while len(self._models) >= self._kept_models:
                self._models.popitem(last=False)
        gc.collect()
        if self._compute.device.type == "cuda":
            torch.cuda.empty_cache()

    def _facts(self, name: str, loaded: LoadedModel) -> ModelFacts:
        source = self._sources[name]
        guidance = _DEFAULT_GUIDANCE[loaded.architecture] if source.guidance is None else source.guidance
        return ModelFacts(
            name=name,
            sha256=loaded.sha256,
            native_size_px=loaded.folder.native_size_px,
            size_multiple_px=max(_SIZE_MULTIPLE_PX, loaded.folder.vae_scale),
            default_steps=source.steps or _DEFAULT_STEPS[loaded.architecture],
            default_guidance=guidance,
        )

    def _listing(self, name: str) -> ModelListing:
        description = self._sources[name].description
        with self._books:
            loaded = name in self._models
            sha256 = self._hashes.get(name, "")
        try:
            folder = find_model(self._sources[name].source, local_files_only=True)
        except KerfError as error:
            trouble = f"{description} (cannot be loaded: {error.message})".strip()
            return ModelListing(name, "", loaded, sha256, 0, trouble)
        return ModelListing(name, folder.architecture.value, loaded, sha256, folder.native_size_px, description)
