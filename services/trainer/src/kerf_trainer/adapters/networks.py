"""The LoRA itself: small matrices beside the attention of a frozen model (Hu et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from kerf_sd.models import LoadedModel
from kerf_trainer.adapters.conditioning import generator
from kerf_trainer.domain.parameters import Parameters

DENOISER_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]
_ADAPTER = "kerf"


class LoraWeights:
    """The trained weights of one model, by name: `unet.<layer>.lora_A.weight` and so on."""

    def __init__(self, model: LoadedModel, parameters: Parameters) -> None:
        """Put a new LoRA beside the model's weights, which are frozen."""
        self._model = model
        self._scale = parameters.scale
        self._parts = ["unet", *(model.text_encoder_parts if parameters.train_text_encoder else [])]
        for part in ("unet", "vae", *model.text_encoder_parts):
            getattr(model.pipeline, part).requires_grad_(False)
        for part in self._parts:
            config = LoraConfig(
                r=parameters.rank,
                lora_alpha=parameters.rank * parameters.scale,  # type: ignore[arg-type]  # peft only divides it
                lora_dropout=parameters.dropout,
                target_modules=DENOISER_TARGETS if part == "unet" else TEXT_TARGETS,
            )
            inject_adapter_in_model(config, getattr(model.pipeline, part), adapter_name=_ADAPTER)
        self.named = self._collect()
        self._initialise(parameters)

    def _collect(self) -> dict[str, torch.nn.Parameter]:
        found = {}
        for part in self._parts:
            for name, weight in getattr(self._model.pipeline, part).named_parameters():
                if f".{_ADAPTER}." in name:
                    found[f"{part}.{name.replace(f'.{_ADAPTER}.', '.')}"] = weight.requires_grad_(True)
        return dict(sorted(found.items()))

    def _initialise(self, parameters: Parameters) -> None:
        # Every matrix from a seed of its own: neither the order of the layers nor peft's habits count.
        with torch.no_grad():
            for name, weight in self.named.items():
                if ".lora_B." in name:
                    weight.zero_()
                else:
                    start = torch.randn(weight.shape, generator=generator(parameters.seed, "start", name))
                    weight.copy_(start / parameters.rank)

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Set the weights. Raises KeyError or RuntimeError if they are of another LoRA."""
        with torch.no_grad():
            for name, weight in self.named.items():
                weight.copy_(tensors[name])

    def switch(self, *, on: bool) -> None:
        """Let the LoRA count, or not."""
        for part in self._parts:
            for layer in getattr(self._model.pipeline, part).modules():
                if isinstance(layer, BaseTunerLayer):
                    layer.enable_adapters(enabled=on)

    def exported(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """The weights in the layout of diffusers, with the scale (alpha / rank) folded in: any reader agrees on those.

        Text encoders get the inner level `text_model` that older libraries built and files still have.
        """
        tensors = {}
        for name, weight in self.named.items():
            part, _, layer = name.partition(".")
            if part != "unet" and not layer.startswith("text_model."):
                layer = f"text_model.{layer}"
            value = weight.detach().float().cpu() * (self._scale if ".lora_B." in name else 1.0)
            tensors[f"{part}.{layer}"] = value.to(dtype)
        return tensors

    def set_training(self, *, training: bool, gradient_checkpointing: bool) -> None:
        """Switch dropout and the like; recomputing of activations only while training."""
        for part in self._parts:
            network = getattr(self._model.pipeline, part)
            network.train(training)
            if gradient_checkpointing:
                _recompute(network, on=training)


def _recompute(network: Any, *, on: bool) -> None:
    if hasattr(network, "enable_gradient_checkpointing"):  # diffusers' name of it; the other is transformers'
        (network.enable_gradient_checkpointing if on else network.disable_gradient_checkpointing)()
    else:
        (network.activation_checkpointing_enable if on else network.activation_checkpointing_disable)()
