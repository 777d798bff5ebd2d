"""Mixes LoRAs into a loaded model. A file may be in the layout of diffusers or of kohya's scripts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.utils import convert_unet_state_dict_to_peft, set_adapter_layers

from kerf_core.errors import FailedPrecondition
from kerf_sd.lora_files import LoraFile, Tensors, read_tensors
from kerf_sd.models import LoadedModel

_CONVERT_ERRORS = (ValueError, KeyError, IndexError, RuntimeError, TypeError, AttributeError, NotImplementedError)
"""What the libraries raise for names and shapes that they do not expect."""
_TEXT_NAMES = (
    (".to_q_lora.", ".q_proj.lora."),
    (".to_k_lora.", ".k_proj.lora."),
    (".to_v_lora.", ".v_proj.lora."),
    (".to_out_lora.", ".out_proj.lora."),
    (".lora_linear_layer.", ".lora."),
    (".lora.down.", ".lora_A."),
    (".lora.up.", ".lora_B."),
)
"""Older names of a text encoder's layers, and what peft calls them; applied in this order."""
_HALVES = ("lora_A.weight", "lora_B.weight")


@dataclass(frozen=True)
class LoraLayers:
    """A LoRA made ready for one model."""

    parts: dict[str, Tensors]
    """Per part of the model (`unet`, `text_encoder` …) the tensors under peft's names."""
    left_out: int
    """Layers of the file that the model does not have."""


class LoraMixer:
    """Keeps LoRAs beside a model's weights and switches them on and off. Not thread-safe.

    The model's own weights are never changed (no fusing), so a picture without LoRAs is bit for bit the same before
    and after.
    """

    def __init__(self, model: LoadedModel, kept: int = 8) -> None:
        self._model = model
        self._kept = kept
        self._left_out: OrderedDict[str, int] = OrderedDict()  # by adapter, least recently used first

    def apply(self, mix: Sequence[tuple[LoraFile, float]]) -> list[str]:
        """Make `mix` the LoRAs of the model, with their weights; an empty mix switches all off. Returns warnings.

        The same file named twice counts with the sum of its weights; a sum of 0 is as good as not named.
        Raises FailedPrecondition LORA_BROKEN or LORA_DOES_NOT_FIT; the model then has no LoRAs switched on.
        """
        self._switch(on=False)
        weights: dict[LoraFile, float] = {}
        for file, weight in mix:
            weights[file] = weights.get(file, 0.0) + weight
        active = {file: weight for file, weight in weights.items() if weight != 0}
        warnings = [warning for file in active for warning in self._load(file)]
        if active:
            self._switch(on=True)
            self._model.pipeline.set_adapters([_adapter_name(file) for file in active], list(active.values()))
        self._evict(keep={_adapter_name(file) for file in active})
        return warnings

    def _load(self, file: LoraFile) -> list[str]:
        adapter = _adapter_name(file)
        if adapter not in self._left_out:
            layers = read_lora(file, self._model)
            self._attach(adapter, layers, file)
            self._left_out[adapter] = layers.left_out
        self._left_out.move_to_end(adapter)
        missing = self._left_out[adapter]
        return [f"LoRA {file.name!r}: {missing} of its layers are not in the model and do nothing"] if missing else []

    def _attach(self, adapter: str, layers: LoraLayers, file: LoraFile) -> None:
        pipeline = self._model.pipeline
        try:
            for part, state in layers.parts.items():
                if part == "unet":
                    pipeline.unet.load_lora_adapter(state, prefix=None, adapter_name=adapter, low_cpu_mem_usage=True)
                    continue
                pipeline.load_lora_into_text_encoder(
                    {f"{part}.{key}": tensor for key, tensor in state.items()},
                    network_alphas=None,
                    text_encoder=getattr(pipeline, part),
                    prefix=part,
                    adapter_name=adapter,
                    low_cpu_mem_usage=True,
                )
        except _CONVERT_ERRORS as error:
            pipeline.unload_lora_weights()  # all of them: what was half attached has no name to remove it by
            self._left_out.clear()
            raise _does_not_fit(file, self._model, _first_line(error)) from error
        self._switch(on=False)

    def _switch(self, *, on: bool) -> None:
        for part in ("unet", *self._model.text_encoder_parts):
            set_adapter_layers(getattr(self._model.pipeline, part), enabled=on)

    def _evict(self, keep: set[str]) -> None:
        for adapter in [name for name in self._left_out if name not in keep]:
            if len(self._left_out) <= self._kept:
                return
            self._model.pipeline.delete_adapters(adapter)
            del self._left_out[adapter]


