"""Draws the sheet of samples: every object that the model was taught, in one style after the other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from kerf_world.captions import usual_caption
from kerf_world.drawing import Picture
from kerf_world.scenes import Scene, Style

from .bundle import load_model
from .measuring import STEPS, generate
from .pictures import Pixels
from .syllabus import TAUGHT_OBJECTS

_COLUMNS = 12
_CELL_PX = 80
_SEED = 1


def write_sheet(model: Path, path: Path, steps: int | None = None) -> None:
    """Draw each object twice, in styles that take turns, with the model of a folder."""
    styles = list(Style)
    scenes = [
        Scene((subject,), styles[(2 * number + turn * 3 + number // 3) % len(styles)], seed=number)
        for number, subject in enumerate(TAUGHT_OBJECTS)
        for turn in range(2)
    ]
    prompts = [usual_caption(scene) for scene in scenes]
    drawn = generate(load_model(model), prompts, [_SEED] * len(prompts), steps=steps or STEPS)
    cv2.imwrite(str(path), laid_out(drawn), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def laid_out(pictures: Pixels) -> Picture:
    """Lay pictures (N, 128, 128) out in rows, in 16 greys, which are enough to look at."""
    small = [cv2.resize(picture, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_AREA) for picture in pictures]
    small += [np.full((_CELL_PX, _CELL_PX), 255, np.uint8)] * (-len(small) % _COLUMNS)
    rows = [np.hstack(small[first : first + _COLUMNS]) for first in range(0, len(small), _COLUMNS)]
    return np.asarray(np.round(np.vstack(rows) / 17.0) * 17.0, dtype=np.uint8)
