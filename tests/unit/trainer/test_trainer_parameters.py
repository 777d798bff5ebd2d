"""Presets and parameters: what fits, what wins, and how the learning rate goes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler

from kerf.trainer.v1 import trainer_pb2 as pb
from kerf_core.errors import FailedPrecondition, InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_core.settings import load_settings
from kerf_trainer.adapters.loss import NoiseTask
from kerf_trainer.domain.dataset import Dataset
from kerf_trainer.domain.parameters import Parameters, Precision, Schedule, drawn_seed
from kerf_trainer.domain.presets import PRESETS, Preset, choose_preset
from kerf_trainer.domain.workshop import TrainingOrder, Workshop
from kerf_trainer.messages import read_order, write_preset
from kerf_trainer.settings import TrainerSettings


def test_the_presets_are_those_that_were_promised() -> None:
    promised = {
        "sdxl": (1024, 32, 12),
        "sd15": (512, 16, 15),
        "fast": (512, 8, 5),
        "high_quality": (768, 64, 20),
        "starter": (128, 8, 10),
    }
    assert promised == {
        name: (preset.parameters.resolution_px, preset.parameters.rank, preset.parameters.epochs)
        for name, preset in PRESETS.items()
    }


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_a_preset_can_be_asked_for_value_by_value(preset: Preset) -> None:
    message = write_preset(preset)
    request = pb.TrainRequest(name="x", parameters=message.parameters)
    request.dataset.folder = "f"
    validate(request)
    read = read_order(request, Dataset(()), 0)
    assert Parameters(rank=1).changed(read.changes) == PRESETS[message.name].parameters


@pytest.mark.parametrize(
    "architecture, native_size_px, expected", [("sd", 128, "starter"), ("sd", 512, "sd15"), ("sdxl", 1024, "sdxl")]
)
def test_the_preset_that_fits(architecture: str, native_size_px: int, expected: str) -> None:
    assert choose_preset("", architecture, native_size_px).name == expected


def test_unknown_and_unfitting_presets_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="known: fast, high_quality") as unknown:
        choose_preset("best", "sd", 512)
    assert unknown.value.reason == "PRESET_UNKNOWN"
    with pytest.raises(FailedPrecondition, match="use one of fast, high_quality, sd15") as unfit:
        choose_preset("sdxl", "sd", 512)
    assert unfit.value.reason == "PRESET_DOES_NOT_FIT"


def test_steps_win_over_epochs_and_a_request_over_its_preset() -> None:
    starter = PRESETS["starter"].parameters
    assert starter.total_steps(24) == 250
    assert starter.changed({"epochs": 4}).total_steps(24) == 12
    assert starter.changed({"epochs": 4, "steps": 7}).total_steps(24) == 7
    assert Parameters(rank=4, epochs=3, batch_size=2, accumulation=2).total_steps(5) == 4


@pytest.mark.parametrize("schedule", list(Schedule))
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule: Schedule) -> None:
    parameters = Parameters(rank=4, learning_rate=1.0, warmup_steps=4, schedule=schedule)
    rates = [parameters.learning_rate_at(step, 20) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    falls = [later < earlier for earlier, later in itertools.pairwise(rates[4:])]
    assert all(falls) if schedule is not Schedule.CONSTANT else not any(falls)
    assert all(0 < rate <= 1 for rate in rates)


def test_seeds_depend_on_every_part() -> None:
    seeds = {drawn_seed(*parts) for parts in [(1, "noise", 1), (1, "noise", 2), (2, "noise", 1), (1, "order", 1)]}
    assert len(seeds) == 4
    assert all(0 <= seed < 1 << 63 for seed in seeds)


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"resolution_px": 100}, "resolution_px"),
        ({"resolution_px": 2048}, "resolution_px"),
        ({"steps": 200_000}, "steps"),
    ],
)
def test_limits_of_parameters(
    changes: dict[str, object], field: str, workshop: Workshop, new_order: Callable[..., TrainingOrder]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        workshop.prepare(new_order(**changes))
    assert caught.value.violations[0].field == f"parameters.{field}"


def test_an_unknown_base_model_is_refused(workshop: Workshop, new_order: Callable[..., TrainingOrder]) -> None:
    with pytest.raises(FailedPrecondition, match="installed: tiny, tiny-xl") as caught:
        workshop.prepare(replace(new_order(), base_model="sd99"))
    assert caught.value.reason == "MODEL_NOT_INSTALLED"


def test_a_resolution_far_from_the_models_own_is_warned_of(
    workshop: Workshop, new_order: Callable[..., TrainingOrder]
) -> None:
    assert any("patchwork" in warning for warning in workshop.prepare(new_order(resolution_px=512)).warnings)
    assert not workshop.prepare(new_order()).warnings


def test_the_base_models_own_resolution_where_nothing_says(
    workshop: Workshop, new_order: Callable[..., TrainingOrder]
) -> None:
    order = new_order(resolution_px=None)
    assert workshop.prepare(order).plan.resolution_px == 64
    assert workshop.prepare(order).plan.parameters.precision is Precision.FLOAT32


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_nothing_for_the_right_answer_and_weighted_by_min_snr(kind: str) -> None:
    own = DDPMScheduler(prediction_type=kind, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    task, plain = (NoiseTask(own, torch.device("cpu"), gamma) for gamma in (5.0, 0.0))
    generator = torch.Generator().manual_seed(1)
    latents, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    timesteps = torch.tensor([10, 900])
    answer = {"epsilon": noise, "sample": latents, "v_prediction": own.get_velocity(latents, noise, timesteps)}[kind]
    assert float(task.loss(answer, latents, noise, timesteps)) == 0.0
    snr = own.alphas_cumprod[timesteps] / (1 - own.alphas_cumprod[timesteps])
    divisor = {"epsilon": snr, "sample": torch.ones(2), "v_prediction": snr + 1}[kind]
    wanted = (snr.clamp(max=5.0) / divisor).mean()
    assert float(task.loss(answer + 1.0, latents, noise, timesteps)) == pytest.approx(float(wanted), rel=1e-4)
    assert float(plain.loss(answer + 1.0, latents, noise, timesteps)) == pytest.approx(1.0, rel=1e-4)


def test_the_default_base_model_is_the_starter() -> None:
    settings = load_settings(TrainerSettings, [])
    assert settings.resolved_default_model == "starter"
    assert (settings.models["starter"].steps, settings.models["starter"].guidance) == (20, 3.0)


@pytest.mark.parametrize("models", [{}, {"a": {"source": ""}}, {"a": {"source": "x", "stepz": 1}}])
def test_settings_that_cannot_work(models: object) -> None:
    with pytest.raises(ValueError, match="models"):
        TrainerSettings.model_validate({"models": models})
