import json
import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kerf_starter.autoencoder import new_autoencoder, standardise_latents
from kerf_starter.bundle import MAX_FILE_BYTES, load_model
from kerf_starter.canvas import Style
from kerf_starter.dataset import as_tensor, draw_pictures
from kerf_starter.denoiser import Lessons, new_denoiser, train_denoiser
from kerf_starter.evaluation import EVALUATION_FILE, evaluate, generate
from kerf_starter.objects import Kind
from kerf_starter.reader import accuracy, read, train_reader
from kerf_starter.schedule import Recipe, warm_cosine
from kerf_starter.tokenizer import new_tokenizer
from kerf_starter.training import train
from kerf_starter.workers import Team
from kerf_world.drawing import SIZE_PX

# The sampler of diffusers 0.42 hands numpy 2 a tensor in a way that torch is to support later.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def test_a_quick_training_writes_a_model_that_draws_and_is_measured(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    train(Recipe.quick(), tmp_path / "work", weights)
    evaluate(Recipe.quick(), weights, tmp_path / "samples.png", quick=True)
    report = json.loads((weights / EVALUATION_FILE).read_text())
    assert report["pictures"] == len(Kind) * len(Style)
    assert 0.0 <= report["reader_on_generated"]["both"] <= 1.0
    assert cv2.imread(str(tmp_path / "samples.png")) is not None
    assert all(path.stat().st_size <= MAX_FILE_BYTES for path in weights.rglob("*") if path.is_file())
    assert not list(tmp_path.glob("weights.*"))


@pytest.fixture
def lessons() -> Lessons:
    noise = torch.randn((8, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    return Lessons(noise, np.arange(8) % len(Kind), np.arange(8) % len(Style))


def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, lessons: Lessons) -> None:
    tokenizer = new_tokenizer(["cat"])
    recipe = Recipe.quick()

    class Interrupted(Exception):
        pass

    def interrupt(_: object) -> None:
        raise Interrupted

    undisturbed = train_denoiser(lessons, tokenizer, recipe, tmp_path / "a", lambda _: None)
    with pytest.raises(Interrupted):
        train_denoiser(lessons, tokenizer, recipe, tmp_path / "b", interrupt)
    resumed = train_denoiser(lessons, tokenizer, recipe, tmp_path / "b", lambda _: None)
    for expected, actual in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, actual)


def test_training_moves_the_weights() -> None:
    tokenizer = new_tokenizer(["cat"])
    one, other = new_denoiser(tokenizer, 0), new_denoiser(tokenizer, 1)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_standardised_latents_decode_to_the_same_pictures() -> None:
    pictures = draw_pictures(1, 0)
    model = new_autoencoder(0).eval()
    pixels = as_tensor(pictures.pixels[:4])
    with torch.inference_mode():
        before = model.decode(model.encode(pixels).latent_dist.mean).sample
        standardise_latents(model, pictures, seed=0)
        latents = model.encode(pixels).latent_dist.mean
        after = model.decode(latents).sample
    assert torch.allclose(before, after, atol=1e-3)
    assert model.config.scaling_factor == pytest.approx(1.0, abs=0.05)


def test_workers_leave_a_meeting_with_the_mean_of_what_they_brought() -> None:
    shared, barrier = torch.zeros((2, 6)), threading.Barrier(2)
    brought = [[torch.full((2, 2), float(rank)), torch.full((2,), 10.0 * rank)] for rank in range(2)]
    workers = [
        threading.Thread(target=Team(rank, 2, shared, barrier).average, args=(brought[rank],)) for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for square, pair in brought:
        assert torch.equal(square, torch.full((2, 2), 0.5))
        assert torch.equal(pair, torch.full((2,), 5.0))


def test_a_worker_whose_fellow_has_died_does_not_wait_for_ever() -> None:
    barrier = threading.Barrier(2)
    barrier.abort()
    with pytest.raises(threading.BrokenBarrierError):
        Team(0, 2, torch.zeros((2, 4)), barrier).average([torch.zeros(4)])


def test_the_learning_rate_rises_then_falls() -> None:
    factors = [warm_cosine(step, 100, 10) for step in range(101)]
    assert factors[0] < factors[9] > factors[50] > factors[100] > 0.0


def test_the_reader_learns_from_drawings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    recipe = Recipe(pictures_per_pair=2, reader_steps=60, reader_batch=32)
    fresh = draw_pictures(1, 5_000_000)
    measured = accuracy(read(train_reader(recipe), fresh.pixels), fresh.kinds, fresh.styles)
    assert measured.style > 0.7
    assert measured.kind > 5.0 / len(Kind)


def test_generated_pictures_have_the_drawings_format(starter_weights: Path) -> None:
    drawn = generate(load_model(starter_weights), "silhouette of a heart", (1, 2), steps=2)
    assert drawn.shape == (2, SIZE_PX, SIZE_PX)
    assert drawn.dtype == np.uint8
