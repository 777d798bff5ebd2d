"""Base models of this worker, and trainings on them with diffusers and peft."""

from __future__ import annotations

import gc
import hashlib
import json
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors import safe_open

from kerf_core.compute import held
from kerf_core.errors import FailedPrecondition
from kerf_media.encode import encode_png_rgb
from kerf_models.devices import Compute
from kerf_models.files import check_headers
from kerf_sd.folder import ModelFolder, find_model
from kerf_sd.models import LoadedModel, load_model
from kerf_sd.schedulers import SchedulerKind, make_scheduler
from kerf_sd.vocabulary import unread_text
from kerf_trainer.adapters.checkpoint import Origin, read_checkpoint, write_checkpoint
from kerf_trainer.adapters.conditioning import CaptionReader, encode_pictures
from kerf_trainer.adapters.container import write_container
from kerf_trainer.adapters.networks import DENOISER_TARGETS
from kerf_trainer.adapters.training import AUTOCAST_DTYPES, Lessons, LoraTraining
from kerf_trainer.domain.dataset import Pair
from kerf_trainer.domain.engine import BaseFacts, BaseShape, Check, Curve, Event, Layer, TrainingPlan
from kerf_trainer.domain.parameters import Precision, drawn_seed

_BLOCK = re.compile(r"^(down_blocks|up_blocks)\.(\d+)\.")
_SEED_RANGE = 1 << 32


@dataclass(frozen=True)
class BaseModel:
    """A base model as the settings have it."""

    source: str
    steps: int = 25
    """Denoising steps of its sample pictures."""
    guidance: float = 7.5


class TorchEngine:
    """Loads the base model anew for every training and forgets it afterwards: trainings leave nothing behind."""

    def __init__(
        self,
        models: Mapping[str, BaseModel],
        *,
        default_model: str,
        compute: Compute,
        precision: Precision,
        local_files_only: bool = True,
    ) -> None:
        self.default_model = default_model
        self.precision = precision.value
        self._models = dict(models)
        # Weights are float32 in every precision: only the computation is shortened (autocast).
        self._compute = replace(compute, dtype=torch.float32)
        self._local_files_only = local_files_only
        self._lock = threading.Lock()  # the random state of dropout is torch's global one, so runs take turns
        self._speed = 0.0

    def names(self) -> list[str]:
        """See `Engine`."""
        return sorted(self._models)

    def facts(self, name: str) -> BaseFacts:
        """See `Engine`."""
        folder = self._folder(name)
        return BaseFacts(name, folder.architecture.value, folder.native_size_px, folder.vae_scale)

    def shape(self, name: str) -> BaseShape:
        """See `Engine`."""
        folder = self._folder(name)
        check_headers(folder.path, folder.weight_files)
        shapes: dict[str, tuple[int, ...]] = {}
        weights = 0
        for file in folder.weight_files:
            with safe_open(folder.path / file, framework="np") as opened:
                for key in list(opened.keys()):
                    size = tuple(opened.get_slice(key).get_shape())
                    weights += int(np.prod(size))
                    if file.startswith("unet/") and len(size) in (2, 4):
                        shapes[key] = size
        levels = 1 + max((int(found[2]) for found in map(_BLOCK.match, shapes) if found), default=0)
        return BaseShape(weights, tuple(_layer(key, size, levels) for key, size in shapes.items()))

    def operations_per_second(self) -> float:
        """See `Engine`."""
        if not self._speed:
            with self._lock:
                self._speed = _measured_speed(self._compute)
        return self._speed

    @contextmanager
    def open(
        self, plan: TrainingPlan, pairs: Sequence[Pair], checkpoint: bytes | None, check: Check
    ) -> Iterator[TorchRun]:
        """See `Engine`."""
        with held(self._lock, check):
            base = self._models[plan.base_model]
            gc.collect()  # networks refer to themselves in circles: the last run's would stand beside this one's
            if self._compute.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self._compute.device)
            model = load_model(
                base.source, compute=self._compute, local_files_only=self._local_files_only, advance=check
            )
            yield TorchRun(plan, pairs, model, base, checkpoint, check)

    def _folder(self, name: str) -> ModelFolder:
        return find_model(self._models[name].source, local_files_only=self._local_files_only)


