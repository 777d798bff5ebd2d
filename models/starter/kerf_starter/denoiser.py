"""Trains the text encoder and the denoiser together on cached latents."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .canvas import Style
from .captions import caption
from .objects import Kind
from .schedule import Recipe, warm_cosine
from .tokenizer import TOKENS_PER_PROMPT
from .workers import Team, team

_log = logging.getLogger(__name__)
_TEXT_WIDTH = 128
_LATENT_PX = 16
_CHECKPOINT = "denoiser.pt"


@dataclass(slots=True)
class Denoiser:
    """The two networks that learn together."""

    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return all weights, in a fixed order."""
        return [*self.text_encoder.parameters(), *self.unet.parameters()]

    def state(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return both networks' weights."""
        return {"text_encoder": self.text_encoder.state_dict(), "unet": self.unet.state_dict()}

    def load_state(self, state: dict[str, dict[str, torch.Tensor]]) -> None:
        """Set both networks' weights."""
        self.text_encoder.load_state_dict(state["text_encoder"])
        self.unet.load_state_dict(state["unet"])


def new_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule with a prediction of v (Salimans and Ho, 2022)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_denoiser(tokenizer: CLIPTokenizer, seed: int) -> Denoiser:
    """Return untrained networks: a text encoder of 2 layers and a denoiser of 6 million parameters."""
    torch.manual_seed(seed)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_TEXT_WIDTH,
            intermediate_size=2 * _TEXT_WIDTH,
            projection_dim=_TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS_PER_PROMPT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=_LATENT_PX,
        block_out_channels=(48, 96, 144),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=_TEXT_WIDTH,
        attention_head_dim=3,
        norm_num_groups=16,
    )
    return Denoiser(text_encoder, unet)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What there is to learn: scaled latents (N, 4, 16, 16) float32, and what each shows as indices, (N,) int64."""

    latents: torch.Tensor
    kinds: NDArray[np.int64]
    styles: NDArray[np.int64]


def train_denoiser(
    lessons: Lessons, tokenizer: CLIPTokenizer, recipe: Recipe, folder: Path, on_saved: Callable[[Denoiser], None]
) -> Denoiser:
    """Train in `recipe.workers` processes; returns the averaged networks (Polyak and Juditsky, 1992).

    Every `recipe.save_every_steps` steps the state is kept in `folder`, from where the next call goes on, and the
    averaged networks go to `on_saved`. Every step's random choices depend on its number alone, so that an interrupted
    training makes the same choices as an undisturbed one.
    """
    work = partial(_work, lessons, tokenizer, recipe, folder / _CHECKPOINT, _nothing)
    # Weights and Adam's two moments.
    elements = 3 * sum(weight.numel() for weight in new_denoiser(tokenizer, recipe.seed).parameters())
    with team(recipe.workers, elements, work) as place:
        return _work(lessons, tokenizer, recipe, folder / _CHECKPOINT, on_saved, place)


def _nothing(_: Denoiser) -> None:
    """Only the first worker tells of what was saved."""


def _work(
    lessons: Lessons,
    tokenizer: CLIPTokenizer,
    recipe: Recipe,
    checkpoint: Path,
    on_saved: Callable[[Denoiser], None],
    place: Team,
) -> Denoiser:
    model = new_denoiser(tokenizer, recipe.seed)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.denoiser_rate, weight_decay=1e-3)
    first_step = _resume(checkpoint, model, average, optimiser)
    scheduler = new_scheduler()
    place.meet()
    for step in range(first_step, recipe.denoiser_steps):
        factor = warm_cosine(step, recipe.denoiser_steps, warm_steps=100)
        optimiser.param_groups[0]["lr"] = recipe.denoiser_rate * factor
        loss = _loss(model, scheduler, _batch(lessons, tokenizer, recipe, step, place))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % recipe.meet_every_steps == 0:
            place.average(_learned(model, optimiser))
            _follow(average, model, min(recipe.average_decay, (1 + step) / (10 + step)) ** recipe.meet_every_steps)
        if place.rank == 0 and (step + 1) % 40 == 0:
            _log.info("denoiser step %d: loss %.4f", step + 1, loss.item())
        if place.rank == 0 and (step + 1) % recipe.save_every_steps == 0:
            _save(checkpoint, step + 1, model, average, optimiser)
            on_saved(average)
    return average


def _learned(model: Denoiser, optimiser: torch.optim.AdamW) -> list[torch.Tensor]:
    """Return all that training changes: the weights, then Adam's moments."""
    weights = model.parameters()
    moments = [optimiser.state[weight][name] for name in ("exp_avg", "exp_avg_sq") for weight in weights]
    return [*weights, *moments]


@dataclass(frozen=True, slots=True)
class _Batch:
    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    tokens: torch.Tensor


def _batch(lessons: Lessons, tokenizer: CLIPTokenizer, recipe: Recipe, step: int, place: Team) -> _Batch:
    rng = np.random.default_rng([recipe.seed, step, place.rank])
    generator = torch.Generator().manual_seed((recipe.seed * 1_000_000 + step) * place.size + place.rank)
    chosen = rng.integers(0, len(lessons.latents), max(1, recipe.denoiser_batch // place.size))
    kinds, styles = list(Kind), list(Style)
    texts = [
        "" if rng.random() < recipe.caption_dropout else caption(kinds[kind], styles[style], rng)
        for kind, style in zip(lessons.kinds[chosen], lessons.styles[chosen], strict=True)
    ]
    read = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    picked = lessons.latents[torch.from_numpy(chosen)]
    timesteps = torch.randint(0, 1000, (len(picked),), generator=generator)
    return _Batch(picked, torch.randn(picked.shape, generator=generator), timesteps, read.input_ids)


def _loss(model: Denoiser, scheduler: DDIMScheduler, batch: _Batch) -> torch.Tensor:
    noisy = scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
    target = scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        words = model.text_encoder(batch.tokens).last_hidden_state
        predicted = model.unet(noisy, batch.timesteps, words).sample
    return functional.mse_loss(predicted.float(), target)


def _follow(average: Denoiser, model: Denoiser, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1.0 - decay)


def _save(path: Path, step: int, model: Denoiser, average: Denoiser, optimiser: torch.optim.Optimizer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"step": step, "model": model.state(), "average": average.state(), "optimiser": optimiser.state_dict()}
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _resume(path: Path, model: Denoiser, average: Denoiser, optimiser: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state(state["model"])
    average.load_state(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    _log.info("denoiser: goes on after step %d of the interrupted training", state["step"])
    return int(state["step"])
