"""Draws a small dataset in a laser style that the starter model has never seen, for training a LoRA.

Dipped: outlines whose lower half is solid, as if dipped into ink. The starter model knows outlines and solids, never
both in one picture. (Finer fills, such as dots or crossed hatching, its autoencoder cannot draw.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from kerf_world.drawing import SIZE_PX, Drawing, Picture

from .canvas import Pen, Pose, Style, random_pen, random_pose, render
from .captions import with_article
from .objects import DRAWERS, Kind
from .vocabulary import OBJECT_NAMES

STYLE_WORD = "dipped"
HELD_OUT = (Kind.MUSHROOM, Kind.ROCKET, Kind.TURTLE, Kind.GUITAR, Kind.SNAIL)
"""Not in the dataset: to see whether a LoRA has learnt the style, and not only the pictures."""
_OVERSAMPLING = 3
_INK_BELOW = 128
_SEED = 2024


def write_lora_style(folder: Path) -> int:
    """Write one picture of every object but those held out, with its caption; returns how many. Equal every time."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, kind in enumerate(Kind):
        if kind in HELD_OUT:
            continue
        rng = np.random.default_rng([_SEED, number])
        picture = dipped(DRAWERS[kind](rng), random_pose(rng), random_pen(rng))
        cv2.imwrite(str(folder / f"{kind.value}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        name = OBJECT_NAMES[kind][0]
        (folder / f"{kind.value}.txt").write_text(f"{with_article(STYLE_WORD)} {name}\n", encoding="utf-8")
    return len(Kind) - len(HELD_OUT)


def dipped(drawing: Drawing, pose: Pose, pen: Pen, size_px: int = SIZE_PX) -> Picture:
    """Draw the parts; returns (size_px, size_px) uint8, 255 = paper, 0 = ink."""
    big_px = size_px * _OVERSAMPLING
    # A pen's width is in pixels of the finished picture, which is drawn larger here and averaged down.
    thick = replace(pen, line_px=pen.line_px * _OVERSAMPLING)
    picture = render(drawing, Style.LINE_ART, pose, thick, big_px)
    solid = render(drawing, Style.SILHOUETTE, pose, thick, big_px)
    below = slice(big_px // 2, None)
    picture[below][solid[below] < _INK_BELOW] = 0
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA), dtype=np.uint8)
