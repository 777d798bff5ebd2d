"""Control pictures, masks, distortions and contact sheets: they match the picture that they were made for."""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import kerf_world as world
from kerf_world.__main__ import main
from kerf_world.controls import Control, control_of, edges_of
from kerf_world.distortions import Distortion, distorted
from kerf_world.drawing import SIZE_PX, Picture
from kerf_world.kinds import OBJECTS, SUBJECTS, Kind, Subject
from kerf_world.masks import MaskKind, blob_mask, box_mask, object_mask, random_mask
from kerf_world.rendering import Drawn, draw
from kerf_world.scenes import Arrangement, Border, Scene, Split, Style, random_scene, split_of
from kerf_world.vocabulary import known_words


def scenes(count: int = 40) -> list[Drawn]:
    rng = np.random.default_rng(6)
    return [draw(random_scene(rng, None)) for _ in range(count)]


def near(picture: Picture, reach_px: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where ink is no further than `reach_px`."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    return np.asarray(cv2.dilate((picture < 128).astype(np.uint8), kernel) > 0)


def outside_share(control: Picture, picture: Picture, reach_px: int) -> float:
    lit = control > 100
    return float((lit & ~near(picture, reach_px)).sum()) / max(1.0, float(lit.sum()))


REACH_PX = {Control.EDGES: 2, Control.LINES: 3, Control.SCRIBBLE: 7}


@pytest.mark.parametrize("control", [Control.EDGES, Control.LINES, Control.SCRIBBLE])
def test_lines_of_a_control_lie_where_the_picture_has_ink(control: Control) -> None:
    for drawn in scenes():
        made = control_of(drawn, control)
        assert made.shape == drawn.picture.shape
        assert made.dtype == np.uint8
        assert (made > 100).sum() > 60
        # A stencil's bridges and the open side of a facet leave lines of the drawing without ink.
        assert outside_share(made, drawn.picture, REACH_PX[control]) < 0.12, drawn.scene


def test_a_control_of_another_picture_would_be_found_out() -> None:
    cat, bicycle = (draw(Scene((Subject(kind),), Style.LINE_ART, seed=3)) for kind in (Kind.CAT, Kind.BICYCLE))
    for control, reach in REACH_PX.items():
        assert outside_share(control_of(bicycle, control), cat.picture, reach) > 0.2


def test_the_lines_of_line_art_are_its_own() -> None:
    for subject in OBJECTS[::4]:
        drawn = draw(Scene((subject,), Style.LINE_ART, seed=2))
        ink = drawn.picture < 128
        lines = control_of(drawn, Control.LINES) > 100
        grown = cv2.dilate(lines.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert (ink & ~grown).sum() / ink.sum() < 0.1, subject.label


def test_a_scribble_is_thicker_and_shakier_than_lines() -> None:
    drawn = draw(Scene((Subject(Kind.STAR),), Style.SILHOUETTE, seed=2))
    lines, scribble = (control_of(drawn, control) for control in (Control.LINES, Control.SCRIBBLE))
    assert set(np.unique(scribble)) == {0, 255}
    assert (scribble > 100).sum() > 1.5 * (lines > 100).sum()
    straight = cv2.dilate(lines, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))) > 100
    assert ((scribble > 100) & ~straight).sum() > 0.1 * straight.sum()


