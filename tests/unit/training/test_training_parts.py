"""The training scripts: every part runs, goes on where it was interrupted, and writes what others can load."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextModel

from kerf_starter.captioner_evaluation import as_colour, captions_of, load_captioner
from kerf_starter.tokenizer import new_tokenizer
from kerf_starter.workers import Team
from kerf_training.autoencoder import new_autoencoder, standardise_latents
from kerf_training.bundle import MAX_FILE_BYTES, PREVIEW_DECODER, load_model
from kerf_training.captioner import Pupil, train_captioner, write_captioner
from kerf_training.control import controls_once, new_controlnet, train_controlnet, which_control
from kerf_training.course import Course, take
from kerf_training.denoiser import Denoiser, new_unet
from kerf_training.measuring import generate
from kerf_training.pictures import as_tensor, drawn_once, training_scenes
from kerf_training.reading import new_text_encoder, train_text_encoder
from kerf_training.schedule import Recipe
from kerf_training.sentences import new_bert_tokenizer
from kerf_training.syllabus import TAUGHT_SUBJECTS
from kerf_training.training import train_model
from kerf_training.words import taught_words
from kerf_world.kinds import Kind, Subject
from kerf_world.scenes import Scene, Split, Style, split_of

# The sampler of diffusers 0.42 hands numpy 2 a tensor in a way that torch is to support later.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def test_a_quick_training_writes_a_model_that_draws(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    train_model(Recipe.quick(), tmp_path / "work", weights)
    assert generate(load_model(weights), ["silhouette of a heart"], [1], steps=1).shape == (1, 128, 128)
    AutoencoderTiny.from_pretrained(weights / PREVIEW_DECODER)
    assert all(path.stat().st_size <= MAX_FILE_BYTES for path in weights.rglob("*") if path.is_file())
    assert not list(tmp_path.glob("weights.*"))
    assert not [*tmp_path.rglob("*.unfinished"), *tmp_path.rglob("unfinished.npy")]


@dataclass(frozen=True)
class FollowingNoise:
    """A lesson that takes a millisecond."""

    stop_at: int = 10_000

    def new_model(self) -> nn.Linear:
        torch.manual_seed(0)
        return nn.Linear(3, 2)

    def loss(self, model: nn.Linear, step: int, place: Team) -> torch.Tensor:
        if step == self.stop_at:
            raise InterruptedError
        seen = torch.randn((4, 3), generator=torch.Generator().manual_seed(step * place.size + place.rank))
        loss: torch.Tensor = model(seen).square().mean()
        return loss


def length(model: nn.Linear) -> float:
    return float(model.weight.detach().norm())


CAT = Scene((Subject(Kind.CAT),), Style.LINE_ART, seed=1)
COURSE = Course("test", steps=24, batch=4, rate=1e-2, workers=1, meet_every_steps=2, save_every_steps=6)


@pytest.mark.parametrize("stop_at", [0, 5, 6, 13, 23])
def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, stop_at: int) -> None:
    undisturbed = take(COURSE, FollowingNoise(), tmp_path / "a.pt")
    with pytest.raises(InterruptedError):
        take(COURSE, FollowingNoise(stop_at), tmp_path / "b.pt")
    resumed = take(COURSE, FollowingNoise(), tmp_path / "b.pt")
    for expected, actual in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, actual)


def test_training_learns_and_tells_of_each_save(tmp_path: Path) -> None:
    saved: list[float] = []
    course = replace(COURSE, steps=300, save_every_steps=100, average_decay=0.9)
    learned = take(course, FollowingNoise(), tmp_path / "c.pt", lambda model: saved.append(length(model)))
    assert len(saved) == 3
    assert saved[0] > saved[-1] == pytest.approx(length(learned))
    assert saved[-1] < 0.3 * length(FollowingNoise().new_model())


def test_nothing_that_is_held_out_is_trained_on() -> None:
    scenes = training_scenes(300, 1)
    assert scenes == training_scenes(300, 1)
    assert {split_of(scene) for scene in scenes} == {Split.TRAIN}
    assert {subject for scene in scenes for subject in scene.subjects} <= set(TAUGHT_SUBJECTS)


def test_pictures_are_drawn_once(tmp_path: Path) -> None:
    scenes = training_scenes(3, 2)
    drawn = drawn_once(scenes, tmp_path / "pictures.npy", workers=1)
    made = (tmp_path / "pictures.npy").stat().st_mtime_ns
    assert np.array_equal(drawn, drawn_once(scenes, tmp_path / "pictures.npy", workers=1))
    assert (tmp_path / "pictures.npy").stat().st_mtime_ns == made
    tensor = as_tensor(drawn)
    assert tensor.shape == (3, 3, 128, 128)
    assert float(tensor.max()) == 1.0


def test_standardised_latents_decode_to_the_same_pictures(tmp_path: Path) -> None:
    drawn = drawn_once(training_scenes(40, 3), tmp_path / "pictures.npy", workers=1)
    model = new_autoencoder(0).eval()
    pixels = as_tensor(drawn[:4])
    with torch.inference_mode():
        before = model.decode(model.encode(pixels).latent_dist.mean).sample
        standardise_latents(model, drawn, seed=0)
        latents = model.encode(pixels).latent_dist.mean
        after = model.decode(latents).sample
    # Encoding a sample for its mean happens in half precision.
    assert torch.allclose(before, after, atol=1e-3)
    assert model.config.scaling_factor == pytest.approx(1.0, abs=0.05)


def test_the_text_encoder_learns_to_tell_words_apart(tmp_path: Path) -> None:
    scenes = [replace(CAT, subjects=(subject,)) for subject in (Subject(Kind.CAT), Subject(Kind.BOAT))]
    tokenizer = new_tokenizer([word.text for word in taught_words()])
    course = Course("reading", steps=60, batch=16, rate=3e-3, warm_steps=5, workers=1, meet_every_steps=1)
    learned = train_text_encoder(scenes, tokenizer, course, 0, tmp_path / "reading.pt")
    untaught = new_text_encoder(tokenizer, 0)

    def apart(model: CLIPTextModel) -> float:
        texts = ["line art of a cat", "a kitten, outline", "line art of a boat", "a sailboat, outline"]
        read = tokenizer(texts, padding="max_length", return_tensors="pt")
        with torch.inference_mode():
            cat, kitten, boat, sailboat = model(read.input_ids).last_hidden_state.mean(dim=1)
        across = torch.cosine_similarity(cat, boat, dim=0) + torch.cosine_similarity(kitten, sailboat, dim=0)
        within = torch.cosine_similarity(cat, kitten, dim=0) + torch.cosine_similarity(boat, sailboat, dim=0)
        return float(within - across)

    assert apart(learned) > apart(untaught) + 0.2


def test_a_controlnet_begins_without_a_say_and_learns(tmp_path: Path) -> None:
    recipe, scenes = Recipe.quick(), training_scenes(4, 4)
    controls = controls_once(scenes, tmp_path / "controls.npy", workers=1)
    assert controls.shape == (4, 128, 128)
    assert len({which_control(scene) for scene in training_scenes(100, 4)}) == 4
    tokenizer = new_tokenizer(["cat"])
    denoiser = Denoiser(new_text_encoder(tokenizer, 0), new_unet(0))
    fresh = new_controlnet(denoiser)
    before = {name: weights.clone() for name, weights in denoiser.state_dict().items()}
    learned = train_controlnet(
        tmp_path / "controls.npy",
        torch.randn(4, 4, 16, 16),
        scenes,
        tokenizer,
        denoiser,
        recipe.control,
        0,
        tmp_path / "control.pt",
    )
    assert not any(layer.weight.any() for layer in fresh.controlnet_down_blocks)
    assert any(layer.weight.any() for layer in learned.controlnet_down_blocks)
    assert all(torch.equal(weights, before[name]) for name, weights in denoiser.state_dict().items())


def test_a_quick_captioner_loads_and_says_something(tmp_path: Path) -> None:
    scenes = training_scenes(4, 5)
    drawn = drawn_once(scenes, tmp_path / "pictures.npy", workers=1)
    course = replace(Recipe.quick().captioner, batch=4)
    model = train_captioner(tmp_path / "pictures.npy", scenes, course, 0, tmp_path / "captioner.pt")
    write_captioner(tmp_path / "captioner", model)
    assert len(captions_of(load_captioner(tmp_path / "captioner"), [as_colour(picture) for picture in drawn], 24)) == 4
    written = load_file(tmp_path / "captioner" / "model.safetensors")
    assert {weights.dtype for weights in written.values() if weights.is_floating_point()} == {torch.float16}


def test_training_begins_with_the_same_weights() -> None:
    tokenizer = new_bert_tokenizer()
    one, again, other = (Pupil(tokenizer, seed).blip.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
