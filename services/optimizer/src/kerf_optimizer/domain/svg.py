"""Drawings as SVG files in true millimetres: written, and compared with what a reader makes of them.

The reader, which takes files from anybody, is `svg_reader`; `read_svg` is offered here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Drawing, Path
from kerf_optimizer.domain.svg_reader import SvgLimits, read_svg

__all__ = ["RESOLUTION_MM", "SvgLimits", "assert_same_drawing", "format_mm", "read_svg", "write_svg"]

RESOLUTION_MM = 0.001
"""Numbers are written to this; a file read back must agree with the drawing to half of it."""
_MICROMETRES = 1000
_COMPARED_MM = RESOLUTION_MM / 2 + 1e-6
_COLOUR = "#000000"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 does not allow in any form."""


def format_mm(value_mm: float) -> str:
    """A length to 0.001 mm without trailing zeros: `12.5`, `0`, `-0.001`. Never an exponent, never `-0`."""
    return _format_micrometres(round(value_mm * _MICROMETRES))


def write_svg(
    drawing: Drawing, *, title: str = "", colours: Mapping[str, str] | None = None, stroke_width_mm: float = 0.1
) -> bytes:
    """An SVG 1.1 file with width and height in mm and a viewBox in mm. The same drawing gives the same bytes.

    Paths are strokes without fill, in their order; neighbours of one layer share a group that names it. `colours` maps
    a layer to its stroke (`#rrggbb`), black where it has none. In `title`, what XML cannot hold becomes a space.
    """
    width, height = format_mm(drawing.width_mm), format_mm(drawing.height_mm)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"'
        f' version="1.1" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}">',
    ]
    if title:
        lines.append(f"<title>{escape(_FORBIDDEN.sub(' ', title))}</title>")
    for layer, paths in groupby(drawing.paths, key=lambda path: path.layer):
        named = f' inkscape:groupmode="layer" inkscape:label={quoteattr(layer)}' if layer else ""
        stroke = quoteattr((colours or {}).get(layer, _COLOUR))
        lines.append(f'<g{named} fill="none" stroke={stroke} stroke-width="{format_mm(stroke_width_mm)}">')
        lines.extend(f'<path d="{_path_data(path)}"/>' for path in paths)
        lines.append("</g>")
    lines.append("</svg>\n")
    return "\n".join(lines).encode()


def assert_same_drawing(meant: Drawing, found: Drawing, tolerance_mm: float = _COMPARED_MM) -> None:
    """Compare a drawing with what was read back from its file.

    Sheet, number, order, layers and closedness of the paths must be equal, points must agree to `tolerance_mm` in each
    coordinate. Points that fall together at 0.001 mm count once. Raises Internal (READ_BACK_DIFFERS) naming the first
    difference.
    """
    for name, wanted, got in (
        ("width_mm", meant.width_mm, found.width_mm),
        ("height_mm", meant.height_mm, found.height_mm),
        ("number of paths", len(meant.paths), len(found.paths)),
    ):
        if abs(wanted - got) > tolerance_mm:
            raise _differs(f"{name} is {got:g}, meant was {wanted:g}")
    for index, (wanted_path, got_path) in enumerate(zip(meant.paths, found.paths, strict=True)):
        difference = _path_difference(wanted_path, got_path, tolerance_mm)
        if difference:
            raise _differs(f"path {index} {difference}")


def _path_difference(meant: Path, found: Path, tolerance_mm: float) -> str:
    if _is_loop(meant) != _is_loop(found):
        return "is a loop" if _is_loop(found) else "is open"
    if meant.layer != found.layer:
        return f"lies on layer {found.layer!r} instead of {meant.layer!r}"
    wanted, got = _distinct_points(meant), _distinct_points(found)
    if len(wanted) != len(got):
        return f"has {len(got)} points instead of {len(wanted)}"
    distance_mm = float(np.abs(wanted - got).max())
    return f"is off by {distance_mm:.4f} mm" if distance_mm > tolerance_mm else ""


def _on_grid(path: Path) -> NDArray[np.float64]:
    grid: NDArray[np.float64] = np.rint(path.points_mm * _MICROMETRES)
    return grid


def _is_loop(path: Path) -> bool:
    grid = _on_grid(path)
    return path.closed or bool(len(grid) > 2 and (grid[0] == grid[-1]).all())


def _distinct_points(path: Path) -> NDArray[np.float64]:
    grid = _on_grid(path)
    following = np.roll(grid, -1, axis=0)
    keep = (grid != following).any(axis=1)
    if not _is_loop(path) or not keep.any():
        keep[-1] = True
    distinct: NDArray[np.float64] = path.points_mm[keep]
    return distinct


def _differs(what: str) -> Internal:
    return Internal("READ_BACK_DIFFERS", f"The file that was written does not say what was meant: {what}.")


def _path_data(path: Path) -> str:
    numbers = iter(_micrometre_texts(path))
    pairs = [f"{x},{next(numbers)}" for x in numbers]
    return "M" + "L".join(pairs) + ("Z" if path.closed else "")


def _micrometre_texts(path: Path) -> Iterator[str]:
    micrometres: list[int] = np.rint(path.points_mm * _MICROMETRES).astype(np.int64).ravel().tolist()
    return (_format_micrometres(value) for value in micrometres)


def _format_micrometres(value: int) -> str:
    whole, rest = divmod(abs(value), _MICROMETRES)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{rest:03d}".rstrip("0") if rest else f"{sign}{whole}"