def read_lora(file: LoraFile, model: LoadedModel) -> LoraLayers:
    """Read a LoRA and check every layer against the model, without changing the model.

    Raises FailedPrecondition LORA_BROKEN (no whole safetensors file) or LORA_DOES_NOT_FIT (no layer of the model, a
    wrong shape, values that are no numbers, or a network that is no LoRA, such as DoRA or LoHa).
    """
    state = read_tensors(file)
    try:
        converted = model.pipeline.lora_state_dict(state, unet_config=model.pipeline.unet.config)[0]
        parts = _by_part(converted, model)
    except _CONVERT_ERRORS as error:
        raise _does_not_fit(file, model, _first_line(error)) from error
    left_out = sum(
        1 for key in converted if key.split(".")[0] not in parts and key.endswith((".down.weight", "A.weight"))
    )
    for part, tensors in parts.items():
        parts[part], missing = _fitting(part, tensors, file, model)
        left_out += missing
    parts = {part: tensors for part, tensors in parts.items() if tensors}
    if not parts:
        raise _does_not_fit(file, model, "none of its layers is in the model")
    return LoraLayers(parts, left_out)


def _by_part(state: Tensors, model: LoadedModel) -> dict[str, Tensors]:
    def under(prefix: str) -> Tensors:
        return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}

    parts = {"unet": convert_unet_state_dict_to_peft(under("unet."))}
    for part in model.text_encoder_parts:
        found = under(f"{part}.")
        if found:
            parts[part] = {_peft_text_key(key): tensor for key, tensor in found.items()}
    return parts


def _peft_text_key(key: str) -> str:
    # diffusers has a converter too, but it guesses the layout from the output projection and fails where there is none.
    for old, new in _TEXT_NAMES:
        key = key.replace(old, new)
    return key


def _fitting(part: str, tensors: Tensors, file: LoraFile, model: LoadedModel) -> tuple[Tensors, int]:
    network: torch.nn.Module = getattr(model.pipeline, part)
    flat = not hasattr(network, "text_model")  # newer transformers builds CLIPTextModel without this inner level
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        layer, half = next(((key.removesuffix(f".{half}"), half) for half in _HALVES if key.endswith(half)), ("", ""))
        if not half:
            raise _does_not_fit(file, model, f"{part}.{key} belongs to no plain LoRA")
        layer = layer.removeprefix("text_model.") if flat else layer
        layers.setdefault(layer, {})[half] = tensor
    fitting: Tensors = {}
    missing = 0
    for layer, halves in layers.items():
        weight = _weight_of(network, layer)
        if weight is None:
            missing += 1
            continue
        problem = _misfit(halves, weight)
        if problem:
            raise _does_not_fit(file, model, f"{part}.{layer} {problem}")
        fitting.update({f"{layer}.{half}": tensor for half, tensor in halves.items()})
    return fitting, missing


def _weight_of(network: torch.nn.Module, layer: str) -> torch.Tensor | None:
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        return None
    weight = getattr(getattr(module, "base_layer", module), "weight", None)  # base_layer: another LoRA is attached
    return weight if isinstance(weight, torch.Tensor) else None


def _misfit(halves: dict[str, torch.Tensor], weight: torch.Tensor) -> str:
    down, up = (halves.get(half) for half in _HALVES)
    if down is None or up is None:
        return "has only one of its two matrices"
    wanted_down = (down.shape[0], weight.shape[1], *weight.shape[2:])
    wanted_up = (weight.shape[0], down.shape[0], *(1 for _ in weight.shape[2:]))
    if tuple(down.shape) != wanted_down or tuple(up.shape) != wanted_up:
        return f"has shapes {tuple(down.shape)} and {tuple(up.shape)} where {wanted_down} and {wanted_up} belong"
    if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
        return "holds values that are no finite numbers"
    return ""


def _does_not_fit(file: LoraFile, model: LoadedModel, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        "LORA_DOES_NOT_FIT",
        f"LoRA {file.name!r} does not fit the {model.architecture} model {model.folder.path.name}: {why};"
        " use a LoRA that was trained for this model",
    )


def _adapter_name(file: LoraFile) -> str:
    # peft's names must not hold dots; by content, so that a changed file is another adapter.
    return f"lora_{file.sha256[:16]}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