def test_depth_is_ground_outside_and_highest_in_the_middle_of_bodies() -> None:
    for drawn in scenes(25):
        depth = control_of(drawn, Control.DEPTH)
        body = object_mask(drawn, 2.0) > 0
        if not drawn.layout.border and not drawn.layout.ornament:
            assert not depth[~body].any()
        assert depth.max() >= 250
        assert len(np.unique(depth)) >= 5
    heart = control_of(draw(Scene((Subject(Kind.CLOUD),), Style.LINE_ART, seed=1)), Control.DEPTH)
    rows, columns = np.nonzero(heart)
    middle = heart[int(rows.mean()), int(columns.mean())]
    rim = heart[(heart > 0) & (cv2.erode((heart > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)]
    assert middle > rim.max()


def test_a_control_does_not_depend_on_the_style_but_on_the_drawing() -> None:
    ink, lines = (draw(Scene((Subject(Kind.OWL),), style, seed=4)) for style in (Style.SILHOUETTE, Style.LINE_ART))
    for control in (Control.LINES, Control.SCRIBBLE, Control.DEPTH):
        assert np.array_equal(control_of(ink, control), control_of(lines, control))
    other = draw(Scene((Subject(Kind.OWL),), Style.LINE_ART, seed=6))
    assert not np.array_equal(control_of(other, Control.LINES), control_of(lines, Control.LINES))


def test_edges_of_blank_paper_are_none() -> None:
    assert not edges_of(np.full((SIZE_PX, SIZE_PX), 255, np.uint8)).any()


def test_the_object_mask_covers_all_ink_of_the_drawings() -> None:
    rng = np.random.default_rng(1)
    for subject in SUBJECTS[::2]:
        style = list(Style)[int(rng.integers(5))]
        drawn = draw(Scene((subject,), style, seed=int(rng.integers(99))))
        mask = object_mask(drawn, 4.0) > 0
        assert not ((drawn.picture < 128) & ~mask).any(), (subject.label, style)
        assert mask.mean() < 0.75


def test_one_object_of_a_pair_is_masked_alone() -> None:
    pair = (Subject(Kind.MOON), Subject(Kind.KEY))
    drawn = draw(Scene(pair, Style.SILHOUETTE, Arrangement.BESIDE, Border.NONE, 2, 3))
    first, second = (object_mask(drawn, 0.0, only=index) > 0 for index in (0, 1))
    assert not (first & second).any()
    assert first.sum() > 100
    assert second.sum() > 100
    assert np.array_equal(first | second, object_mask(drawn, 0.0) > 0)


def test_random_masks_are_black_and_white_and_neither_empty_nor_all() -> None:
    rng = np.random.default_rng(2)
    drawn = scenes(12)
    for kind in MaskKind:
        seen = set()
        for each in drawn:
            mask = random_mask(each, rng, kind)
            assert set(np.unique(mask)) == {0, 255}
            assert 0.005 < (mask > 0).mean() < 0.9
            seen.add(mask.tobytes())
        assert len(seen) > 8
    assert box_mask(np.random.default_rng(3)).tobytes() == box_mask(np.random.default_rng(3)).tobytes()
    assert blob_mask(np.random.default_rng(3)).tobytes() == blob_mask(np.random.default_rng(3)).tobytes()


@pytest.mark.parametrize("kind", Distortion)
def test_each_distortion_changes_the_picture_and_leaves_it_readable(kind: Distortion) -> None:
    picture = draw(Scene((Subject(Kind.CAT),), Style.SILHOUETTE, seed=3)).picture
    for seed in range(8):
        worn = distorted(picture, np.random.default_rng(seed), [kind])
        assert worn.shape == (SIZE_PX, SIZE_PX, 3)
        assert worn.dtype == np.uint8
        grey = worn.mean(axis=2)
        assert np.abs(grey - picture).mean() > 0.3
        if kind is not Distortion.TURN:
            # What was ink is still darker than what was paper.
            assert grey[picture < 20].mean() + 40 < grey[picture > 235].mean()
        assert np.array_equal(worn, distorted(picture, np.random.default_rng(seed), [kind]))


def test_no_distortion_leaves_the_picture_alone() -> None:
    picture = draw(Scene((Subject(Kind.CAT),), Style.SILHOUETTE, seed=3)).picture
    assert np.array_equal(distorted(picture, np.random.default_rng(1), [])[:, :, 0], picture)
    any_of_them = {distorted(picture, np.random.default_rng(seed)).tobytes() for seed in range(30)}
    assert len(any_of_them) > 15


def test_contact_sheets_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["kerf_world", "sheet", "--out", str(tmp_path / "sheets")])
    main()
    names = {path.name for path in (tmp_path / "sheets").iterdir()}
    assert {"compositions.png", "controls.png", "distortions.png", "variety.png", "captions.txt"} <= names
    pages = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (tmp_path / "sheets").glob("objects-*.png")]
    assert sum(page.shape[0] // SIZE_PX for page in pages if page is not None) == len(SUBJECTS)
    assert all(page is not None and page.min() == 0 for page in pages)
    assert len((tmp_path / "sheets" / "captions.txt").read_text().splitlines()) >= 50


def test_the_card_tells_the_truth() -> None:
    card = (Path(world.__file__).parent / "README.md").read_text(encoding="utf-8")
    alone = [Scene((subject,), style) for subject in SUBJECTS for style in Style]
    held_out = sum(split_of(scene) is Split.HELD_OUT for scene in alone)
    assert f"{len(OBJECTS)} kinds of objects" in card
    assert f"all {len(known_words())} words" in card
    assert f"that is {held_out} of {len(alone)}." in card


def test_the_world_is_drawn_fast_enough_to_train_on() -> None:
    """Some 400 scenes a second of processor time were measured; a third of what was asked for leaves room for noise."""
    rng = np.random.default_rng(1)
    chosen = [random_scene(rng) for _ in range(100)]
    began = time.process_time()
    for scene in chosen:
        draw(scene)
    assert len(chosen) / (time.process_time() - began) > 50
