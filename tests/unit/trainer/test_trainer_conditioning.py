"""Pictures and captions reach the denoiser in training as they do when pictures are drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kerf_media.encode import encode_png_rgb
from kerf_models.devices import choose_compute
from kerf_sd.models import LIBRARIES, LoadedModel, load_model
from kerf_trainer.adapters.conditioning import CaptionReader, encode_pictures
from kerf_trainer.adapters.training import Lessons, LoraTraining
from kerf_trainer.domain.dataset import Pair
from kerf_trainer.domain.parameters import Parameters
from kerf_trainer.settings import TrainerSettings


@pytest.fixture(params=["tiny", "tiny-xl"])
def model(request: pytest.FixtureRequest, settings: TrainerSettings) -> LoadedModel:
    return load_model(
        settings.models[request.param].source, compute=choose_compute("cpu", threads=1, libraries=LIBRARIES)
    )


def pair(rows: int, columns: int, *, dark_rows: int = 0) -> Pair:
    pixels = np.full((rows, columns, 3), 255, np.uint8)
    pixels[:dark_rows] = 0
    return Pair(f"{rows}.png", encode_png_rgb(pixels), "a fox", f"{rows}x{columns}")


@pytest.mark.parametrize("remembers", [True, False])
def test_captions_are_read_as_the_pipeline_reads_prompts(model: LoadedModel, remembers: bool) -> None:
    reader = CaptionReader(model, remembers=remembers)
    if remembers:
        reader.remember(["a fox", "an owl", ""], lambda: None)
    with torch.no_grad():
        words = reader.read(["an owl", "a fox", ""])
        wanted = model.pipeline.encode_prompt(
            "a fox", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
        )
    assert torch.allclose(words.hidden[1], wanted[0][0], atol=1e-6)
    assert torch.allclose(words.hidden[2], wanted[1][0], atol=1e-6)
    if words.pooled is not None:
        assert torch.allclose(words.pooled[1], wanted[2][0], atol=1e-6)
        assert torch.allclose(words.pooled[2], wanted[3][0], atol=1e-6)
    assert (words.pooled is not None) == (model.architecture.value == "sdxl")


def test_pictures_are_fitted_to_a_square_around_their_middle(model: LoadedModel) -> None:
    latents = encode_pictures(model, [pair(64, 64), pair(96, 64), pair(32, 128)], 64, 1, lambda: None)
    assert all(latent.values.shape == (4, 8, 8) for latent in latents)
    assert latents[1].sizes.tolist() == [96, 64, 16, 0, 64, 64]
    assert latents[2].sizes.tolist() == [32, 128, 0, 96, 64, 64]


def test_what_is_cut_away_does_not_count(model: LoadedModel) -> None:
    plain, dark_above = pair(96, 64), pair(96, 64, dark_rows=16)
    first, second = encode_pictures(model, [plain, dark_above], 64, 1, lambda: None)
    assert torch.equal(first.values, second.values)


def test_a_picture_is_encoded_the_same_whatever_lies_beside_it(model: LoadedModel) -> None:
    alone = encode_pictures(model, [pair(64, 64)], 64, 1, lambda: None)[0]
    together = encode_pictures(model, [pair(96, 64), pair(64, 64)], 64, 1, lambda: None)[1]
    assert torch.equal(alone.values, together.values)
    other_seed = encode_pictures(model, [pair(64, 64)], 64, 2, lambda: None)[0]
    assert not torch.equal(alone.values, other_seed.values)


def test_every_picture_is_seen_once_an_epoch(model: LoadedModel) -> None:
    latents = encode_pictures(model, [pair(64, 64)] * 5, 64, 1, lambda: None)
    reader = CaptionReader(model, remembers=False)
    training = LoraTraining(model, Parameters(rank=2, seed=1), 10, Lessons(latents, ["a"] * 5), reader)
    seen = [training._picture(number) for number in range(15)]
    epochs = [seen[0:5], seen[5:10], seen[10:15]]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
