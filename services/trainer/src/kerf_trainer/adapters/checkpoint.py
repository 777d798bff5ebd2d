"""The whole state of a training as bytes: a safetensors file with a JSON header, nothing pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from kerf_trainer.adapters.container import read_container, write_container
from kerf_trainer.adapters.training import LoraTraining

FORMAT = 1
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Origin:
    """Where a state belongs."""

    fingerprint: str
    """Of everything that decides the result."""
    numeric_class: str


def write_checkpoint(training: LoraTraining, origin: Origin) -> bytes:
    """The state after the last whole step."""
    tensors: dict[str, torch.Tensor] = {}
    counts: dict[str, float] = {}
    for name, weight in training.weights.named.items():
        tensors[f"weight/{name}"] = weight
        moments = training.optimiser.state.get(weight, {})
        for moment in _MOMENTS:
            if moment in moments:
                tensors[f"{moment}/{name}"] = moments[moment]
        if "step" in moments:
            counts[name] = float(moments["step"])
    tensors["losses"] = torch.tensor(training.losses, dtype=torch.float64)
    tensors["smoothed"] = torch.tensor(training.smoothed, dtype=torch.float64)
    header = {
        "format": FORMAT,
        "step": training.step,
        "fingerprint": origin.fingerprint,
        "numeric_class": origin.numeric_class,
        "optimiser_steps": counts,
        "scaler": training.scaler.state_dict(),
    }
    return write_container(tensors, {"kerf_checkpoint": json.dumps(header, sort_keys=True)})


def read_checkpoint(training: LoraTraining, data: bytes, origin: Origin) -> str:
    """Put a state into a fresh training; returns what the owner should know, or nothing.

    Raises ValueError, saying why, if the state belongs to another training or is damaged; nothing was changed then.
    """
    tensors, metadata = read_container(data)
    header = json.loads(metadata.get("kerf_checkpoint", "{}"))
    if header.get("format") != FORMAT:
        raise ValueError("it is of another version of this trainer")
    if header["fingerprint"] != origin.fingerprint:
        raise ValueError("the base model, the dataset or the parameters have changed since")
    wanted = {name: weight.shape for name, weight in training.weights.named.items()}
    if any(f"weight/{name}" not in tensors or tensors[f"weight/{name}"].shape != wanted[name] for name in wanted):
        raise ValueError("it lacks weights")
    training.weights.load({name: tensors[f"weight/{name}"] for name in wanted})
    for name, weight in training.weights.named.items():
        if name in header["optimiser_steps"]:
            training.optimiser.state[weight] = {
                "step": torch.tensor(header["optimiser_steps"][name], dtype=torch.float32),
                **{moment: tensors[f"{moment}/{name}"].to(weight.device) for moment in _MOMENTS},
            }
    training.scaler.load_state_dict(header["scaler"])
    training.losses = tensors["losses"].tolist()
    training.smoothed = tensors["smoothed"].tolist()
    if header["numeric_class"] != origin.numeric_class:
        return (
            "the training began on another class of machine: the result is as good, but not bit for bit that of an"
            f" undisturbed one (began on {header['numeric_class']!r})"
        )
    return ""
