"""Lengths as people write them."""

from __future__ import annotations

import re

MAX_LENGTH_MM = 3000.0
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": 25.4}
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s?(mm|cm|in)", re.ASCII)


def parse_length_mm(text: str) -> float:
    """Millimetres of `80mm`, `8cm`, `3.1in`: more than 0, at most 3000. Raises ValueError with what was expected."""
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no length: write a number and its unit, such as 80mm, 8cm or 3.1in")
    length_mm = float(match[1]) * _MM_PER_UNIT[match[2]]
    if not 0 < length_mm <= MAX_LENGTH_MM:
        raise ValueError(f"{text!r}: a length must be more than 0 and at most {MAX_LENGTH_MM:g}mm")
    return length_mm
