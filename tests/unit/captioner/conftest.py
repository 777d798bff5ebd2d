"""A desk on tiny real BLIP models: two layers, random weights, a dozen words."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
)

from kerf_captioner.adapters.shelf import Shelf
from kerf_captioner.domain.desk import CaptionDesk
from kerf_captioner.settings import CaptionerSettings
from kerf_captioner.wiring import build_desk, build_shelf, choose_compute_for
from kerf_media import encode_png_rgb

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
WORDS = ["a", "the", "of", "cat", "fox", "key", "moon", "picture", "drawing", "red", "black", "white", ","]
IMAGE_PX = 32
POSITIONS = 256


def build_tiny_blip(folder: Path, seed: int) -> Path:
    """A whole BLIP folder as `save_pretrained` writes it."""
    letters = string.ascii_lowercase + string.digits
    tokens = dict.fromkeys([*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)])
    tokenizer = BertTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, do_lower_case=True, bos_token="[DEC]"
    )
    shape = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 16}
    ids = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = {**shape, **ids, "vocab_size": len(tokenizer), "hidden_size": 24, "max_position_embeddings": POSITIONS}
    vision = {**shape, "hidden_size": 24, "image_size": IMAGE_PX, "patch_size": 8, "initializer_range": 1.0}
    torch.manual_seed(seed)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, initializer_range=0.5)
    model = BlipForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if "crossattention" in name:  # untrained, it would hardly look at the picture
            weight.data *= 6
    model.save_pretrained(folder)
    size = {"height": IMAGE_PX, "width": IMAGE_PX}
    BlipProcessor(BlipImageProcessorPil(size=size), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_blips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("blips")
    return {name: build_tiny_blip(root / name, seed) for seed, name in enumerate(("tiny", "other"))}


@pytest.fixture(scope="session")
def settings(tiny_blips: dict[str, Path]) -> CaptionerSettings:
    models: dict[str, object] = {name: str(folder) for name, folder in tiny_blips.items()}
    models["fixed"] = {"engine": "simple", "text": "a picture"}
    return CaptionerSettings.model_validate(
        {"models": models, "default_model": "tiny", "device": "cpu", "threads": 1, "kept_models": 1}
    )


@pytest.fixture
def shelf(settings: CaptionerSettings) -> Shelf:
    return build_shelf(settings, choose_compute_for(settings))


@pytest.fixture
def desk(settings: CaptionerSettings, shelf: Shelf) -> CaptionDesk:
    return build_desk(settings, shelf)


def shapes(seed: int = 0, side_px: int = 96) -> NDArray[np.uint8]:
    """A picture of smooth coloured blobs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side_px, :side_px] / side_px
    waves = [np.sin(rng.uniform(3, 12) * x + rng.uniform(0, 6)) * np.cos(rng.uniform(3, 12) * y) for _ in range(3)]
    return np.asarray(np.stack(waves, axis=2) * 127 + 128, np.uint8)


@pytest.fixture
def picture_png() -> Callable[[int], bytes]:
    return lambda seed: encode_png_rgb(shapes(seed))
