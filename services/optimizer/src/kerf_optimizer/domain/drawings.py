"""Drawings that kerf makes itself for a plan: text and QR codes, each at its place on the sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument, Violation
from kerf_optimizer.domain.geometry import Drawing, Path, path_of
from kerf_optimizer.domain.lettering import FontShelf, TextStyle, text_paths
from kerf_optimizer.domain.qr_code import QrCode, draw_qr_code

MAX_PLACE_MM = 3000.0
_LEAST_SIDE_MM = 0.01


@dataclass(frozen=True)
class TextDrawing:
    """Text in a font that the server has (`font`, "" = the stroke font) or in one of the sources (`font_input`)."""

    text: str
    style: TextStyle
    font: str = ""
    font_input: int | None = None


@dataclass(frozen=True)
class MadeDrawing:
    """What to draw, and where its top left corner lies on the sheet, from the sheet's top left corner."""

    what: TextDrawing | QrCode
    x_mm: float = 0.0
    y_mm: float = 0.0


@dataclass(frozen=True)
class DrawingLimits:
    """What all drawings of one plan may cost."""

    max_nodes: int = 200_000


def font_inputs(drawings: Sequence[MadeDrawing]) -> frozenset[int]:
    """The sources that are fonts."""
    texts = (drawing.what for drawing in drawings)
    return frozenset(t.font_input for t in texts if isinstance(t, TextDrawing) and t.font_input is not None)


def draw(
    drawings: Sequence[MadeDrawing],
    fonts: Mapping[int, bytes],
    shelf: FontShelf,
    spot_mm: float,
    limits: DrawingLimits,
    check_cancelled: Callable[[], None],
) -> tuple[list[Drawing], list[str]]:
    """The drawings, each on a sheet that reaches from (0, 0) to its far corner, and warnings.

    `fonts` holds the sources that are fonts by their index. Raises InvalidArgument naming `drawings[i].<field>` as
    `text_paths`, `FontShelf` and `draw_qr_code` do, and whatever `check_cancelled` raises.
    """
    made: list[Drawing] = []
    warnings: list[str] = []
    left = limits.max_nodes
    for index, drawing in enumerate(drawings):
        check_cancelled()
        try:
            paths, size_mm, found = _draw_one(drawing, fonts, shelf, spot_mm, left, check_cancelled)
        except InvalidArgument as error:
            raise _in_drawing(error, index, "text" if isinstance(drawing.what, TextDrawing) else "qr_code") from error
        left -= sum(len(path.points_mm) for path in paths)
        shift = (drawing.x_mm, drawing.y_mm)
        width_mm, height_mm = (side + place for side, place in zip(size_mm, shift, strict=True))
        moved = [path_of(path.points_mm + shift, closed=path.closed) for path in paths]
        made.append(Drawing(width_mm, height_mm, tuple(moved)))
        warnings += found
    return made, warnings


def _draw_one(
    drawing: MadeDrawing,
    fonts: Mapping[int, bytes],
    shelf: FontShelf,
    spot_mm: float,
    max_nodes: int,
    check_cancelled: Callable[[], None],
) -> tuple[tuple[Path, ...], tuple[float, float], tuple[str, ...]]:
    """Paths from (0, 0) on, the size of their sheet, and warnings."""
    for field, place in (("x_mm", drawing.x_mm), ("y_mm", drawing.y_mm)):
        if not (math.isfinite(place) and 0 <= place <= MAX_PLACE_MM):
            raise InvalidArgument.of_field(field, f"{place:g} is outside 0 to {MAX_PLACE_MM:g}.")
    what = drawing.what
    if isinstance(what, QrCode):
        code = draw_qr_code(what, spot_mm)
        return code.drawing.paths, (what.size_mm, what.size_mm), code.warnings
    if what.font_input is None:
        font = shelf.named(what.font)
    elif what.font_input in fonts:
        font = shelf.brought(fonts[what.font_input])
    else:
        text = f"there is no source {what.font_input}; sources are counted from 0."
        raise InvalidArgument.of_field("font_input", text)
    paths = text_paths(what.text, font, what.style, max_nodes, check_cancelled)
    far = [max(side) for side in zip(*(path.bounds[2:] for path in paths), strict=True)]
    # A single straight stroke has no width; a sheet must have one.
    return paths, (max(far[0], _LEAST_SIDE_MM), max(far[1], _LEAST_SIDE_MM)), ()


def _in_drawing(error: InvalidArgument, index: int, kind: str) -> InvalidArgument:
    """The same error with the path of the field in the request."""
    where = f"drawings[{index}]"
    found = [
        Violation(
            f"{where}.{each.field if each.field in ('x_mm', 'y_mm') else f'{kind}.{each.field}'}", each.description
        )
        for each in error.violations
    ]
    violations = tuple(found) or (Violation(f"{where}.{kind}", error.message),)
    text = "; ".join(f"{each.field}: {each.description}" for each in violations)
    return InvalidArgument(error.reason, text, violations=violations)
