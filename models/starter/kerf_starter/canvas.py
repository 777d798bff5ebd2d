"""Turns a drawing made of parts into a picture in one of the first world's three styles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from kerf_world.drawing import SIZE_PX, Drawing, Part, Picture, Role
from kerf_world.geometry import Points, rotated, shifted

_Field = NDArray[np.float32]

# Shapes are rasterised this much larger and averaged down: anti-aliasing that does not depend on the line kind.
_OVERSAMPLING = 3
# One hatch line per latent cell (8 px) keeps the pattern in step with the autoencoder's grid, which it then learns.
_HATCH_PERIOD_PX = 8.0
_FRACTION_BITS = 4


class Style(StrEnum):
    """How an object is drawn."""

    SILHOUETTE = "silhouette"
    LINE_ART = "line_art"
    ENGRAVING = "engraving"


@dataclass(frozen=True, slots=True)
class Pose:
    """Where and how large a drawing stands in the picture."""

    turn_deg: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    flipped: bool = False

    def apply(self, points: Points) -> Points:
        """Map points of the unit frame to the posed unit frame."""
        flip = -1.0 if self.flipped else 1.0
        scaled = points * np.array([flip * self.scale_x, self.scale_y])
        return shifted(rotated(scaled, self.turn_deg), self.shift_x, self.shift_y)


@dataclass(frozen=True, slots=True)
class Pen:
    """Line width and hatching of one picture."""

    line_px: float = 2.2
    light_deg: float = 45.0


def random_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose: scale 0.74 to 0.92, proportions within 8 %, tilt within 12 degrees, mirrored half of the time."""
    scale = rng.uniform(0.74, 0.92)
    proportion = rng.uniform(0.92, 1.08)
    return Pose(
        turn_deg=rng.uniform(-12.0, 12.0),
        scale_x=scale * proportion,
        scale_y=scale / proportion,
        shift_x=rng.uniform(-0.05, 0.05),
        shift_y=rng.uniform(-0.05, 0.05),
        flipped=bool(rng.random() < 0.5),
    )


def random_pen(rng: np.random.Generator) -> Pen:
    """Draw a pen: lines 1.8 to 2.8 px wide."""
    return Pen(line_px=rng.uniform(1.8, 2.8))


def render(drawing: Drawing, style: Style, pose: Pose, pen_: Pen, size_px: int = SIZE_PX) -> Picture:
    """Draw the parts; returns (size_px, size_px) uint8, 255 = paper, 0 = ink."""
    big_px = size_px * _OVERSAMPLING
    ink = np.zeros((big_px, big_px), dtype=np.uint8)
    hatch = _hatch(big_px, pen_) if style is Style.ENGRAVING else None
    for part in drawing:
        if style is Style.SILHOUETTE:
            _add_solid(ink, part, pose)
        else:
            _add_lines(ink, part, pose, pen_, hatch)
    grey = cv2.resize(255 - ink, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, dtype=np.uint8)


def _add_solid(ink: Picture, part: Part, pose: Pose) -> None:
    if part.role is not Role.PEN:
        ink[_mask(part, pose, ink.shape[0]) > 0] = 0 if part.role is Role.HOLE else 255


def _add_lines(ink: Picture, part: Part, pose: Pose, pen_: Pen, hatch: _Field | None) -> None:
    line_px = max(1, round(pen_.line_px * _OVERSAMPLING))
    mask = _mask(part, pose, ink.shape[0], thinnest_px=line_px)
    if part.role is Role.PEN:
        ink[mask > 0] = 255
        return
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line_px + 1, 2 * line_px + 1))
    core = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    ink[mask > 0] = 255
    ink[core > 0] = 0
    if hatch is not None and part.role is Role.BODY:
        # Each engraved line swells with the tone, as a burin cuts deeper where the shade is darker.
        ink[(core > 0) & (hatch < part.tone)] = 255


def _mask(part: Part, pose: Pose, big_px: int, thinnest_px: int = 1) -> Picture:
    mask = np.zeros((big_px, big_px), dtype=np.uint8)
    for outline in part.outlines:
        cv2.fillPoly(mask, [_pixels(pose.apply(outline), big_px)], 255, cv2.LINE_8, _FRACTION_BITS)
    scale = (abs(pose.scale_x) + abs(pose.scale_y)) / 2 * big_px / 2
    for stroke in part.strokes:
        width_px = max(thinnest_px, round(stroke.width * scale))
        run = _pixels(pose.apply(stroke.points), big_px)
        cv2.polylines(mask, [run], stroke.closed, 255, width_px, cv2.LINE_8, _FRACTION_BITS)
    return mask


def _pixels(points: Points, big_px: int) -> NDArray[np.int32]:
    fixed = np.round(((points + 1.0) / 2.0 * big_px - 0.5) * (1 << _FRACTION_BITS))
    return fixed.astype(np.int32).reshape(-1, 1, 2)


def _hatch(big_px: int, pen_: Pen) -> _Field:
    """Return a field in which `field < tone` gives diagonal lines that swell away from the light (upper left)."""
    y, x = np.mgrid[0:big_px, 0:big_px].astype(np.float32)
    wave = ((x + y) / (_OVERSAMPLING * _HATCH_PERIOD_PX)) % 1.0
    distance = np.abs(wave - 0.5) * 2.0
    angle = np.radians(pen_.light_deg)
    shade = (np.cos(angle) * (x / big_px - 0.5) + np.sin(angle) * (y / big_px - 0.5)).astype(np.float32)
    return np.asarray(distance - 0.45 * shade, dtype=np.float32)
