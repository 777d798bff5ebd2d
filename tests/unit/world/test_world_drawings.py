"""The drawn world's pictures: ink, room, burnable lines, bridges, variety, styles, and the same bytes every time."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kerf_world import paint
from kerf_world.bridges import bridge_islands, islands_of
from kerf_world.dialect import JUDGE, TRAINING, Dialect
from kerf_world.drawing import SIZE_PX, Picture, pen
from kerf_world.geometry import polygon
from kerf_world.kinds import LETTERS, OBJECTS, SUBJECTS, Kind, Subject, drawing_of
from kerf_world.rendering import draw
from kerf_world.scenes import COUNTS, Arrangement, Border, Scene, Style, random_scene

DIALECTS = (TRAINING, JUDGE)
HAIRLINE_PX = 1.2
# A part of a shape's corners is always lost to the round brush that looks for hairlines.
MOST_HAIR = 0.06


@cache
def picture(subject: Subject, style: Style, seed: int, dialect: Dialect = TRAINING) -> Picture:
    return draw(Scene((subject,), style, seed=seed), dialect).picture


def ink_share(drawn: Picture) -> float:
    return float((drawn < 128).mean())


def margin_px(drawn: Picture) -> int:
    """How many pixels around the picture are pure paper."""
    places = np.argwhere(drawn < 250)
    return int(min(places.min(), drawn.shape[0] - 1 - places.max()))


def hair_share(drawn: Picture) -> float:
    """Which part of the ink is thinner than a hairline, by a brush of that width (of 128 px)."""
    ink = (drawn < 128).astype(np.uint8)
    brush_px = round(HAIRLINE_PX * drawn.shape[0] / SIZE_PX)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (brush_px, brush_px))
    return 1.0 - float(cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel).sum()) / float(ink.sum())


def sheet_with(*bands: tuple[int, int]) -> Picture:
    """A picture of 512 px with level lines: where, and how many pixels wide."""
    sheet = np.full((512, 512), 255, np.uint8)
    for top, width in bands:
        sheet[top : top + width, 40:470] = 0
    return sheet


def test_the_world_has_what_was_asked_for() -> None:
    assert len(OBJECTS) >= 48
    assert len(LETTERS) == 26
    assert len({subject.label for subject in SUBJECTS}) == len(SUBJECTS) == len(OBJECTS) + 26
    assert len(Style) == 6


@pytest.mark.parametrize("style", Style)
def test_every_subject_has_sane_ink_and_keeps_off_the_frame(style: Style) -> None:
    for dialect in DIALECTS:
        for subject in SUBJECTS:
            drawn = picture(subject, style, 3, dialect)
            assert drawn.shape == (SIZE_PX, SIZE_PX)
            assert drawn.dtype == np.uint8
            assert 0.015 < ink_share(drawn) < 0.5, subject.label
            assert margin_px(drawn) >= 2, subject.label


def test_a_picture_that_touches_the_frame_would_be_seen() -> None:
    drawn = picture(Subject(Kind.CAT), Style.SILHOUETTE, 3).copy()
    drawn[40, SIZE_PX - 1] = 0
    assert margin_px(drawn) == 0


def test_no_composition_is_cropped() -> None:
    rng = np.random.default_rng(11)
    for arrangement in Arrangement:
        for border in Border:
            for style in Style:
                chosen = rng.choice(len(SUBJECTS), 2 if arrangement.is_pair else 1, replace=False)
                subjects = tuple(SUBJECTS[int(index)] for index in chosen)
                for count in COUNTS[arrangement]:
                    scene = Scene(subjects, style, arrangement, border, count, int(rng.integers(2**31)))
                    assert margin_px(draw(scene, JUDGE).picture) >= 2, scene


@pytest.mark.parametrize("style", Style)
def test_nothing_is_thinner_than_a_laser_burns(style: Style) -> None:
    shares = [
        hair_share(draw(Scene((subject,), style, seed=3), dialect, 512).picture)
        for dialect, subjects in ((TRAINING, SUBJECTS[::2]), (JUDGE, SUBJECTS[1::4]))
        for subject in subjects
    ]
    assert max(shares) < MOST_HAIR
    assert float(np.mean(shares)) < 0.012


def test_a_hairline_would_be_found() -> None:
    thick, thin = (100, 8), (300, 4)
    assert hair_share(sheet_with(thick)) < 0.02
    assert hair_share(sheet_with(thick, thin)) > 0.2


def test_stencils_have_no_islands() -> None:
    for dialect in DIALECTS:
        for subject in SUBJECTS:
            for seed in (3, 8):
                assert islands_of(picture(subject, Style.STENCIL, seed, dialect)) == 0, (subject.label, seed)
    rng = np.random.default_rng(2)
    for _ in range(300):
        found = random_scene(rng, None)
        scene = Scene(found.subjects, Style.STENCIL, found.arrangement, found.border, found.count, found.seed)
        assert islands_of(draw(scene).picture) == 0, scene
    for size_px in (96, 256, 512):
        for subject in SUBJECTS[::5]:
            assert islands_of(draw(Scene((subject,), Style.STENCIL, seed=2), size_px=size_px).picture) == 0


def test_an_island_would_be_found_and_is_bridged() -> None:
    assert islands_of(picture(Subject(Kind.LETTER, "O"), Style.SILHOUETTE, 3)) == 1
    sheet = paint.blank(3 * SIZE_PX)
    for radius, value in ((150, 255), (90, 0), (60, 255), (30, 0)):
        cv2.circle(sheet, (192, 192), radius, (value,), -1)
    small = cv2.resize(255 - sheet, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert islands_of(small) == 2
    ink_before = int((sheet > 0).sum())
    held = bridge_islands(sheet, 9.0)
    small = cv2.resize(255 - held, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert islands_of(small) == 0
    # Bridges are cut, islands are not drowned.
    assert 0.8 * ink_before < int((held > 0).sum()) < ink_before


@pytest.mark.parametrize("style", Style)
def test_other_seeds_draw_something_else(style: Style) -> None:
    for subject in SUBJECTS:
        first, second, third = (picture(subject, style, seed).astype(np.float32) for seed in (3, 8, 13))
        for one, other in ((first, second), (first, third), (second, third)):
            assert np.abs(one - other).mean() > 3.0, subject.label


def test_drawings_vary_before_they_are_posed() -> None:
    for subject in OBJECTS:
        shapes = {
            b"".join(
                points.tobytes() for part in drawing for points in (*part.outlines, *(s.points for s in part.strokes))
            )
            + repr([[stroke.width for stroke in part.strokes] for part in drawing]).encode()
            for drawing in (drawing_of(subject, np.random.default_rng(seed)) for seed in range(6))
        }
        assert len(shapes) >= 5, subject.label


def test_letters_are_not_mirrored_and_differ() -> None:
    for seed in (1, 2, 3):
        drawn = {subject.letter: picture(subject, Style.SILHOUETTE, seed) for subject in LETTERS}
        assert len({each.tobytes() for each in drawn.values()}) == 26
        for name, heavy_below in (("L", True), ("F", False), ("P", False)):
            ink = drawn[name] < 128
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            body = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            right = body[:, -body.shape[1] // 4 :]
            upper, lower = right[: len(body) * 3 // 10].mean(), right[-len(body) * 3 // 10 :].mean()
            assert (lower > upper) == heavy_below, (name, seed)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_styles_are_told_apart(dialect: Dialect) -> None:
    """Three plain figures of a picture are enough to say that the same cat is drawn in another style."""
    figures = {
        style: np.mean([style_figures(picture(s, style, 3, dialect)) for s in OBJECTS], axis=0) for style in Style
    }
    for one in Style:
        for other in Style:
            if one is not other:
                assert np.abs(figures[one] - figures[other]).max() > 0.04, (one, other)


def style_figures(drawn: Picture) -> NDArray[np.float64]:
    """Ink, edges, and how many pieces the ink has."""
    ink = (drawn < 128).astype(np.uint8)
    edges = np.abs(np.diff(ink.astype(np.int8), axis=0)).mean() + np.abs(np.diff(ink.astype(np.int8), axis=1)).mean()
    pieces = cv2.connectedComponents(ink, connectivity=8)[0] - 1
    return np.array([ink.mean(), edges, np.log1p(pieces) / 5.0])


def test_the_dialects_draw_differently() -> None:
    scene = Scene((Subject(Kind.FOX),), Style.ENGRAVING, seed=4)
    assert draw(scene, TRAINING).picture.tobytes() != draw(scene, JUDGE).picture.tobytes()
    assert JUDGE.line_px[1] > TRAINING.line_px[1]
    assert JUDGE.tilt_deg > TRAINING.tilt_deg


def test_a_larger_picture_shows_the_same() -> None:
    for style in Style:
        scene = Scene((Subject(Kind.ROCKET),), style, seed=3)
        small, large = draw(scene).picture, draw(scene, size_px=256).picture
        shrunk = cv2.resize(large, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(np.float32) - small).mean() < 6.0, style


def digest_of_scenes() -> str:
    rng = np.random.default_rng(21)
    whole = hashlib.sha256()
    for _ in range(60):
        drawn = draw(random_scene(rng, None), DIALECTS[int(rng.integers(2))])
        whole.update(drawn.picture.tobytes())
    return whole.hexdigest()


def test_equal_seeds_give_equal_bytes_in_every_process() -> None:
    here = Path(__file__).resolve()
    command = "import cv2; cv2.setNumThreads(1); from test_world_drawings import digest_of_scenes as d; print(d())"
    paths = os.pathsep.join([str(here.parent), str(here.parents[3] / "models" / "starter")])
    # A hash seed of its own: no order of a set may reach a picture.
    environment = {"PYTHONPATH": paths, "PYTHONHASHSEED": "77", "PATH": os.environ["PATH"]}
    run = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest_of_scenes() == digest_of_scenes()


def test_a_hole_leaves_no_edge_outside_of_what_it_cuts() -> None:
    """The bite of an apple, the mouth of a wrench: no line runs on through the paper around."""
    sheet = paint.blank(384)
    rng = np.random.default_rng(0)
    wrench = drawing_of(Subject(Kind.WRENCH), rng)
    whole = paint.blank(384)
    paint.paint_tones(sheet, wrench, 6.0)
    paint.paint_whole(whole, wrench, 8.0)
    assert (sheet > 0).any()
    assert not ((sheet > 0) & (whole == 0)).any()


def test_a_pen_line_shows_in_lines_and_not_in_silhouettes() -> None:
    line = [pen(polygon((-0.5, 0.0), (0.5, 0.0)))]
    lines, solid = paint.blank(384), paint.blank(384)
    paint.paint_tones(lines, line, 6.0)
    paint.paint_solid(solid, line, 3.0)
    assert (lines == 255).sum() > 1000
    assert not solid.any()
