"""How the judge is trained and checked: its drawings, their disturbance, normalising, and both commands."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kerf_judge.checking import check
from kerf_judge.disturbance import disturbed
from kerf_judge.judge import STYLE_WEIGHTS, SUBJECT_WEIGHTS, Judge
from kerf_judge.lessons import (
    CHECKING_SEEDS,
    NO_STYLE,
    TRAINING_SEEDS,
    pose_lessons,
    world_drawings,
    world_lessons,
)
from kerf_judge.network import TextureNetwork
from kerf_judge.normalising import BOX_PX, normalised, reduced
from kerf_judge.poses import POSES
from kerf_judge.training import Recipe, Texturing, drawn_lessons, in_styles, train_judge
from kerf_starter.workers import Team
from kerf_training.course import take
from kerf_world.dialect import JUDGE
from kerf_world.kinds import SUBJECTS
from kerf_world.scenes import Scene, Style, random_scene


def test_a_quick_training_writes_a_judge_that_reads_and_is_checked(tmp_path: Path) -> None:
    train_judge(Recipe.quick(), tmp_path / "work", tmp_path / "judge")
    judge = Judge.load(tmp_path / "judge")
    assert judge.read(np.full((2, 128, 128), 255, np.uint8)).subjects.shape == (2,)
    check(tmp_path / "judge", tmp_path / "no-fonts", tmp_path / "report.json", drawings=len(SUBJECTS))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["drawings_judge"]["pictures"] == report["drawings_training"]["pictures"] == len(SUBJECTS)
    assert report["glyphs"]["glyphs"] == 0
    assert all("install the Debian package" in figures["missing"] for figures in report["glyphs"]["by_font"].values())


class Interrupted(Texturing):
    """Stops before its second step, once."""

    def loss(self, model: TextureNetwork, step: int, place: Team) -> torch.Tensor:
        if step == 1:
            raise InterruptedError
        return super().loss(model, step, place)


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recipe = Recipe.quick()
    train_judge(recipe, tmp_path / "whole", tmp_path / "first")
    work = tmp_path / "broken"
    with pytest.raises(InterruptedError):
        take(
            recipe.textures,
            Interrupted(in_styles(drawn_lessons(recipe, work)), recipe.textures, recipe),
            work / "textures.pt",
        )
    train_judge(recipe, work, tmp_path / "second")
    for weights in (SUBJECT_WEIGHTS, STYLE_WEIGHTS):
        first, second = (tmp_path / name / weights for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_lessons_are_repeatable_and_of_all_finishes() -> None:
    first, again = (world_lessons(60, np.random.default_rng(5), JUDGE) for _ in range(2))
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.styles, again.styles)
    assert NO_STYLE in first.styles
    assert set(range(len(Style))) <= set(first.styles)


def test_every_pose_can_be_drawn_in_any_finish() -> None:
    drawn = pose_lessons(120, np.random.default_rng(6), JUDGE)
    assert {SUBJECTS[index].kind for index in drawn.subjects} <= set(POSES)
    # What is shaded without lines is light.
    inked = (drawn.pixels < 245).mean(axis=(1, 2))
    assert (inked > 0.01).all()
    assert (inked < 0.9).all()


def test_its_seeds_are_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noted(layout: object, scene: Scene, *rest: object) -> NDArray[np.uint8]:
        seen.append(scene.seed)
        return np.zeros((384, 384), np.uint8)

    monkeypatch.setattr("kerf_judge.lessons.render", noted)
    rng = np.random.default_rng(7)
    world_lessons(30, rng, JUDGE)
    trained = len(seen)
    world_drawings(30, rng, JUDGE)
    assert min(seen[:trained]) >= TRAINING_SEEDS
    assert max(seen[:trained]) < CHECKING_SEEDS <= min(seen[trained:])
    assert max(random_scene(rng).seed for _ in range(100)) < TRAINING_SEEDS


def test_normalising_centres_the_ink_at_one_size() -> None:
    small = np.full((1, 128, 128), 255, np.uint8)
    small[0, 10:30, 70:110] = 0
    rows, columns = (np.flatnonzero((normalised(small)[0] < 128).any(axis=axis)) for axis in (1, 0))
    assert abs(len(columns) - BOX_PX) <= 4
    assert abs(len(rows) - BOX_PX / 2) <= 4
    assert all(abs(run[0] + run[-1] - 127) <= 3 for run in (rows, columns))


def test_normalising_knows_small_specks_from_ink_and_leaves_blank_sheets() -> None:
    pixels = np.full((2, 128, 128), 255, np.uint8)
    pixels[0, 40:90, 40:90] = 0
    speckled = pixels.copy()
    speckled[0, 3, 3] = 0
    assert np.abs(normalised(speckled)[0].astype(int) - normalised(pixels)[0]).max() == 0
    assert (normalised(pixels)[1] == 255).all()


def test_disturbing_keeps_shape_and_range_and_depends_on_the_seed_alone() -> None:
    small = reduced(normalised(world_drawings(40, np.random.default_rng(8), JUDGE).pixels))
    ink, styled = disturbed(small, np.random.default_rng(1))
    again, _ = disturbed(small, np.random.default_rng(1))
    other, _ = disturbed(small, np.random.default_rng(2))
    assert ink.shape == (40, 1, 96, 96)
    assert 0.0 <= float(ink.min()) <= float(ink.max()) <= 1.0
    assert torch.equal(ink, again)
    assert not torch.equal(ink, other)
    assert 0 < np.count_nonzero(styled) <= 40


def test_disturbing_does_not_move_a_picture_far() -> None:
    middle = np.full((64, 96, 96), 255, np.uint8)
    middle[:, 28:68, 28:68] = 0
    ink, _ = disturbed(middle, np.random.default_rng(3))
    mean = ink.mean(dim=(0, 1))
    assert float(mean[40:56, 40:56].mean()) > 0.75
    assert float(mean[:8].mean()) < 0.2
