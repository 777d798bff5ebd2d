"""The shipped judge: what it reads, and what it says of what a model does not claim to draw."""

import os
from pathlib import Path

import numpy as np
import pytest

from kerf_judge.judge import Judge, Reading
from kerf_judge.lessons import Lessons, world_drawings
from kerf_world.dialect import JUDGE
from kerf_world.kinds import SUBJECTS, Kind, Subject
from kerf_world.rendering import draw
from kerf_world.scenes import Scene, Style

LEAST_SUBJECTS = 0.85
LEAST_STYLES = 0.9
MOST_BYTES = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def judge(judge_folder: Path) -> Judge:
    return Judge.load(judge_folder)


@pytest.fixture(scope="module")
def drawings() -> Lessons:
    return world_drawings(len(SUBJECTS), np.random.default_rng(31), JUDGE)


@pytest.fixture(scope="module")
def reading(judge: Judge, drawings: Lessons) -> Reading:
    return judge.read(drawings.pixels)


def test_it_names_drawings_that_it_has_not_seen(reading: Reading, drawings: Lessons) -> None:
    assert sorted(drawings.subjects) == list(range(len(SUBJECTS)))
    # The figures of the check are higher; these are few pictures.
    assert (reading.subjects == drawings.subjects).mean() >= LEAST_SUBJECTS
    assert (reading.styles == drawings.styles).mean() >= LEAST_STYLES


def test_probabilities_are_over_all_that_it_knows(reading: Reading) -> None:
    assert reading.subject_probabilities.shape == (len(SUBJECTS), len(SUBJECTS))
    assert reading.style_probabilities.shape == (len(SUBJECTS), len(Style))
    for probabilities, chosen in (
        (reading.subject_probabilities, reading.subjects),
        (reading.style_probabilities, reading.styles),
    ):
        assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-4)
        assert (probabilities.argmax(axis=1) == chosen).all()


def test_a_claim_marks_and_never_narrows(judge: Judge) -> None:
    star = draw(Scene((Subject(Kind.STAR),), Style.SILHOUETTE, seed=1 << 32), JUDGE).picture[None]
    free, rightly, wrongly = (
        judge.read(star, claims) for claims in (None, {Subject(Kind.STAR)}, {Subject(Kind.CAT), Subject(Kind.DOG)})
    )
    assert [SUBJECTS[reading.subjects[0]].kind for reading in (free, rightly, wrongly)] == [Kind.STAR] * 3
    assert [bool(reading.claimed[0]) for reading in (free, rightly, wrongly)] == [True, True, False]
    assert np.array_equal(free.subject_probabilities, wrongly.subject_probabilities)


def test_a_picture_is_read_alike_alone_and_among_others(judge: Judge, reading: Reading, drawings: Lessons) -> None:
    alone = judge.read(drawings.pixels[5:6])
    assert np.allclose(alone.subject_probabilities[0], reading.subject_probabilities[5], atol=1e-4)


def test_no_pictures_and_empty_sheets_are_read_without_failing(judge: Judge) -> None:
    assert judge.read(np.empty((0, 128, 128), np.uint8)).subjects.shape == (0,)
    blank = judge.read(np.full((1, 128, 128), 255, np.uint8))
    assert np.isfinite(blank.subject_probabilities).all()


@pytest.mark.parametrize("shape", [(128, 128), (1, 64, 64), (1, 128, 128, 3)])
def test_pictures_of_another_shape_are_refused(judge: Judge, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="the judge reads"):
        judge.read(np.zeros(shape, np.uint8))


def test_pictures_of_another_type_are_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match="float32"):
        judge.read(np.zeros((1, 128, 128), np.float32))


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Judge.load(tmp_path)


def test_the_weights_are_small(judge_folder: Path) -> None:
    assert sum(os.path.getsize(path) for path in judge_folder.iterdir()) <= MOST_BYTES
