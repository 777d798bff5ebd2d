"""What the judge is trained on: drawings in its own dialect and from its own seeds, in the styles and beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from kerf_world import paint
from kerf_world.composition import Layout, compose
from kerf_world.dialect import Dialect
from kerf_world.drawing import SIZE_PX, Drawing, Picture
from kerf_world.kinds import LETTERS, OBJECTS, SUBJECTS, Kind, Subject, manner_of
from kerf_world.ornament import INNER_RADIUS
from kerf_world.placement import Cell, place, random_pose
from kerf_world.rendering import OVERSAMPLING, render, shrunk
from kerf_world.scenes import Arrangement, Border, Scene, Style

from .poses import POSES

Random = np.random.Generator

NO_STYLE = -1
TRAINING_SEEDS = 1 << 31
"""Seeds from here on are the judge's alone: `kerf_world.scenes.random_scene` draws smaller ones."""
CHECKING_SEEDS = 1 << 32
_SEEDS = 1 << 31
_LETTER_SHARE = 0.13
_BORDER_SHARE = 0.25
_MISSING_SHARE = 0.12
_ROOM = 0.87
_SHEET_PX = SIZE_PX * OVERSAMPLING
_PIXEL = float(OVERSAMPLING)


class Finish(StrEnum):
    """How a drawing becomes a picture: in a laser style, or as others draw icons, which is no style."""

    STYLED = "styled"
    FILLED = "filled"
    OUTLINED = "outlined"
    BOLD = "bold"
    CUT = "cut"
    SHADED = "shaded"


_FINISH_SHARES = {
    Finish.STYLED: 0.62,
    Finish.FILLED: 0.05,
    Finish.OUTLINED: 0.06,
    Finish.BOLD: 0.09,
    Finish.CUT: 0.11,
    Finish.SHADED: 0.07,
}
# Filled to the outline these are discs, or one another.
_NOT_FILLED = frozenset(
    {Kind.BICYCLE, Kind.BEAR, Kind.COMPASS, Kind.HORSESHOE, Kind.INFINITY, Kind.KNOT, Kind.LADYBIRD, Kind.LETTER}
    | {Kind.PADLOCK, Kind.ROSETTE, Kind.SKULL, Kind.WHEEL, Kind.YIN_YANG, Kind.GLASSES, Kind.NOTE, Kind.CLEF}
)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Pictures (N, 128, 128) uint8, 255 = paper; indices of `SUBJECTS`; indices of `Style` or NO_STYLE."""

    pixels: NDArray[np.uint8]
    subjects: NDArray[np.int64]
    styles: NDArray[np.int64]


def world_lessons(count: int, rng: Random, dialect: Dialect) -> Lessons:
    """Draw lessons of all subjects and finishes in the world's own poses."""
    lessons = []
    for _ in range(count):
        scene, finish = _finished(_scene(rng, TRAINING_SEEDS), rng)
        lessons.append(_lesson(scene, finish, compose(scene, dialect), rng, dialect))
    return _gathered(lessons)


def pose_lessons(count: int, rng: Random, dialect: Dialect) -> Lessons:
    """Draw lessons of the poses that the world lacks, in all finishes."""
    kinds, lessons = list(POSES), []
    for _ in range(count):
        subject = Subject(kinds[int(rng.integers(len(kinds)))])
        scene, finish = _finished(replace(_scene(rng, TRAINING_SEEDS), subjects=(subject,)), rng)
        lessons.append(_lesson(scene, finish, _posed(scene, rng, dialect), rng, dialect))
    return _gathered(lessons)


def world_drawings(count: int, rng: Random, dialect: Dialect) -> Lessons:
    """Draw pictures to check the judge with: the world as it is, one subject in a style, each as often as another."""
    order = rng.permutation(count) % len(SUBJECTS)
    scenes = [replace(_scene(rng, CHECKING_SEEDS), subjects=(SUBJECTS[int(index)],)) for index in order]
    return _gathered([(_painted(compose(s, dialect), s, dialect), s, Finish.STYLED) for s in scenes])


def _gathered(lessons: list[tuple[Picture, Scene, Finish]]) -> Lessons:
    styles, subjects = list(Style), {subject: index for index, subject in enumerate(SUBJECTS)}
    return Lessons(
        np.stack([picture for picture, _, _ in lessons]),
        np.array([subjects[scene.subjects[0]] for _, scene, _ in lessons]),
        np.array([styles.index(s.style) if finish is Finish.STYLED else NO_STYLE for _, s, finish in lessons]),
    )


def _scene(rng: Random, first_seed: int) -> Scene:
    choices = LETTERS if rng.random() < _LETTER_SHARE else OBJECTS
    borders = list(Border)[1:]
    return Scene(
        subjects=(choices[int(rng.integers(len(choices)))],),
        style=list(Style)[int(rng.integers(len(Style)))],
        arrangement=Arrangement.ALONE,
        border=borders[int(rng.integers(len(borders)))] if rng.random() < _BORDER_SHARE else Border.NONE,
        seed=first_seed + int(rng.integers(_SEEDS)),
    )


