"""Makes drawings look like the pictures that people send: turned, small, squeezed, blurred, compressed, tinted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .drawing import SIZE_PX, Picture

Colour = NDArray[np.uint8]
_Shades = NDArray[np.float32]

_BLACK = (0, 0, 0)
_BLUR_SHARE = 0.4
_NOISE_SHARE = 0.5
_JPEG_SHARE = 0.35
_TINT_SHARE = 0.3
_PEN_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Weather:
    """How rough pictures are treated; shares are from 0 to 1."""

    clean_share: float
    """Pictures that stay as they were drawn."""
    turn_deg: float
    smallest: float
    """Least scale; what is small may stand off the middle."""
    stretch: float
    """Largest logarithm of width by height."""
    negative_share: float
    """White on black."""
    no_drawings: int
    """How many of the kinds of `no_drawing` occur, in their order."""


MILD = Weather(clean_share=0.25, turn_deg=8.0, smallest=0.85, stretch=0.0, negative_share=0.0, no_drawings=3)
ROUGH = Weather(clean_share=0.2, turn_deg=10.0, smallest=0.6, stretch=0.4, negative_share=0.08, no_drawings=5)


def weathered(picture: Picture, rng: np.random.Generator, weather: Weather) -> Colour:
    """Return the picture as (128, 128, 3) uint8 RGB."""
    if rng.random() < weather.clean_share:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB).astype(np.uint8)
    grey = _posed(picture, rng, weather)
    if rng.random() < _PEN_SHARE:
        kernel = np.ones((2, 2), np.uint8)
        grey = np.asarray(cv2.erode(grey, kernel) if rng.random() < 0.5 else cv2.dilate(grey, kernel), np.uint8)
    if rng.random() < _BLUR_SHARE:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.4, 1.6))), np.uint8)
    colour = _inked(grey, rng)
    if rng.random() < _NOISE_SHARE:
        colour += rng.normal(0.0, rng.uniform(2.0, 28.0), colour.shape).astype(np.float32)
    out = np.clip(colour, 0, 255).astype(np.uint8)
    if rng.random() < weather.negative_share:
        out = 255 - out
    return compressed(out, int(rng.integers(20, 90))) if rng.random() < _JPEG_SHARE else out


def compressed(colour: Colour, quality: int) -> Colour:
    """Through JPEG and back."""
    _, data = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def moved(
    picture: Picture,
    degrees: float,
    scale: tuple[float, float] = (1.0, 1.0),
    shift_px: tuple[float, float] = (0.0, 0.0),
) -> Picture:
    """The picture scaled (x, y), turned about its middle and shifted, with paper around it."""
    middle = (SIZE_PX - 1) / 2
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag(scale)
    offset = np.array([middle, middle]) + shift_px - linear @ np.array([middle, middle])
    out = cv2.warpAffine(
        picture,
        np.column_stack([linear, offset]),
        (SIZE_PX, SIZE_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255,),
    )
    return np.asarray(out, dtype=np.uint8)


def no_drawing(rng: np.random.Generator, weather: Weather = ROUGH) -> Colour:
    """Something that shows no known object: a flat colour, noise, smooth shades, a tangle of lines, or letters."""
    made = _NO_DRAWINGS[int(rng.integers(weather.no_drawings))](rng)
    return np.clip(made, 0, 255).astype(np.uint8)


def _flat(rng: np.random.Generator) -> _Shades:
    return np.broadcast_to(rng.uniform(0, 255, 3), (SIZE_PX, SIZE_PX, 3)).astype(np.float32)


def _noise(rng: np.random.Generator) -> _Shades:
    return _flat(rng) + rng.normal(0, rng.uniform(5, 90), (SIZE_PX, SIZE_PX, 3)).astype(np.float32)


def _shades(rng: np.random.Generator) -> _Shades:
    cells = int(rng.integers(2, 9))
    coarse = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC), np.float32)


def _tangle(rng: np.random.Generator) -> _Shades:
    sheet = np.full((SIZE_PX, SIZE_PX, 3), 255, np.uint8)
    run = rng.integers(4, SIZE_PX - 4, (int(rng.integers(4, 15)), 2)).astype(np.int32)
    cv2.polylines(sheet, [run], bool(rng.random() < 0.5), _BLACK, int(rng.integers(1, 4)), cv2.LINE_AA)
    return sheet.astype(np.float32)


def _letters(rng: np.random.Generator) -> _Shades:
    sheet = np.full((SIZE_PX, SIZE_PX, 3), 255, np.uint8)
    for _ in range(int(rng.integers(1, 9))):
        text = "".join(chr(int(code)) for code in rng.integers(65, 123, int(rng.integers(1, 9))))
        corner = (int(rng.integers(0, 70)), int(rng.integers(20, 124)))
        size, pen = float(rng.uniform(0.4, 2.4)), int(rng.integers(1, 4))
        cv2.putText(sheet, text, corner, int(rng.integers(0, 8)), size, _BLACK, pen, cv2.LINE_AA)
    return sheet.astype(np.float32)


_NO_DRAWINGS = (_flat, _noise, _shades, _tangle, _letters)


def _posed(picture: Picture, rng: np.random.Generator, weather: Weather) -> Picture:
    mirrored = picture[:, ::-1] if rng.random() < 0.5 else picture
    scale = float(rng.uniform(weather.smallest, 1.1))
    stretch = float(np.exp(rng.uniform(-weather.stretch, weather.stretch))) if rng.random() < 0.5 else 1.0
    # What is small may stand anywhere on the sheet, what fills it cannot.
    room_px = 4 + max(0.0, 1 - scale) * SIZE_PX / 3
    return moved(
        np.ascontiguousarray(mirrored),
        float(rng.uniform(-weather.turn_deg, weather.turn_deg)),
        (scale * min(1.0, stretch), scale * min(1.0, 1 / stretch)),
        (float(rng.uniform(-room_px, room_px)), float(rng.uniform(-room_px, room_px))),
    )


def _inked(grey: Picture, rng: np.random.Generator) -> NDArray[np.float32]:
    """Grey levels between an ink and a paper colour; mostly black on white."""
    share = (grey.astype(np.float32) / 255.0)[:, :, None]
    if rng.random() >= _TINT_SHARE:
        return np.repeat(share * 255.0, 3, axis=2)
    ink = rng.uniform(0, 110, 3).astype(np.float32)
    paper = rng.uniform(165, 255, 3).astype(np.float32)
    return np.asarray(ink + share * (paper - ink), dtype=np.float32)
