"""Builds tiny Stable Diffusion folders with random weights: real files in the real layout, for tests and measurements.

Their pictures show noise. They load in a fraction of a second and take milliseconds per step on one core.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from kerf_sd.architecture import Architecture

_TEXT_WIDTH = 32
_TOKENS = 77


def build_tiny_model(folder: Path, architecture: Architecture = Architecture.SD, *, seed: int = 0) -> Path:
    """Write a model of about 0.5 M random parameters, made for 64 px pictures, to `folder`; returns the folder.

    The tokenizer knows letters, digits and a few signs, so that a word takes one token per letter.
    The same seed gives the same weights. The global random state of torch is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build = _tiny_sdxl if architecture is Architecture.SDXL else _tiny_sd
        build().save_pretrained(folder, safe_serialization=True)
    return folder


def _tiny_sd() -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config(projection=_TEXT_WIDTH)).eval(),
        tokenizer=_tokenizer(),
        unet=UNet2DConditionModel(**_unet_config(cross_attention=_TEXT_WIDTH)).eval(),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _tiny_sdxl() -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel(
        **_unet_config(cross_attention=2 * _TEXT_WIDTH),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + _TEXT_WIDTH,
    )
    return StableDiffusionXLPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config(projection=_TEXT_WIDTH)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(projection=_TEXT_WIDTH)).eval(),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
    )


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    ).eval()


def _unet_config(cross_attention: int) -> dict[str, object]:
    return {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
        "cross_attention_dim": cross_attention,
    }


def _text_config(projection: int) -> CLIPTextConfig:
    vocabulary = _vocabulary()
    return CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=projection,
        max_position_embeddings=_TOKENS,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )


def _vocabulary() -> dict[str, int]:
    signs = string.ascii_lowercase + string.digits + ",.-"
    words = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=_vocabulary(), merges=[], model_max_length=_TOKENS)
