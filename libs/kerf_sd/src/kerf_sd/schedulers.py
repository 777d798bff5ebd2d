"""Samplers: which diffusers scheduler stands for which name, and with what settings.

A scheduler is always made from the model's own scheduler configuration (betas, prediction type, spacing), because a
model draws well only with the noise schedule that it was trained with.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import diffusers

from kerf_core.errors import FailedPrecondition


class SchedulerKind(StrEnum):
    """The samplers that kerf offers."""

    MODEL_DEFAULT = "model-default"
    """Class and settings as the model folder has them."""
    DDIM = "ddim"
    """Song, Meng and Ermon, 2020; deterministic (eta 0)."""
    DPMPP_2M = "dpmpp-2m"
    """DPM-Solver++, second order multistep (Lu et al., 2022)."""
    DPMPP_2M_KARRAS = "dpmpp-2m-karras"
    """The same with the noise levels of Karras et al., 2022."""
    EULER = "euler"
    """Karras et al., 2022."""
    EULER_ANCESTRAL = "euler-ancestral"
    """Draws noise at every step, from the picture's own generator."""
    UNIPC = "unipc"
    """Zhao et al., 2023."""


_CLASSES: dict[SchedulerKind, tuple[str, dict[str, Any]]] = {
    SchedulerKind.DDIM: ("DDIMScheduler", {}),
    SchedulerKind.DPMPP_2M: (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": False},
    ),
    SchedulerKind.DPMPP_2M_KARRAS: (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    SchedulerKind.EULER: ("EulerDiscreteScheduler", {"use_karras_sigmas": False}),
    SchedulerKind.EULER_ANCESTRAL: ("EulerAncestralDiscreteScheduler", {}),
    SchedulerKind.UNIPC: ("UniPCMultistepScheduler", {"solver_order": 2, "use_karras_sigmas": False}),
}

_OWN_CLASSES = frozenset(
    {
        "DDIMScheduler",
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LCMScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "UniPCMultistepScheduler",
    }
)
"""What a model folder may name as its own scheduler."""


def check_scheduler_class(name: str, folder: str) -> None:
    """Raise FailedPrecondition MODEL_NOT_SUPPORTED if a model's own scheduler is not one that kerf knows."""
    if name not in _OWN_CLASSES:
        raise FailedPrecondition(
            "MODEL_NOT_SUPPORTED",
            f"model folder {folder}: scheduler {name!r} is not one of {', '.join(sorted(_OWN_CLASSES))}",
        )


def make_scheduler(kind: SchedulerKind, own: diffusers.SchedulerMixin) -> diffusers.SchedulerMixin:
    """A fresh scheduler without any state, made from the model's own scheduler `own`, which stays as it is."""
    if kind is SchedulerKind.MODEL_DEFAULT:
        return type(own).from_config(own.config)
    name, settings = _CLASSES[kind]
    return getattr(diffusers, name).from_config(own.config, **settings)
