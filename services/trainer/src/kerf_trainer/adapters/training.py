"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from kerf_core.errors import FailedPrecondition, ResourceExhausted
from kerf_sd.architecture import Architecture
from kerf_sd.models import LoadedModel
from kerf_trainer.adapters.conditioning import CaptionReader, Latent, generator
from kerf_trainer.adapters.loss import NoiseTask
from kerf_trainer.adapters.networks import LoraWeights
from kerf_trainer.domain.engine import Event, PassDone, StepDone
from kerf_trainer.domain.parameters import Parameters, Precision, drawn_seed

AUTOCAST_DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}
_SMOOTHING = 0.95
_MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Lessons:
    """What there is to learn: a latent and a caption for every picture."""

    latents: Sequence[Latent]
    captions: Sequence[str]


class LoraTraining:
    """Trains a LoRA step by step.

    Every random choice comes from a generator that is made from the seed and the number of its step, so the state is
    the weights, the optimiser's moments and the counters, and nothing else.
    """

    def __init__(
        self, model: LoadedModel, parameters: Parameters, total_steps: int, lessons: Lessons, reader: CaptionReader
    ) -> None:
        self.parameters = parameters
        self.total_steps = total_steps
        self.weights = LoraWeights(model, parameters)
        self.optimiser = torch.optim.AdamW(self.weights.named.values(), lr=parameters.learning_rate)
        device = model.compute.device
        # Half precision loses small gradients: they are scaled up, and a step whose scale was too large is left out.
        self.scaler = torch.amp.GradScaler(device.type, enabled=parameters.precision is Precision.FLOAT16)
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._model = model
        self._device = device
        self._lessons = lessons
        self._reader = reader
        self._task = NoiseTask(model.own_scheduler, device, parameters.min_snr_gamma)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)

    def steps(self) -> Iterator[Event]:
        """See `Run`."""
        parameters = self.parameters
        self._model.compute.enter()
        self.weights.set_training(training=True, gradient_checkpointing=parameters.gradient_checkpointing)
        while self.step < self.total_steps:
            step = self.step
            rate = parameters.learning_rate_at(step, self.total_steps)
            self.optimiser.param_groups[0]["lr"] = rate
            self.optimiser.zero_grad(set_to_none=True)
            loss = 0.0
            for turn in range(parameters.accumulation):
                with self._told_of_memory():
                    part = self._loss(step, turn) / parameters.accumulation
                    self.scaler.scale(part).backward()
                loss += float(part.detach())
                yield PassDone()
            if not math.isfinite(loss):
                raise _diverged(step, rate)
            self.scaler.unscale_(self.optimiser)
            torch.nn.utils.clip_grad_norm_(self.weights.named.values(), _MAX_GRADIENT_NORM)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            before = self.smoothed[-1] if self.smoothed else loss
            self.smoothed.append(_SMOOTHING * before + (1.0 - _SMOOTHING) * loss)
            self.losses.append(loss)
            yield StepDone(self.step, loss, self.smoothed[-1], rate)

    def _loss(self, step: int, turn: int) -> torch.Tensor:
        """The loss of one pass of a step."""
        parameters = self.parameters
        latents, sizes, captions = self._batch(step, turn)
        chance = generator(parameters.seed, "noise", step, turn)
        noise = torch.randn(latents.shape, generator=chance)
        if parameters.noise_offset:
            noise = noise + parameters.noise_offset * torch.randn((*latents.shape[:2], 1, 1), generator=chance)
        timesteps = torch.randint(0, self._task.timesteps, (len(latents),), generator=chance)
        latents, noise, timesteps = (tensor.to(self._device) for tensor in (latents, noise, timesteps))
        torch.manual_seed(drawn_seed(parameters.seed, "dropout", step, turn))  # dropout draws from the global state
        dtype = AUTOCAST_DTYPES[parameters.precision]
        with torch.autocast(self._device.type, dtype=dtype, enabled=dtype is not torch.float32), self._attention():
            words = self._reader.read(captions)
            more = None
            if self._model.architecture is Architecture.SDXL:
                more = {"text_embeds": words.pooled, "time_ids": sizes.to(self._device)}
            noisy = self._task.noisy(latents, noise, timesteps)
            predicted = self._model.pipeline.unet(noisy, timesteps, words.hidden, added_cond_kwargs=more).sample
        return self._task.loss(predicted, latents, noise, timesteps)

    def _batch(self, step: int, turn: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """Latents, sizes and captions of one pass. Pictures come in a new order every epoch."""
        parameters = self.parameters
        first = (step * parameters.accumulation + turn) * parameters.batch_size
        chosen = [self._picture(number) for number in range(first, first + parameters.batch_size)]
        chance = torch.rand(len(chosen), generator=generator(parameters.seed, "captions", step, turn)).tolist()
        captions = [
            "" if drawn < parameters.caption_dropout else self._lessons.captions[index]
            for index, drawn in zip(chosen, chance, strict=True)
        ]
        latents = [self._lessons.latents[index] for index in chosen]
        return (
            torch.stack([latent.values for latent in latents]),
            torch.stack([latent.sizes for latent in latents]),
            captions,
        )

    def _picture(self, number: int) -> int:
        """Which picture is the `number`-th that is seen."""
        epoch, place = divmod(number, len(self._lessons.latents))
        order = torch.randperm(len(self._lessons.latents), generator=generator(self.parameters.seed, "order", epoch))
        return int(order[place])

    def _attention(self) -> AbstractContextManager[None]:
        if self._device.type != "cuda":
            return nullcontext()
        # Of the fast attentions only this one has a backward pass that gives the same bits every time.
        allowed = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        return sdpa_kernel(allowed)

    def _told_of_memory(self) -> _OutOfMemory:
        return _OutOfMemory(self.parameters)


class _OutOfMemory:
    """Turns torch's error into one that says what to do."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            hint = "" if self._parameters.gradient_checkpointing else ", or gradient_checkpointing"
            raise ResourceExhausted(
                "OUT_OF_MEMORY",
                f"{self._parameters.batch_size} pictures at once do not fit into memory; ask for a smaller batch_size"
                f" (and more accumulation), a lower resolution_px{hint}",
            ) from error


def _diverged(step: int, rate: float) -> FailedPrecondition:
    return FailedPrecondition(
        "TRAINING_DIVERGED",
        f"the loss of step {step + 1} is no finite number; ask for a learning_rate below {rate:g}, more warmup_steps,"
        " or the precision float32",
    )
