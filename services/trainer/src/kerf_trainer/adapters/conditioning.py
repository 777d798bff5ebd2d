"""Pictures to latents, captions to what the denoiser reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from kerf_media.decode import PictureLimits, decode_picture
from kerf_sd.architecture import Architecture
from kerf_sd.models import LoadedModel
from kerf_trainer.domain.dataset import Pair
from kerf_trainer.domain.engine import Check
from kerf_trainer.domain.parameters import drawn_seed

_CHECKED_BEFORE = PictureLimits(max_bytes=1 << 40, max_pixels=89_000_000, max_side_px=1 << 30)
"""The linter has held the dataset to the operator's limits."""


@dataclass(frozen=True)
class Words:
    """What the denoiser reads of captions: (N, tokens, width), and for SDXL the pooled text (N, width)."""

    hidden: torch.Tensor
    pooled: torch.Tensor | None


@dataclass(frozen=True)
class Latent:
    """A picture as the autoencoder sees it, (4, h, w) float32 on the CPU, and SDXL's six numbers about its size."""

    values: torch.Tensor
    sizes: torch.Tensor


def encode_pictures(model: LoadedModel, pairs: Sequence[Pair], side_px: int, seed: int, check: Check) -> list[Latent]:
    """Latents of all pictures, each cut to a square around its middle; one at a time, so that none changes another."""
    autoencoder = model.pipeline.vae
    latents = []
    for pair in pairs:
        check()
        pixels, sizes = _fitted(pair, side_px)
        with torch.no_grad():
            spread = autoencoder.encode(pixels.to(model.compute.device)).latent_dist
        noise = torch.randn(spread.mean.shape, generator=generator(seed, "latent", pair.sha256))
        values = spread.mean.cpu() + spread.std.cpu() * noise
        values = (
            values - (getattr(autoencoder.config, "shift_factor", None) or 0.0)
        ) * autoencoder.config.scaling_factor
        latents.append(Latent(values[0], sizes))
    return latents


def generator(*parts: object) -> torch.Generator:
    """Random numbers that depend on `parts` alone; on the CPU whatever the device."""
    return torch.Generator("cpu").manual_seed(drawn_seed(*parts))


def _fitted(pair: Pair, side_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture from -1 to 1, (1, 3, side, side), and (height, width, top, left, side, side) as SDXL is told."""
    rgb = decode_picture(pair.data, _CHECKED_BEFORE).rgb
    rows, columns = rgb.shape[:2]
    pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    scale = side_px / min(rows, columns)
    high, wide = max(side_px, round(rows * scale)), max(side_px, round(columns * scale))
    if (high, wide) != (rows, columns):
        pixels = functional.interpolate(pixels, (high, wide), mode="bicubic", antialias=True).clamp(-1.0, 1.0)
    top, left = (high - side_px) // 2, (wide - side_px) // 2
    sizes = torch.tensor([rows, columns, top, left, side_px, side_px], dtype=torch.float32)
    return pixels[:, :, top : top + side_px, left : left + side_px], sizes


class CaptionReader:
    """Turns captions into what the denoiser reads; remembers it while the text encoders stay as they are."""

    def __init__(self, model: LoadedModel, *, remembers: bool) -> None:
        self._model = model
        self._remembers = remembers
        self._known: dict[str, Words] = {}
        config = model.pipeline.config
        self._nothing_is_zero = bool(getattr(config, "force_zeros_for_empty_prompt", False))

    def remember(self, captions: Sequence[str], check: Check) -> None:
        """Read captions ahead, one at a time."""
        for caption in dict.fromkeys(captions):
            check()
            with torch.no_grad():
                words = self._encode([caption])
            pooled = None if words.pooled is None else words.pooled.cpu()
            self._known[caption] = Words(words.hidden.cpu(), pooled)

    def read(self, captions: Sequence[str]) -> Words:
        """What the denoiser reads of a batch, on the model's device."""
        if not self._remembers:
            return self._encode(captions)
        known = [self._known[caption] for caption in captions]
        device = self._model.compute.device
        hidden = torch.cat([words.hidden for words in known]).to(device)
        pooled = [words.pooled for words in known if words.pooled is not None]
        return Words(hidden, torch.cat(pooled).to(device) if pooled else None)

    def _encode(self, captions: Sequence[str]) -> Words:
        pipeline = self._model.pipeline
        if self._model.architecture is not Architecture.SDXL:
            ids = self._ids(pipeline.tokenizer, captions)
            return Words(pipeline.text_encoder(ids)[0], None)
        # SDXL reads the last but one layer of both encoders, and the second one's pooled text.
        first = pipeline.text_encoder(self._ids(pipeline.tokenizer, captions), output_hidden_states=True)
        second = pipeline.text_encoder_2(self._ids(pipeline.tokenizer_2, captions), output_hidden_states=True)
        hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        pooled = second[0]
        if self._nothing_is_zero:
            # As when pictures are drawn without a negative prompt, so that guidance compares with what was learnt.
            keep = torch.tensor([float(bool(caption)) for caption in captions], device=hidden.device)
            hidden, pooled = hidden * keep[:, None, None], pooled * keep[:, None]
        return Words(hidden, pooled)

    def _ids(self, tokenizer: Any, captions: Sequence[str]) -> torch.Tensor:
        read = tokenizer(
            list(captions),
            padding="max_length",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        )
        ids: torch.Tensor = read.input_ids.to(self._model.compute.device)
        return ids
