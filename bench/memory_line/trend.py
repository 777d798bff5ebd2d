"""How fast a series of figures grows, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import theilslopes

STRETCHES = 24
"""Samples that follow one another resemble one another, and an interval from all of them would be far too narrow: the
line goes through the medians of so many stretches of equal length."""
MIN_STRETCHES = 8
"""With fewer there is no slope."""


@dataclass(frozen=True)
class Trend:
    """A straight line through a series, in MiB and hours."""

    slope: float
    """MiB per hour: the median of the slopes between all pairs of points (Theil 1950, Sen 1968)."""
    low: float
    high: float
    """Where the slope lies with a confidence of 95 % (Sen 1968)."""
    first: float
    last: float
    """MiB: medians of the first and the last stretch."""

    @property
    def spread(self) -> float:
        """MiB per hour: half the width of the interval."""
        return (self.high - self.low) / 2


def trend(seconds: Sequence[float], mib: Sequence[float]) -> Trend | None:
    """The line through samples `mib` taken at `seconds`; None where they are too few for one."""
    points = _stretches(seconds, mib)
    if len(points) < MIN_STRETCHES:
        return None
    hours = [moment / 3600 for moment, _ in points]
    levels = [level for _, level in points]
    slope, _, low, high = theilslopes(levels, hours, alpha=0.95)
    if not all(map(math.isfinite, (slope, low, high))):
        return None
    return Trend(float(slope), float(low), float(high), levels[0], levels[-1])


def _stretches(seconds: Sequence[float], mib: Sequence[float]) -> list[tuple[float, float]]:
    """(middle, median) of each stretch that has samples."""
    if len(seconds) < 2:
        return []
    begin, end = seconds[0], seconds[-1]
    groups: dict[int, list[tuple[float, float]]] = {}
    for moment, value in zip(seconds, mib, strict=True):
        number = min(STRETCHES - 1, int(STRETCHES * (moment - begin) / (end - begin)))
        groups.setdefault(number, []).append((moment, value))
    return [
        (statistics.fmean(moment for moment, _ in group), statistics.median(value for _, value in group))
        for _, group in sorted(groups.items())
    ]
