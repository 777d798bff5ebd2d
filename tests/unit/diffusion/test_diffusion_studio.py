"""Drawing with real tiny models: equal requests give equal bytes, and a cancelled one stops within a step."""

from __future__ import annotations

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from kerf_core.errors import FailedPrecondition, InvalidArgument, WorkCancelled
from kerf_core.stages import CancelToken
from kerf_diffusion.adapters import previews
from kerf_diffusion.domain.requests import LoraWeight, PictureRequest, Scheduler
from kerf_diffusion.domain.studio import Drawing, Studio
from kerf_diffusion.settings import DiffusionSettings
from kerf_diffusion.wiring import build_studio, choose_compute_for, open_loras

if TYPE_CHECKING:
    from unit.diffusion.conftest import Diary

FOX = PictureRequest(prompt="a fox", seed=7)


def go_on() -> None:
    """Nobody cancels."""


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_pictures_of_one_request_are_those_of_single_ones(studio: Studio, new_diary: type[Diary]) -> None:
    together = new_diary()
    drawing = studio.draw(replace(FOX, images=4), together, go_on)
    assert drawing.seeds == [7, 8, 9, 10]
    assert len(set(together.pngs)) == 4
    for seed, png in zip(drawing.seeds, together.pngs, strict=True):
        alone = new_diary()
        studio.draw(replace(FOX, seed=seed, preview_every_steps=1), alone, go_on)
        assert alone.pngs == [png]


def test_the_same_bytes_in_a_new_studio(studio: Studio, settings: DiffusionSettings, new_diary: type[Diary]) -> None:
    first, second = new_diary(), new_diary()
    drawing = studio.draw(FOX, first, go_on)
    again = build_studio(settings, choose_compute_for(settings), open_loras(settings)).draw(FOX, second, go_on)
    assert first.pngs == second.pngs
    assert drawing.model.sha256 == again.model.sha256
    assert drawing.numeric_class == again.numeric_class


def test_two_callers_at_once_do_not_disturb_each_other(studio: Studio, new_diary: type[Diary]) -> None:
    requests = [replace(FOX, seed=seed, scheduler=kind) for seed, kind in enumerate(Scheduler)]
    alone = [new_diary() for _ in requests]
    for request, diary in zip(requests, alone, strict=True):
        studio.draw(request, diary, go_on)
    crowd = [new_diary() for _ in requests]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda pair: studio.draw(pair[0], pair[1], go_on), zip(requests, crowd, strict=True)))
    assert [diary.pngs for diary in crowd] == [diary.pngs for diary in alone]


@pytest.mark.parametrize("model", ["tiny", "tiny-xl"])
@pytest.mark.parametrize("scheduler", list(Scheduler))
@pytest.mark.parametrize("steps", [1, 5])
def test_every_sampler_draws(studio: Studio, diary: Diary, model: str, scheduler: Scheduler, steps: int) -> None:
    studio.draw(replace(FOX, model=model, scheduler=scheduler, steps=steps, preview_every_steps=2), diary, go_on)
    assert pixels(diary.pngs[0]).shape == (64, 64, 3)
    assert diary.steps[-1][:2] == (steps, steps)
    assert len(diary.previews) == (2 if steps == 5 else 0)


def test_samplers_seeds_and_words_matter(studio: Studio, new_diary: type[Diary]) -> None:
    requests = [
        replace(FOX, scheduler=scheduler) for scheduler in Scheduler if scheduler is not Scheduler.MODEL_DEFAULT
    ]
    requests += [replace(FOX, seed=8), replace(FOX, prompt="a key"), replace(FOX, negative_prompt="grey")]
    requests += [replace(FOX, guidance=1.0), replace(FOX, steps=3)]
    drawn = []
    for request in requests:
        diary = new_diary()
        studio.draw(request, diary, go_on)
        drawn += diary.pngs
    assert len(set(drawn)) == len(requests)


def test_the_size_is_what_was_asked_for(studio: Studio, diary: Diary) -> None:
    studio.draw(replace(FOX, width_px=72, height_px=128), diary, go_on)
    assert pixels(diary.pngs[0]).shape == (128, 72, 3)
    assert (diary.pictures[0].width_px, diary.pictures[0].height_px) == (72, 128)


