"""What the starter models are asked when they are measured: every held-out combination of one subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from numpy.typing import NDArray

from kerf_world.captions import caption
from kerf_world.scenes import Arrangement, Border, Scene, Split, Style, split_of

from .pictures import Pixels
from .syllabus import TAUGHT_SUBJECTS

STEPS = 20
GUIDANCE = 3.0
EXAMINATION_SEED = 7_000_000
"""Neither training nor judge draws from it."""
_BATCH = 8

Latents = torch.Tensor
OnGuess = Callable[[int, Latents], None]


@dataclass(frozen=True, slots=True)
class Question:
    """A scene that nothing was trained on, words for it, and the seed of the noise."""

    scene: Scene
    prompt: str
    seed: int


def examination() -> list[Question]:
    """Return one question for each held-out combination of a subject alone, a style and a border; equal every time."""
    return [_question(number, scene) for number, scene in enumerate(_held_out())]


def _held_out() -> Iterator[Scene]:
    number = 0
    for subject in TAUGHT_SUBJECTS:
        for style in Style:
            for border in Border:
                scene = Scene((subject,), style, Arrangement.ALONE, border, seed=EXAMINATION_SEED + number)
                number += 1
                if split_of(scene) is Split.HELD_OUT:
                    yield scene


def _question(number: int, scene: Scene) -> Question:
    words = caption(scene, np.random.default_rng([EXAMINATION_SEED, number]), styled=True)
    return Question(scene, words, EXAMINATION_SEED + number)


def generate(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    on_guess: OnGuess | None = None,
) -> Pixels:
    """Draw each prompt with its seed, as kerf does by default; returns (N, 128, 128) uint8, 255 = paper.

    `on_guess` gets, after each step, its number from 1 and the sampler's guess of the finished latents of one batch.
    """
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)

    def after_step(_: object, index: int, __: object, tensors: dict[str, Latents]) -> dict[str, Latents]:
        if on_guess is not None:
            on_guess(index + 1, pipeline.scheduler.model_outputs[-1])
        return {}

    drawn = []
    for start in range(0, len(prompts), _BATCH):
        run = slice(start, start + _BATCH)
        drawn.append(
            pipeline(
                list(prompts[run]),
                num_inference_steps=steps,
                guidance_scale=GUIDANCE,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[run]],
                output_type="np",
                callback_on_step_end=after_step,
            ).images
        )
    return _grey(np.concatenate(drawn))


def decoded(pipeline: StableDiffusionPipeline, latents: Latents) -> Pixels:
    """Decode scaled latents (N, 4, h, w) to (N, 8h, 8w) uint8."""
    with torch.inference_mode():
        rgb = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    return _grey((rgb.clamp(-1.0, 1.0) * 0.5 + 0.5).permute(0, 2, 3, 1).numpy())


def _grey(rgb: NDArray[np.float32]) -> Pixels:
    return np.asarray(np.round(rgb.mean(axis=3) * 255.0), dtype=np.uint8)
