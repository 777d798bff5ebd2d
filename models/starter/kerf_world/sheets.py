"""Contact sheets: what the world looks like, to be judged by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .captions import caption
from .controls import Control, control_of
from .dialect import Dialect
from .distortions import Distortion, distorted
from .drawing import Picture
from .kinds import SUBJECTS, Kind, Subject
from .masks import MaskKind, random_mask
from .rendering import draw
from .scenes import COUNTS, Arrangement, Border, Scene, Style, random_scene

_ROWS_PER_SHEET = 21
_EXAMPLES = (Kind.CAT, Kind.ROCKET, Kind.TULIP, Kind.KEY, Kind.CASTLE, Kind.KNOT)
_VARIED = 12
# A seed whose MANDALA is an ornament, and one whose MANDALA is facets.
_ORNAMENT_STEP, _FACETED_STEP = 2, 0


def write_sheets(folder: Path, dialect: Dialect, seed: int) -> list[Path]:
    """Write all contact sheets as PNG, and captions of random scenes as text; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for first in range(0, len(SUBJECTS), _ROWS_PER_SHEET):
        page = _grid([_styles_row(subject, dialect, seed) for subject in SUBJECTS[first : first + _ROWS_PER_SHEET]])
        written.append(_write(folder / f"objects-{first // _ROWS_PER_SHEET + 1}.png", page))
    rng = np.random.default_rng(seed)
    for name, rows in (
        ("variety", [_variety_row(Subject(kind), dialect, seed) for kind in _EXAMPLES]),
        ("compositions", [_composition_row(a, b, dialect, rng) for a in Arrangement for b in Border]),
        ("controls", [_control_row(style, dialect, rng) for style in Style]),
        ("distortions", [_distortion_row(style, dialect, rng) for style in Style]),
    ):
        written.append(_write(folder / f"{name}.png", _grid(rows)))
    scenes = [random_scene(rng, None) for _ in range(60)]
    lines = [f"{scene.combination}|{scene.count}: {caption(scene, rng)}" for scene in scenes]
    captions = folder / "captions.txt"
    captions.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*written, captions]


def _styles_row(subject: Subject, dialect: Dialect, seed: int) -> list[Picture]:
    base = seed * 5
    scenes = [Scene((subject,), style, seed=base + _ORNAMENT_STEP + i) for i, style in enumerate(list(Style)[:-1])]
    scenes += [Scene((subject,), Style.MANDALA, seed=base + step) for step in (_ORNAMENT_STEP, _FACETED_STEP)]
    return [draw(scene, dialect).picture for scene in scenes]


def _variety_row(subject: Subject, dialect: Dialect, seed: int) -> list[Picture]:
    styles = list(Style)
    return [
        draw(Scene((subject,), styles[i % len(styles)], seed=seed + 101 * i), dialect).picture for i in range(_VARIED)
    ]


def _composition_row(
    arrangement: Arrangement, border: Border, dialect: Dialect, rng: np.random.Generator
) -> list[Picture]:
    row = []
    for style in Style:
        chosen = rng.choice(len(SUBJECTS), 2 if arrangement.is_pair else 1, replace=False)
        subjects = tuple(SUBJECTS[int(index)] for index in chosen)
        count = int(rng.choice(COUNTS[arrangement]))
        row.append(draw(Scene(subjects, style, arrangement, border, count, int(rng.integers(2**31))), dialect).picture)
    return row


def _control_row(style: Style, dialect: Dialect, rng: np.random.Generator) -> list[Picture]:
    scene = random_scene(rng, None)
    scene = Scene(scene.subjects, style, scene.arrangement, scene.border, scene.count, scene.seed)
    drawn = draw(scene, dialect)
    return [
        drawn.picture,
        *(control_of(drawn, control) for control in Control),
        *(random_mask(drawn, rng, kind) for kind in MaskKind),
    ]


def _distortion_row(style: Style, dialect: Dialect, rng: np.random.Generator) -> list[Picture]:
    subject = SUBJECTS[int(rng.integers(len(SUBJECTS)))]
    picture = draw(Scene((subject,), style, seed=int(rng.integers(2**31))), dialect).picture
    worn = [distorted(picture, rng, [kind]) for kind in Distortion] + [distorted(picture, rng) for _ in range(2)]
    return [picture, *(np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), dtype=np.uint8) for each in worn)]


def _grid(rows: Sequence[Sequence[Picture]]) -> Picture:
    return np.vstack([np.hstack(list(row)) for row in rows])


def _write(path: Path, sheet: Picture) -> Path:
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 5])
    return path
