"""Scenes: what they may hold, which are kept from training, and where their drawings stand."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from kerf_world.composition import compose
from kerf_world.dialect import JUDGE, TRAINING
from kerf_world.geometry import Points
from kerf_world.kinds import LETTERS, OBJECTS, SUBJECTS, Kind, Subject
from kerf_world.masks import object_mask
from kerf_world.rendering import draw
from kerf_world.scenes import (
    COUNTS,
    HELD_OUT_PERCENT,
    Arrangement,
    Border,
    Mixture,
    Scene,
    Split,
    Style,
    random_scene,
    split_of,
)

CAT, DOG = Subject(Kind.CAT), Subject(Kind.DOG)


def drawn_from(split: Split, count: int = 3000) -> set[str]:
    rng = np.random.default_rng(5)
    return {random_scene(rng, split).combination for _ in range(count)}


def test_training_and_held_out_scenes_never_share_a_combination() -> None:
    train, held_out = drawn_from(Split.TRAIN), drawn_from(Split.HELD_OUT)
    assert len(train) > 1000
    assert len(held_out) > 300
    assert not train & held_out
    # The same draw without a split gives scenes of both, so that the emptiness above is the split's doing.
    rng = np.random.default_rng(5)
    mixed = {random_scene(rng, None).combination for _ in range(3000)}
    assert mixed & train
    assert mixed & held_out


def test_the_split_knows_neither_seed_nor_count_nor_the_order_of_a_pair() -> None:
    for subject, style, border in itertools.product(OBJECTS[::9], Style, Border):
        splits = {
            split_of(Scene((subject,), style, Arrangement.ROW, border, count, seed))
            for count in COUNTS[Arrangement.ROW]
            for seed in range(4)
        }
        assert len(splits) == 1
    for style, border in itertools.product(Style, Border):
        one = Scene((CAT, DOG), style, Arrangement.BESIDE, border, 2, 1)
        other = Scene((DOG, CAT), style, Arrangement.BESIDE, border, 2, 9)
        assert split_of(one) is split_of(other)
        assert one.combination == other.combination


def test_about_the_promised_share_is_held_out_of_every_style() -> None:
    for style in Style:
        splits = [split_of(Scene((s,), style, border=border)) for s in SUBJECTS for border in Border]
        share = splits.count(Split.HELD_OUT) / len(splits)
        assert abs(share - HELD_OUT_PERCENT / 100) < 0.06, style


def test_every_subject_and_style_is_learned_alone_somewhere() -> None:
    """A model can only be asked for a held-out combination of what it has met."""
    for subject in SUBJECTS:
        alone = [style for style in Style if split_of(Scene((subject,), style)) is Split.TRAIN]
        assert len(alone) >= 2, subject.label


def test_the_split_is_the_same_for_ever() -> None:
    """Weights were trained on it: a change of the hash would put held-out scenes into the training."""
    scenes = [Scene((subject,), style) for subject in SUBJECTS[:30] for style in Style]
    held_out = [scene.combination for scene in scenes if split_of(scene) is Split.HELD_OUT]
    assert held_out[:4] == [
        "aeroplane|silhouette|alone|none",
        "aeroplane|halftone|alone|none",
        "apple|line_art|alone|none",
        "apple|engraving|alone|none",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"subjects": (CAT, DOG)},
        {"subjects": (CAT,), "arrangement": Arrangement.BESIDE, "count": 2},
        {"subjects": (CAT,), "arrangement": Arrangement.ROW, "count": 4},
        {"subjects": (CAT,), "count": 2},
        {"subjects": (CAT,), "seed": -1},
    ],
)
def test_an_impossible_scene_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"takes|shows|seed"):
        Scene(style=Style.LINE_ART, **arguments)  # type: ignore[arg-type]  # the cases are of several types


@pytest.mark.parametrize(
    ("kind", "letter"), [(Kind.LETTER, ""), (Kind.LETTER, "a"), (Kind.LETTER, "AB"), (Kind.CAT, "A")]
)
def test_a_letter_is_one_of_26_and_only_letters_have_one(kind: Kind, letter: str) -> None:
    with pytest.raises(ValueError, match="letter"):
        Subject(kind, letter)


def test_random_scenes_reach_everything() -> None:
    rng = np.random.default_rng(8)
    scenes = [random_scene(rng) for _ in range(6000)]
    assert {scene.style for scene in scenes} == set(Style)
    assert {scene.arrangement for scene in scenes} == set(Arrangement)
    assert {scene.border for scene in scenes} == set(Border)
    assert {subject for scene in scenes for subject in scene.subjects} == set(SUBJECTS)
    assert {scene.count for scene in scenes} == {1, 2, 3, 4, 5, 6}
    plain = [random_scene(rng, mixture=Mixture(letters=0.0, pairs=0.0, repeated=0.0, bordered=0.0)) for _ in range(300)]
    assert {scene.arrangement for scene in plain} == {Arrangement.ALONE}
    assert {scene.border for scene in plain} == {Border.NONE}
    assert not {scene.subjects[0] for scene in plain} & set(LETTERS)


def centre(drawn_mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tuple[float, float]:
    rows, columns = np.nonzero(drawn_mask)
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize("border", Border)
def test_drawings_stand_where_the_arrangement_says(border: Border) -> None:
    for seed in range(6):
        beside = draw(Scene((CAT, DOG), Style.LINE_ART, Arrangement.BESIDE, border, 2, seed))
        (x1, y1), (x2, y2) = (centre(object_mask(beside, only=i)) for i in (0, 1))
        assert x2 - x1 > 25
        assert abs(y2 - y1) < 25
        above = draw(Scene((CAT, DOG), Style.LINE_ART, Arrangement.ABOVE, border, 2, seed))
        (x1, y1), (x2, y2) = (centre(object_mask(above, only=i)) for i in (0, 1))
        assert y2 - y1 > 25
        assert abs(x2 - x1) < 25


def test_repeated_drawings_are_as_many_as_promised_and_do_not_overlap() -> None:
    rng = np.random.default_rng(3)
    for arrangement, border in itertools.product(Arrangement, Border):
        for count in COUNTS[arrangement]:
            chosen = rng.choice(len(SUBJECTS), 2 if arrangement.is_pair else 1, replace=False)
            subjects = tuple(SUBJECTS[int(i)] for i in chosen)
            scene = Scene(subjects, Style.SILHOUETTE, arrangement, border, count, int(rng.integers(99)))
            drawn = draw(scene, JUDGE)
            assert len(drawn.layout.drawings) == len(drawn.layout.shown) == count
            masks = [object_mask(drawn, 0.0, only=i) > 0 for i in range(count)]
            assert all(mask.sum() > 20 for mask in masks)
            assert np.sum(masks, axis=0).max() == 1, scene


def reach(points: Points, border: Border) -> NDArray[np.float64]:
    """How far points are from the middle, as the border counts it."""
    return np.asarray(np.abs(points).max(axis=1) if border is Border.SQUARE else np.hypot(*points.T))


def test_borders_keep_clear_of_drawings() -> None:
    for border in (Border.RING, Border.SQUARE, Border.SCALLOPED):
        for arrangement in Arrangement:
            subjects = (CAT, DOG) if arrangement.is_pair else (Subject(Kind.GEAR),)
            for seed in range(8):
                scene = Scene(subjects, Style.SILHOUETTE, arrangement, border, COUNTS[arrangement][-1], seed)
                layout = compose(scene, TRAINING)
                assert layout.border
                inner = min(float(reach(line.points, border).min()) - line.width / 2 for line in layout.border)
                for drawing in layout.drawings:
                    runs = [p for part in drawing for p in (*part.outlines, *(s.points for s in part.strokes))]
                    points = np.concatenate(runs)
                    assert reach(points, border).max() < inner, (border, arrangement, seed)


def test_the_layout_is_the_same_in_every_style_that_shares_it() -> None:
    layouts = [compose(Scene((CAT,), style, seed=4), TRAINING) for style in Style if style is not Style.MANDALA]
    runs = [[o.tobytes() for part in layout.drawings[0] for o in part.outlines] for layout in layouts]
    assert all(run == runs[0] for run in runs)
    other = compose(Scene((CAT,), Style.LINE_ART, seed=5), TRAINING)
    assert [o.tobytes() for part in other.drawings[0] for o in part.outlines] != runs[0]
