"""The parameters of drawing. Pictures drawn in another dialect show the same things with another hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Ranges from which each picture's hand is drawn; px are pixels of a picture of 128 px."""

    name: str
    line_px: Range
    """Width of outlines."""
    tilt_deg: float
    """Largest tilt either way, of things that stand upright."""
    stretch: float
    """Largest logarithm of width by height."""
    bend: float
    """Largest shear, taper and bow, as a share of the drawing's size."""
    fill: Range
    """Share of the room that a drawing fills."""
    in_step: bool
    """Whether screens start at the page's corner and lean one way. With a period of 8 px along rows and columns they
    then look alike in each cell of an autoencoder that shrinks by 8, which a small model learns far sooner."""
    hatch_px: Range
    """Period of engraved lines along a row of pixels."""
    hatch_deg: Range
    """Slope of engraved lines, either way."""
    crossed_share: float
    """Engravings whose darkest parts are hatched both ways."""
    dot_px: Range
    """Distance of halftone dots."""
    screen_deg: Range
    """Angle of the halftone screen."""
    bridge_px: Range
    """Width of the bridges of a stencil."""
    facet_px: Range
    """Size of the facets of a geometric drawing."""


TRAINING = Dialect(
    name="training",
    line_px=(2.2, 3.0),
    tilt_deg=8.0,
    stretch=0.14,
    bend=0.06,
    fill=(0.82, 1.0),
    in_step=True,
    hatch_px=(8.0, 8.0),
    hatch_deg=(45.0, 45.0),
    crossed_share=0.0,
    # Diagonal neighbours are 4 px apart along rows and columns.
    dot_px=(4.0 * 2.0**0.5, 4.0 * 2.0**0.5),
    screen_deg=(45.0, 45.0),
    bridge_px=(2.8, 3.6),
    facet_px=(18.0, 24.0),
)
JUDGE = Dialect(
    name="judge",
    line_px=(1.5, 3.4),
    tilt_deg=15.0,
    stretch=0.26,
    bend=0.13,
    fill=(0.68, 1.0),
    in_step=False,
    hatch_px=(6.6, 9.6),
    hatch_deg=(32.0, 58.0),
    crossed_share=0.35,
    dot_px=(4.8, 6.8),
    screen_deg=(25.0, 65.0),
    bridge_px=(2.5, 4.2),
    facet_px=(12.0, 25.0),
)


def between(rng: np.random.Generator, bounds: Range) -> float:
    """Draw a number from a range."""
    return float(rng.uniform(*bounds))
