"""Trainings with real networks: they learn, stop anywhere, go on bit for bit, and their LoRAs load."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch
from safetensors import safe_open

from kerf_core.errors import FailedPrecondition, WorkCancelled
from kerf_media.decode import decode_picture
from kerf_models.devices import choose_compute
from kerf_sd.lora_files import LoraFolder
from kerf_sd.loras import LoraMixer
from kerf_sd.models import LIBRARIES, load_model
from kerf_trainer.adapters.container import read_container, write_container
from kerf_trainer.domain.parameters import Precision
from kerf_trainer.domain.workshop import FinishedTraining, Listener, TrainingOrder, Workshop
from kerf_trainer.settings import TrainerSettings
from kerf_trainer.wiring import build_workshop, choose_compute_for

MODELS = ["tiny", "tiny-xl"]
NewOrder = Callable[..., TrainingOrder]


class Diary(Listener, Protocol):
    """What the tests' listener keeps."""

    stop_after: int
    lines: list[str]
    steps: list[tuple[int, int]]
    metrics: list[dict[str, float]]
    checkpoints: list[tuple[int, bytes]]
    partial: list[tuple[int, bytes]]

    def check(self) -> None: ...


NewDiary = Callable[..., Diary]


def train(workshop: Workshop, order: TrainingOrder, diary: Diary, checkpoint: bytes | None = None) -> FinishedTraining:
    return workshop.train(workshop.prepare(order), diary, diary.check, checkpoint)