def _finished(scene: Scene, rng: Random) -> tuple[Scene, Finish]:
    finish = list(_FINISH_SHARES)[int(rng.choice(len(_FINISH_SHARES), p=list(_FINISH_SHARES.values())))]
    if finish is Finish.FILLED and scene.subjects[0].kind in _NOT_FILLED:
        finish = Finish.STYLED
    if finish is not Finish.STYLED:
        scene = replace(scene, border=Border.NONE, style=Style.SILHOUETTE)
    return scene, finish


def _lesson(
    scene: Scene, finish: Finish, layout: Layout, rng: Random, dialect: Dialect
) -> tuple[Picture, Scene, Finish]:
    if rng.random() < _MISSING_SHARE:
        layout = replace(layout, drawings=tuple(_without_a_part(drawing, rng) for drawing in layout.drawings))
    if finish is Finish.STYLED:
        return _painted(layout, scene, dialect), scene, finish
    sheet = paint.blank(_SHEET_PX)
    for drawing in layout.drawings:
        _FINISHES[finish](sheet, drawing, rng)
    return shrunk(255 - sheet, SIZE_PX), scene, finish


def _posed(scene: Scene, rng: Random, dialect: Dialect) -> Layout:
    """The scene with another drawing of its subject than the world's."""
    layout = compose(scene, dialect)
    subject: Subject = scene.subjects[0]
    poses = POSES[subject.kind]
    if layout.ornament:
        half = INNER_RADIUS * (1.0 if scene.border is Border.NONE else 0.88)
        cell = Cell(0.0, 0.0, half, half, round=True)
    elif scene.border in {Border.RING, Border.SCALLOPED}:
        cell = Cell(0.0, 0.0, 0.74, 0.74, round=True)
    else:
        half = 0.7 if scene.border is Border.SQUARE else _ROOM
        cell = Cell(0.0, 0.0, half, half)
    drawing = poses[int(rng.integers(len(poses)))](rng)
    placed = place(drawing, random_pose(rng, dialect, manner_of(subject)), cell, dialect, rng)
    return replace(layout, drawings=(placed,))


def _without_a_part(drawing: Drawing, rng: Random) -> Drawing:
    """Leave one of the lesser parts out: not every hand draws it."""
    if len(drawing) < 3:
        return drawing
    spans = [
        sum(float(np.ptp(run, axis=0).prod()) for run in (*part.outlines, *(s.points for s in part.strokes)))
        for part in drawing
    ]
    lesser = np.argsort(spans)[: len(drawing) // 2]
    gone = int(rng.choice(lesser))
    return [part for index, part in enumerate(drawing) if index != gone]


def _painted(layout: Layout, scene: Scene, dialect: Dialect) -> Picture:
    return shrunk(255 - render(layout, scene, dialect, _SHEET_PX), SIZE_PX)


def _filled(sheet: paint.Sheet, drawing: Drawing, _: Random) -> None:
    paint.paint_whole(sheet, drawing)
    outlines, _hierarchy = cv2.findContours(sheet, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(sheet, outlines, -1, (255,), cv2.FILLED)


def _outlined(sheet: paint.Sheet, drawing: Drawing, rng: Random) -> None:
    """The edges of what a silhouette fills, as a line."""
    paint.paint_solid(sheet, drawing, 1.5 * _PIXEL)
    width = int(rng.integers(5, 13))
    sheet[:] = cv2.morphologyEx(sheet, cv2.MORPH_GRADIENT, np.ones((width, width), np.uint8))


def _bold(sheet: paint.Sheet, drawing: Drawing, rng: Random) -> None:
    """Line art with a pen that is broader than the world's."""
    paint.paint_tones(sheet, drawing, float(rng.uniform(3.0, 6.5)) * _PIXEL)
    sheet[:] = np.where(sheet == paint.INK, np.uint8(paint.INK), np.uint8(paint.PAPER))


def _cut(sheet: paint.Sheet, drawing: Drawing, rng: Random) -> None:
    """Solid ink with paper between the parts, as icons are drawn."""
    paint.paint_apart(sheet, drawing, float(rng.uniform(1.5, 5.0)) * _PIXEL, grooved=bool(rng.random() < 0.7))


def _shaded(sheet: paint.Sheet, drawing: Drawing, rng: Random) -> None:
    """Greys within thin lines, or without lines."""
    paint.paint_tones(sheet, drawing, float(rng.choice([0.01, 1.5])) * _PIXEL)


_FINISHES: dict[Finish, Callable[[paint.Sheet, Drawing, Random], None]] = {
    Finish.FILLED: _filled,
    Finish.OUTLINED: _outlined,
    Finish.BOLD: _bold,
    Finish.CUT: _cut,
    Finish.SHADED: _shaded,
}