class TorchRun:
    """See `Run`."""

    def __init__(
        self,
        plan: TrainingPlan,
        pairs: Sequence[Pair],
        model: LoadedModel,
        base: BaseModel,
        checkpoint: bytes | None,
        check: Check,
    ) -> None:
        parameters = plan.parameters
        self._plan = plan
        self._model = model
        self._base = base
        self.model_sha256 = model.sha256
        self._dtype = AUTOCAST_DTYPES[parameters.precision]
        self.numeric_class = replace(model.compute, dtype=self._dtype).numeric_class
        self.versions = model.compute.library_versions()
        model.compute.enter()
        captions = [plan.caption_of(pair) for pair in pairs]
        self.warnings = [*_word_warnings(model, plan), *_length_warnings(model, captions)]
        reader = CaptionReader(model, remembers=not parameters.train_text_encoder)
        if not parameters.train_text_encoder:
            reader.remember(["", *captions], check)
        latents = encode_pictures(model, pairs, plan.resolution_px, parameters.seed, check)
        self._training = LoraTraining(model, parameters, plan.total_steps, Lessons(latents, captions), reader)
        self._origin = Origin(_fingerprint(plan, model), self.numeric_class)
        if checkpoint is not None:
            self._take_up(checkpoint)

    def _take_up(self, checkpoint: bytes) -> None:
        try:
            warning = read_checkpoint(self._training, checkpoint, self._origin)
        except (ValueError, KeyError, TypeError) as error:
            warning = f"the checkpoint was left out and the training begins anew: {error}"
        if warning:
            self.warnings.append(warning)

    @property
    def step(self) -> int:
        """See `Run`."""
        return self._training.step

    @property
    def smoothed_loss(self) -> float:
        """See `Run`."""
        return self._training.smoothed[-1] if self._training.smoothed else float("nan")

    def steps(self) -> Iterator[Event]:
        """See `Run`."""
        return self._training.steps()

    def checkpoint(self) -> bytes:
        """See `Run`."""
        return write_checkpoint(self._training, self._origin)

    def lora(self) -> bytes:
        """See `Run`."""
        dtype = torch.float32 if self._dtype is torch.float32 else torch.float16
        tensors = self._training.weights.exported(dtype)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise FailedPrecondition(
                "TRAINING_DIVERGED", "the LoRA holds values that are no finite numbers; ask for a lower learning_rate"
            )
        plan = self._plan
        metadata = {
            "format": "pt",
            "kerf_name": plan.name,
            "kerf_base_model": plan.base_model,
            "kerf_base_model_sha256": self.model_sha256,
            "kerf_architecture": self._model.architecture.value,
            "kerf_preset": plan.preset,
            "kerf_parameters": json.dumps(plan.parameters.described(), sort_keys=True),
            "kerf_resolution_px": str(plan.resolution_px),
            "kerf_steps": str(self.step),
            "kerf_trigger_word": plan.trigger_word,
            "kerf_dataset_sha256": plan.dataset_sha256,
        }
        return write_container(tensors, metadata)

    def curve(self) -> Curve:
        """See `Run`."""
        training = self._training
        rates = (self._plan.parameters.learning_rate_at(step, self._plan.total_steps) for step in range(training.step))
        numbers = tuple(range(1, training.step + 1))
        return Curve(numbers, tuple(training.losses), tuple(training.smoothed), tuple(rates))

    def sample(self, check: Check, *, with_lora: bool) -> bytes:
        """See `Run`."""
        model, plan = self._model, self._plan
        model.compute.enter()
        weights = self._training.weights
        weights.set_training(training=False, gradient_checkpointing=plan.parameters.gradient_checkpointing)
        weights.switch(on=with_lora)
        try:
            rgb = self._draw(check)
        finally:
            weights.switch(on=True)
        if not np.isfinite(rgb).all():
            raise FailedPrecondition(
                "TRAINING_DIVERGED", "the LoRA draws values that are no numbers; ask for a lower learning_rate"
            )
        return encode_png_rgb(np.rint(rgb * 255).astype(np.uint8))

    def _draw(self, check: Check) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        pipeline, plan = self._model.pipeline, self._plan
        pipeline.scheduler = make_scheduler(SchedulerKind.MODEL_DEFAULT, self._model.own_scheduler)

        def after_step(_: object, __: int, ___: object, ____: object) -> dict[str, torch.Tensor]:
            check()
            return {}

        seed = drawn_seed(plan.parameters.seed, "sample") % _SEED_RANGE
        pictures: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = pipeline(
            prompt=plan.sample_prompt,
            width=plan.resolution_px,
            height=plan.resolution_px,
            num_inference_steps=self._base.steps,
            guidance_scale=self._base.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            callback_on_step_end=after_step,
        ).images
        return pictures[0]

    def peak_memory_bytes(self) -> int:
        """See `Run`."""
        if self._model.compute.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._model.compute.device))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _fingerprint(plan: TrainingPlan, model: LoadedModel) -> str:
    decides = [
        plan.parameters.described() | {"checkpoint_every_steps": None},
        plan.resolution_px,
        plan.total_steps,
        plan.trigger_word,
        plan.dataset_sha256,
        model.sha256,
    ]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _word_warnings(model: LoadedModel, plan: TrainingPlan) -> list[str]:
    if model.vocabulary is None:
        return []
    unknown = model.vocabulary.unknown_words(f"{plan.trigger_word} {plan.sample_prompt}")
    if not unknown:
        return []
    return [f"base model {plan.base_model} has never read these words: {', '.join(unknown)}"]


def _length_warnings(model: LoadedModel, captions: Sequence[str]) -> list[str]:
    cut = [caption for caption in dict.fromkeys(captions) if unread_text(model.tokenizers, caption)]
    if not cut:
        return []
    return [
        f"{len(cut)} captions are longer than the base model reads; their ends are not learnt, first: {cut[0][:80]!r}"
    ]


def _layer(key: str, size: tuple[int, ...], levels: int) -> Layer:
    """What the name of a weight tells about where it works."""
    found = _BLOCK.match(key)
    level = levels - 1  # the middle
    if found:
        level = int(found[2]) if found[1] == "down_blocks" else levels - 1 - int(found[2])
    elif key.startswith(("conv_in", "conv_out")):
        level = 0
    reads_text = key.startswith(("time_", "add_")) or ".attn2.to_k" in key or ".attn2.to_v" in key
    return Layer(
        weights=int(np.prod(size)),
        inputs=size[1],
        outputs=size[0],
        level=level,
        reads_text=reads_text or "time_emb_proj" in key,
        is_target=any(f".{target}." in key for target in DENOISER_TARGETS),
        attends=".attn1.to_q." in key,
    )


def _measured_speed(compute: Compute, side: int = 768, rounds: int = 8) -> float:
    """Multiplications and additions a second, from products of square matrices."""
    compute.enter()
    left = torch.ones((side, side), device=compute.device)
    wait: Callable[[], None] = torch.cuda.synchronize if compute.device.type == "cuda" else lambda: None
    best = 0.0
    for _ in range(rounds):
        wait()
        began = time.perf_counter()
        _ = left @ left
        wait()
        best = max(best, 2.0 * side**3 / (time.perf_counter() - began))
    return best