def stopped(workshop: Workshop, order: TrainingOrder, diary: Diary, checkpoint: bytes | None = None) -> bytes:
    """The checkpoint of a training that was stopped."""
    with pytest.raises(WorkCancelled):
        train(workshop, order, diary, checkpoint)
    step, data = diary.checkpoints[-1]
    assert step == diary.stop_after
    assert diary.partial[-1][0] == step
    return data


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"dropout": 0.3, "noise_offset": 0.1, "caption_dropout": 0.5, "accumulation": 2}, id="chance"),
        pytest.param({"train_text_encoder": True, "gradient_checkpointing": True, "dropout": 0.2}, id="text encoders"),
    ],
)
def test_stopped_at_any_step_and_resumed_the_bytes_are_the_same(
    model: str, changes: dict[str, object], workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    order = new_order(model, **changes)
    undisturbed = train(workshop, order, new_diary())
    for step in range(1, 6):
        checkpoint = stopped(workshop, order, new_diary(stop_after=step))
        diary = new_diary()
        resumed = train(workshop, order, diary, checkpoint)
        assert diary.steps[0][0] == step + 1
        assert resumed.lora == undisturbed.lora
        assert resumed.curve == undisturbed.curve
        assert resumed.smoothed_loss == undisturbed.smoothed_loss


def test_stopped_again_and_again_in_new_workshops(
    settings: TrainerSettings, workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    order = new_order(dropout=0.2)
    checkpoint = None
    for step in range(1, 6):
        fresh = build_workshop(settings, choose_compute_for(settings))
        checkpoint = stopped(fresh, order, new_diary(stop_after=step), checkpoint)
    assert train(workshop, order, new_diary(), checkpoint).lora == train(workshop, order, new_diary()).lora


def test_a_stop_in_the_middle_of_a_step_keeps_the_whole_steps(
    workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    order = new_order(accumulation=3)
    diary = new_diary()
    calls_after_two = 0

    def check() -> None:
        nonlocal calls_after_two
        calls_after_two += bool(diary.steps and diary.steps[-1][0] == 2)
        if calls_after_two > 3:  # after the step itself, and after a pass of the next
            raise WorkCancelled("CANCELLED", "enough")

    with pytest.raises(WorkCancelled):
        workshop.train(workshop.prepare(order), diary, check)
    assert diary.checkpoints[-1][0] == 2
    resumed = train(workshop, order, new_diary(), diary.checkpoints[-1][1])
    assert resumed.lora == train(workshop, order, new_diary()).lora


def test_checkpoints_come_as_often_as_asked_and_change_nothing(
    workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    often, never = new_diary(), new_diary()
    lora = train(workshop, new_order(checkpoint_every_steps=2), often).lora
    assert [step for step, _ in often.checkpoints] == [2, 4]
    train(workshop, new_order(checkpoint_every_steps=100), never)
    assert never.checkpoints == []
    tensors, _ = read_container(train(workshop, new_order(checkpoint_every_steps=100), new_diary()).lora)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in read_container(lora)[0].items())


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-9], id="cut off"),
        pytest.param(lambda data: b"\x80\x04K\x01.", id="a pickle"),
        pytest.param(lambda data: write_container({}, {}), id="another file"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_a_useless_checkpoint_is_told_and_left_out(
    spoil: Callable[[bytes], bytes], workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    good = stopped(workshop, new_order(), new_diary(stop_after=2))
    finished = train(workshop, new_order(), new_diary(), spoil(good))
    assert any("begins anew" in warning for warning in finished.warnings)
    assert finished.lora == train(workshop, new_order(), new_diary()).lora


def test_a_checkpoint_of_another_training_is_left_out(
    workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    other = stopped(workshop, new_order(seed=4), new_diary(stop_after=2))
    finished = train(workshop, new_order(), new_diary(), other)
    assert any("have changed since" in warning for warning in finished.warnings)
    assert finished.lora == train(workshop, new_order(), new_diary()).lora


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("train_text_encoder", [False, True])
def test_the_lora_loads_and_changes_pictures(
    model: str,
    train_text_encoder: bool,
    settings: TrainerSettings,
    workshop: Workshop,
    new_order: NewOrder,
    new_diary: NewDiary,
    tmp_path: Path,
) -> None:
    order = new_order(
        model, train_text_encoder=train_text_encoder, learning_rate=5e-2, sample_prompt="a fox", alpha=8.0
    )
    finished = train(workshop, order, new_diary())
    (tmp_path / "squares.safetensors").write_bytes(finished.lora)
    source = settings.models[model].source
    loaded = load_model(source, compute=choose_compute("cpu", threads=1, libraries=LIBRARIES))
    mixer = LoraMixer(loaded)

    def draw() -> bytes:
        generator = torch.Generator().manual_seed(3)
        picture = loaded.pipeline(
            "a fox", num_inference_steps=2, guidance_scale=2.0, output_type="np", generator=generator
        ).images[0]
        return bytes(np.rint(picture * 255).astype(np.uint8).tobytes())

    before = draw()
    assert mixer.apply([(LoraFolder(tmp_path).find("squares"), 1.0)]) == []
    after = draw()
    difference = np.abs(np.frombuffer(before, np.uint8).astype(int) - np.frombuffer(after, np.uint8)).mean()
    assert difference > 2
    roles = dict(finished.samples)
    assert set(roles) == {"sample-before", "sample-after"}
    assert decode_picture(roles["sample-before"]).rgb.shape == (64, 64, 3)
    assert roles["sample-before"] != roles["sample-after"]


@pytest.mark.parametrize("model", MODELS)
def test_the_exported_lora_is_what_was_trained(
    model: str, settings: TrainerSettings, workshop: Workshop, new_order: NewOrder, new_diary: NewDiary, tmp_path: Path
) -> None:
    """The sample drawn with the LoRA in training is the picture that the exported file gives in a fresh model."""
    order = new_order(model, learning_rate=5e-2, sample_prompt="a fox", alpha=2.0, train_text_encoder=True)
    finished = train(workshop, order, new_diary())
    (tmp_path / "squares.safetensors").write_bytes(finished.lora)
    loaded = load_model(settings.models[model].source, compute=choose_compute("cpu", threads=1, libraries=LIBRARIES))
    LoraMixer(loaded).apply([(LoraFolder(tmp_path).find("squares"), 1.0)])
    from kerf_trainer.domain.parameters import drawn_seed

    seed = drawn_seed(finished.plan.parameters.seed, "sample") % (1 << 32)
    generator = torch.Generator().manual_seed(seed)
    drawn = loaded.pipeline(
        "a fox",
        num_inference_steps=2,
        guidance_scale=2.0,
        output_type="np",
        generator=generator,
        width=64,
        height=64,
    ).images[0]
    sample = decode_picture(dict(finished.samples)["sample-after"]).rgb
    assert np.abs(np.rint(drawn * 255) - sample).max() <= 1


def test_the_file_names_what_it_was_made_from(
    workshop: Workshop, new_order: NewOrder, new_diary: NewDiary, tmp_path: Path
) -> None:
    finished = train(workshop, new_order(trigger_word="sqr"), new_diary())
    path = tmp_path / "lora.safetensors"
    path.write_bytes(finished.lora)
    with safe_open(path, framework="np") as opened:
        metadata = opened.metadata()
        names = list(opened.keys())
    assert metadata["kerf_name"] == "squares"
    assert metadata["kerf_base_model"] == "tiny"
    assert metadata["kerf_base_model_sha256"] == finished.model_sha256
    assert metadata["kerf_trigger_word"] == "sqr"
    assert metadata["kerf_steps"] == "6"
    assert metadata["kerf_dataset_sha256"] == finished.plan.dataset_sha256
    assert json.loads(metadata["kerf_parameters"])["rank"] == 4
    assert all(name.startswith("unet.") and name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names)
    assert "threads-1" in finished.numeric_class


def test_it_learns(workshop: Workshop, new_order: NewOrder, new_diary: NewDiary) -> None:
    """Against a training that stands still, which meets the same noise on the same pictures at every step."""
    diary = new_diary()
    taught = train(workshop, new_order(steps=40, learning_rate=1e-2, batch_size=4), diary).curve
    idle = train(workshop, new_order(steps=40, learning_rate=1e-12, batch_size=4), new_diary()).curve
    assert taught.loss[0] == idle.loss[0]
    assert sum(taught.loss[20:]) < 0.98 * sum(idle.loss[20:])
    assert [step for step, _ in diary.steps] == list(range(1, 41))
    assert diary.metrics[-1].keys() == {"loss", "smoothed_loss", "learning_rate"}
    assert taught.steps == tuple(range(1, 41))


def test_the_trigger_word_counts(workshop: Workshop, new_order: NewOrder, new_diary: NewDiary) -> None:
    with_word = train(workshop, new_order(trigger_word="sqr"), new_diary())
    without = train(workshop, new_order(), new_diary())
    ours, theirs = read_container(with_word.lora)[0], read_container(without.lora)[0]
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_half_precision_trains_and_resumes(
    precision: Precision, workshop: Workshop, new_order: NewOrder, new_diary: NewDiary
) -> None:
    order = new_order(precision=precision)
    whole = train(workshop, order, new_diary())
    checkpoint = stopped(workshop, order, new_diary(stop_after=3))
    assert train(workshop, order, new_diary(), checkpoint).lora == whole.lora
    assert all(tensor.dtype is torch.float16 for tensor in read_container(whole.lora)[0].values())
    assert str(precision) in whole.numeric_class


def test_a_training_that_diverges_says_what_to_do(workshop: Workshop, new_order: NewOrder, new_diary: NewDiary) -> None:
    good = stopped(workshop, new_order(), new_diary(stop_after=2))
    tensors, metadata = read_container(good)
    wild = {name: tensor * 1e30 if name.startswith("weight/") else tensor for name, tensor in tensors.items()}
    with pytest.raises(FailedPrecondition, match="learning_rate below") as caught:
        train(workshop, new_order(), new_diary(), write_container(wild, metadata))
    assert caught.value.reason == "TRAINING_DIVERGED"


def test_estimates_are_modelled_first_and_measured_later(
    settings: TrainerSettings, new_order: NewOrder, new_diary: NewDiary
) -> None:
    fresh = build_workshop(settings, choose_compute_for(settings))
    order = new_order(steps=20)
    modelled, steps = fresh.estimate(order)
    assert (modelled.basis, steps) == ("model", 20)
    assert 0 < modelled.seconds.low < modelled.seconds.expected < modelled.seconds.high
    finished = train(fresh, order, new_diary())
    measured, _ = fresh.estimate(order)
    assert measured.basis == "measured"
    assert measured.seconds.low <= measured.seconds.expected <= measured.seconds.high
    assert measured.seconds.expected == pytest.approx(finished.device_seconds, rel=0.5)
    longer, _ = fresh.estimate(replace(order, changes=order.changes | {"steps": 200}))
    assert longer.seconds.expected > 3 * measured.seconds.expected
    other, _ = fresh.estimate(replace(order, changes=order.changes | {"rank": 8}))
    assert other.basis == "model"


def test_bytes_of_a_container_do_not_depend_on_the_order_of_its_parts() -> None:
    ones, twos = torch.ones(2, 3), torch.full((4,), 2.0, dtype=torch.float64)
    first = write_container({"a": ones, "b": twos}, {"x": "1", "y": "2"})
    second = write_container({"b": twos, "a": ones}, {"y": "2", "x": "1"})
    assert first == second
    tensors, metadata = read_container(first)
    assert torch.equal(tensors["a"], ones)
    assert torch.equal(tensors["b"], twos)
    assert metadata == {"x": "1", "y": "2"}
