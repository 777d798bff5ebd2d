"""The fonts that a server has: kerf's own two, and the files of a folder that its operator filled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.lettering.font_files import FontFile
from kerf_optimizer.domain.lettering.glyphs import Font, FontLimits
from kerf_optimizer.domain.lettering.stroke_font import ROUND_PEN, StrokeFont

STROKE_FONT, ROUND_FONT = "kerf-stroke", "kerf-round"
DEFAULT_FONT = STROKE_FONT
BROUGHT = "that was sent"
_PENS = {STROKE_FONT: 0.0, ROUND_FONT: ROUND_PEN}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
_SUFFIXES = (".ttf", ".otf")


class FontShelf:
    """Fonts by name: `kerf-stroke` (single lines), `kerf-round` (outlines), and `.ttf` and `.otf` files of `folder`.

    A file's name without its ending is the font's. The folder is looked at once; whatever is there later is not known.
    A folder that cannot be read is as if it were empty: ask `names` at the start.
    """

    def __init__(self, folder: Path | None = None, limits: FontLimits | None = None) -> None:
        self._limits = limits or FontLimits()
        self._files: Mapping[str, Path] = MappingProxyType(dict(sorted(_font_files(folder)) if folder else ()))

    @property
    def max_bytes(self) -> int:
        """Largest font that is read."""
        return self._limits.max_bytes

    def names(self) -> list[str]:
        """Names of all fonts, kerf's own first."""
        return [*_PENS, *self._files]

    def named(self, name: str) -> Font:
        """One font; "" = `kerf-stroke`. Raises InvalidArgument (FONT_UNKNOWN), and as `FontFile` does."""
        name = name or DEFAULT_FONT
        if name in _PENS:
            return StrokeFont(name, _PENS[name])
        if name not in self._files:
            text = f"there is no font {name[:64]!r}; known: {', '.join(self.names())}. Or send one as a source."
            raise InvalidArgument.of_field("font", text, reason="FONT_UNKNOWN")
        return FontFile(self._files[name].read_bytes(), name, self._limits)

    def brought(self, data: bytes) -> Font:
        """A font that came with the request. Raises InvalidArgument as `FontFile` does."""
        return FontFile(data, BROUGHT, self._limits)


def _font_files(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()]
    return [(path.stem, path) for path in files if _NAME.fullmatch(path.stem) and path.stem not in _PENS]
