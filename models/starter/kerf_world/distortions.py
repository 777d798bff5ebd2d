"""What happens to pictures before somebody asks what they show: noise, blur, a turn, JPEG, dithering, other paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from .drawing import Picture
from .weathering import Colour, compressed, moved

Random = np.random.Generator
_Field = NDArray[np.float32]

_MOST = 3


class Distortion(StrEnum):
    """One way in which a picture of 128 px is made worse."""

    TURN = "turn"
    BLUR = "blur"
    DITHER = "dither"
    BACKGROUND = "background"
    NOISE = "noise"
    JPEG = "jpeg"


def distorted(picture: Picture, rng: Random, kinds: Sequence[Distortion] | None = None) -> Colour:
    """Return (128, 128, 3) uint8 RGB; `kinds` None takes up to three at random, or none at all.

    They happen in the order of `Distortion`: what is on the sheet before what the camera and the file do.
    """
    if kinds is None:
        count = int(rng.integers(_MOST + 1))
        kinds = [list(Distortion)[int(index)] for index in rng.permutation(len(Distortion))[:count]]
    colour = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    for kind in sorted(kinds, key=list(Distortion).index):
        colour = _WAYS[kind](colour, rng)
    return colour


def _turn(colour: Colour, rng: Random) -> Colour:
    angle = float(rng.uniform(4.0, 18.0)) * float(rng.choice([-1.0, 1.0]))
    scale = float(rng.uniform(0.72, 0.95))
    shift = tuple(float(v) for v in rng.uniform(-5.0, 5.0, 2))
    grey = np.ascontiguousarray(colour[:, :, 0])
    turned = moved(grey, angle, (scale, scale), (shift[0], shift[1]))
    return np.asarray(cv2.cvtColor(turned, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _blur(colour: Colour, rng: Random) -> Colour:
    return np.asarray(cv2.GaussianBlur(colour, (0, 0), float(rng.uniform(0.7, 1.9))), dtype=np.uint8)


def _dither(colour: Colour, rng: Random) -> Colour:
    """Black and white dots of a faded picture: ordered (Bayer, 1973) or from noise."""
    grey = colour[:, :, 0].astype(np.float32) / np.float32(255.0)
    low, high = float(rng.uniform(0.0, 0.16)), float(rng.uniform(0.84, 0.99))
    faded = low + (high - low) * cv2.GaussianBlur(grey, (0, 0), 0.6)
    rows, columns = grey.shape
    if rng.random() < 0.6:
        tile: _Field = np.tile(_BAYER, (rows // 4 + 1, columns // 4 + 1))[:rows, :columns]
    else:
        tile = rng.random((rows, columns), dtype=np.float32)
    return np.repeat(np.where(faded > tile, 255, 0).astype(np.uint8)[:, :, None], 3, axis=2)


# Thresholds from 1/32 to 31/32.
_BAYER: _Field = np.array([[1, 17, 5, 21], [25, 9, 29, 13], [7, 23, 3, 19], [31, 15, 27, 11]], np.float32) / np.float32(
    32
)


def _background(colour: Colour, rng: Random) -> Colour:
    """Other paper and ink: a tint, a shade that falls across the sheet, or grain as of wood."""
    share = colour.astype(np.float32) / np.float32(255.0)
    ink = rng.uniform(0.0, 90.0, 3).astype(np.float32)
    paper = rng.uniform(165.0, 250.0, 3).astype(np.float32)
    rows, columns = colour.shape[:2]
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / np.float32(rows)
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    light = (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) * float(rng.uniform(0.0, 80.0))
    if rng.random() < 0.4:
        wavy = x + 0.04 * np.sin(y * float(rng.uniform(3.0, 9.0)) + angle)
        light = light + 14.0 * np.sin(wavy * float(rng.uniform(40.0, 110.0)))
    mixed = ink + share * (paper - ink) + (light * (0.4 + 0.6 * share[:, :, 0]))[:, :, None]
    return np.asarray(np.clip(mixed, 0, 255), dtype=np.uint8)


def _noise(colour: Colour, rng: Random) -> Colour:
    if rng.random() < 0.3:
        spots = rng.random(colour.shape[:2])
        share = float(rng.uniform(0.01, 0.05))
        specked = colour.copy()
        specked[spots < share] = 0
        specked[spots > 1.0 - share] = 255
        return specked
    rough = colour + rng.normal(0.0, float(rng.uniform(8.0, 40.0)), colour.shape)
    return np.asarray(np.clip(rough, 0, 255), dtype=np.uint8)


def _jpeg(colour: Colour, rng: Random) -> Colour:
    return compressed(np.ascontiguousarray(colour), int(rng.integers(12, 60)))


_WAYS: dict[Distortion, Callable[[Colour, Random], Colour]] = {
    Distortion.TURN: _turn,
    Distortion.BLUR: _blur,
    Distortion.DITHER: _dither,
    Distortion.BACKGROUND: _background,
    Distortion.NOISE: _noise,
    Distortion.JPEG: _jpeg,
}