def test_progress_counts_over_all_pictures_and_learns_the_time(studio: Studio, diary: Diary) -> None:
    studio.draw(replace(FOX, images=2, steps=3), diary, go_on)
    assert [step for step, *_ in diary.steps] == [0, 1, 2, 3, 4, 5, 6]
    assert {total for _, total, *_ in diary.steps} == {6}
    assert diary.steps[0][2] < 0
    assert all(eta >= 0 for _, _, eta, _ in diary.steps[1:])
    assert diary.steps[-1][2] == 0


@pytest.mark.parametrize("small", [True, False])
def test_previews_are_small_pngs(
    studio: Studio, diary: Diary, new_diary: type[Diary], small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:  # as for a large model: the tiny one's latents are then mapped to colours
        monkeypatch.setattr(previews, "_SMALL_LATENT_PIXELS", 0)
    studio.draw(replace(FOX, images=2, steps=5, preview_every_steps=2, width_px=128), diary, go_on)
    assert [(image, step) for image, step, _ in diary.previews] == [(0, 2), (0, 4), (1, 2), (1, 4)]
    for _, _, png in diary.previews:
        assert len(png) <= 64 * 1024
        assert pixels(png).shape == (64, 128, 3)
    plain = new_diary()
    studio.draw(replace(FOX, images=2, steps=5, preview_every_steps=150, width_px=128), plain, go_on)
    assert plain.previews == []
    assert plain.pngs == diary.pngs


@pytest.mark.parametrize("cancel_at", [0, 1, 3, 6])
def test_a_cancelled_request_stops_within_a_step(studio: Studio, diary: Diary, cancel_at: int) -> None:
    token = CancelToken()
    diary.at_step = lambda step: token.cancel("enough") if step == cancel_at else None
    with pytest.raises(WorkCancelled, match="enough"):
        studio.draw(replace(FOX, images=3, steps=4), diary, token.raise_if_cancelled)
    assert diary.steps[-1][0] == cancel_at  # the step after it may be computed, but is not told
    assert len(diary.pictures) == cancel_at // 4


def test_denoising_ends_one_step_after_the_cancel(
    studio: Studio, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = CancelToken()
    computed = []
    step = torch.nn.Module.__call__
    unet = studio.shelf.open("tiny", go_on).loaded.pipeline.unet  # type: ignore[attr-defined] # the real engine's model

    def count(module: torch.nn.Module, *args: object, **kwargs: object) -> object:
        computed.append(1) if module is unet else None
        return step(module, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "__call__", count)
    diary.at_step = lambda done: token.cancel("enough") if done == 2 else None
    with pytest.raises(WorkCancelled):
        studio.draw(replace(FOX, steps=20), diary, token.raise_if_cancelled)
    assert len(computed) <= 3


def test_a_model_works_after_a_cancel(studio: Studio, diary: Diary, new_diary: type[Diary]) -> None:
    before, after = new_diary(), new_diary()
    studio.draw(FOX, before, go_on)
    test_a_cancelled_request_stops_within_a_step(studio, diary, 3)
    studio.draw(FOX, after, go_on)
    assert after.pngs == before.pngs


def test_an_unknown_model_is_told_with_the_names_there_are(studio: Studio) -> None:
    with pytest.raises(FailedPrecondition, match="tiny, tiny-xl") as caught:
        studio.admit(replace(FOX, model="wombat"))
    assert caught.value.reason == "MODEL_NOT_INSTALLED"


def test_an_unknown_lora_is_refused_before_work(studio: Studio) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        studio.admit(replace(FOX, loras=(LoraWeight("wombat", 1.0),)))
    assert caught.value.reason == "LORA_NOT_INSTALLED"


def test_a_bad_size_is_refused_before_work(studio: Studio) -> None:
    with pytest.raises(InvalidArgument, match="multiple of 8"):
        studio.admit(replace(FOX, width_px=100))


def test_a_lora_is_drawn_with_and_named(studio: Studio, settings: DiffusionSettings, new_diary: type[Diary]) -> None:
    model = studio.shelf.open("tiny", go_on).loaded.pipeline  # type: ignore[attr-defined] # the real engine's model
    width = model.unet.config.cross_attention_dim
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v"
    down = torch.linspace(-1, 1, 2 * width).reshape(2, width)
    state = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": torch.ones(32, 2)}
    assert settings.loras_dir is not None
    save_file(state, settings.loras_dir / "bold.safetensors")
    plain, styled, off = new_diary(), new_diary(), new_diary()
    studio.draw(FOX, plain, go_on)
    drawing = studio.draw(replace(FOX, loras=(LoraWeight("bold", 1.0),)), styled, go_on)
    unnamed = studio.draw(replace(FOX, loras=(LoraWeight("bold", 0.0),)), off, go_on)
    assert styled.pngs != plain.pngs
    assert off.pngs == plain.pngs
    assert [lora.name for lora in drawing.loras] == ["bold"]
    assert len(drawing.loras[0].sha256) == 64
    assert unnamed.loras == []


def test_what_the_model_cannot_read_is_told(
    tiny_folders: dict[str, Path], tmp_path: Path, diary: Diary, settings: DiffusionSettings
) -> None:
    folder = Path(shutil.copytree(tiny_folders["tiny"], tmp_path / "closed"))
    (folder / "vocabulary.json").write_text(json.dumps({"words": ["a", "fox", "with"]}))
    own = settings.model_validate({**settings.model_dump(), "models": {"closed": str(folder)}, "default_model": ""})
    studio = build_studio(own, choose_compute_for(own), open_loras(own))
    request = replace(FOX, prompt="a fox with wombats " + "fox " * 40, steps=2)
    drawing: Drawing = studio.draw(request, diary, go_on)
    assert drawing.unknown_words == ["wombats"]
    assert any("wombats" in warning for warning in drawing.warnings)
    assert any("longer than the model reads" in warning for warning in drawing.warnings)


def test_a_broken_model_is_told_and_listed(tmp_path: Path, diary: Diary, settings: DiffusionSettings) -> None:
    (tmp_path / "broken").mkdir()
    models = {"broken": str(tmp_path / "broken"), "gone": str(tmp_path / "gone")}
    own = settings.model_validate({**settings.model_dump(), "models": models, "default_model": ""})
    studio = build_studio(own, choose_compute_for(own), open_loras(own))
    assert own.resolved_default_model == "broken"
    for name, reason in (("broken", "MODEL_BROKEN"), ("gone", "MODEL_NOT_INSTALLED")):
        with pytest.raises(FailedPrecondition) as caught:
            studio.draw(replace(FOX, model=name), diary, go_on)
        assert caught.value.reason == reason
    assert all("cannot be loaded" in listing.description for listing in studio.shelf.listings())
    assert diary.pictures == []


def test_the_longest_unused_model_makes_room(settings: DiffusionSettings, new_diary: type[Diary]) -> None:
    own = settings.model_copy(update={"kept_models": 1})
    studio = build_studio(own, choose_compute_for(own), open_loras(own))
    first, second = new_diary(), new_diary()
    studio.draw(FOX, first, go_on)
    studio.draw(replace(FOX, model="tiny-xl", steps=1), new_diary(), go_on)
    listings = {listing.name: listing for listing in studio.shelf.listings()}
    assert not listings["tiny"].loaded
    assert listings["tiny"].sha256
    assert listings["tiny-xl"].loaded
    assert listings["tiny-xl"].architecture == "sdxl"
    studio.draw(FOX, second, go_on)
    assert second.pngs == first.pngs


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["tiny", "tiny-xl"])
def test_a_gpu_gives_the_same_bytes_again(settings: DiffusionSettings, new_diary: type[Diary], model: str) -> None:
    own = settings.model_copy(update={"device": "cuda"})
    drawn = []
    for _ in range(2):
        diary = new_diary()
        build_studio(own, choose_compute_for(own), open_loras(own)).draw(
            replace(FOX, model=model, images=2), diary, go_on
        )
        drawn.append(diary.pngs)
    assert drawn[0] == drawn[1]
