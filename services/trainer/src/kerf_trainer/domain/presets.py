"""Values that go together, by name."""

from __future__ import annotations

from dataclasses import dataclass

from kerf_core.errors import FailedPrecondition, InvalidArgument
from kerf_trainer.domain.parameters import Parameters, Schedule

STARTER_MAX_SIDE_PX = 256
"""Base models up to this native size count as starter models: the large ones' presets would ask too much of them."""


@dataclass(frozen=True)
class Preset:
    """A named set of parameters."""

    name: str
    description: str
    architectures: tuple[str, ...]
    parameters: Parameters


_ALL = (
    Preset(
        "fast",
        "A first look within minutes on a GPU: 512 px, rank 8, every picture 5 times.",
        ("sd", "sdxl"),
        Parameters(rank=8, learning_rate=2e-4, batch_size=2, epochs=5, resolution_px=512, warmup_steps=10),
    ),
    Preset(
        "high_quality",
        "More detail for a patient owner: 768 px, rank 64, every picture 20 times.",
        ("sd", "sdxl"),
        Parameters(
            rank=64,
            alpha=32.0,
            learning_rate=1e-4,
            batch_size=1,
            accumulation=4,
            epochs=20,
            resolution_px=768,
            warmup_steps=50,
            noise_offset=0.03,
            gradient_checkpointing=True,
            checkpoint_every_steps=100,
        ),
    ),
    Preset(
        "sd15",
        "Stable Diffusion 1.x and 2.x: 512 px, rank 16.",
        ("sd",),
        Parameters(rank=16, learning_rate=1e-4, batch_size=2, epochs=15, resolution_px=512, warmup_steps=50),
    ),
    Preset(
        "sdxl",
        "Stable Diffusion XL: 1024 px, rank 32. Wants a GPU with 24 GB.",
        ("sdxl",),
        Parameters(
            rank=32,
            alpha=16.0,
            learning_rate=1e-4,
            batch_size=1,
            accumulation=2,
            epochs=12,
            resolution_px=1024,
            warmup_steps=50,
            gradient_checkpointing=True,
            checkpoint_every_steps=100,
        ),
    ),
    Preset(
        "starter",
        "kerf's own starter model on a CPU: 128 px, rank 8, a minute on 2 cores.",
        ("sd",),
        Parameters(
            rank=8,
            learning_rate=3e-3,
            schedule=Schedule.COSINE,
            min_snr_gamma=0.0,  # min-SNR weights silence the fine steps, which make a style
            batch_size=8,
            steps=250,
            resolution_px=128,
            warmup_steps=10,
            caption_dropout=0.1,
            checkpoint_every_steps=25,
        ),
    ),
)
PRESETS = {preset.name: preset for preset in _ALL}


def choose_preset(name: str, architecture: str, native_size_px: int) -> Preset:
    """The preset of that name, or for an empty name the one that fits the base model.

    Raises InvalidArgument PRESET_UNKNOWN, FailedPrecondition PRESET_DOES_NOT_FIT.
    """
    if not name:
        if architecture == "sd" and native_size_px <= STARTER_MAX_SIDE_PX:
            return PRESETS["starter"]
        return PRESETS["sdxl" if architecture == "sdxl" else "sd15"]
    preset = PRESETS.get(name)
    if preset is None:
        known = ", ".join(sorted(PRESETS))
        raise InvalidArgument.of_field("preset", f"{name!r} is not known; known: {known}", "PRESET_UNKNOWN")
    if architecture not in preset.architectures:
        fitting = ", ".join(known for known, other in sorted(PRESETS.items()) if architecture in other.architectures)
        raise FailedPrecondition(
            "PRESET_DOES_NOT_FIT",
            f"preset {name!r} is for {' and '.join(preset.architectures)}, the base model is {architecture};"
            f" use one of {fitting}",
        )
    return preset
