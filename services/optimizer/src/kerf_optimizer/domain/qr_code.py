"""QR codes (ISO/IEC 18004) as areas to fill, cut or score. segno makes the pattern; kerf makes paths of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import segno
import shapely
from segno.encoder import DataOverflowError

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.areas import area_paths
from kerf_optimizer.domain.geometry import Drawing

QUIET_MODULES = 4
"""The standard's free border."""
MAX_QUIET_MODULES = 20
MIN_SIZE_MM, MAX_SIZE_MM = 2.0, 1000.0
REFUSED_SPOTS, SURE_SPOTS = 2.0, 4.0
"""Modules narrower than so many spots are refused, and below the second figure warned about."""
_ROUNDING = 1e-6


class Correction(Enum):
    """How much of the code may be lost: about 7, 15, 25 and 30 %."""

    LOW = "L"
    MEDIUM = "M"
    QUARTILE = "Q"
    HIGH = "H"


@dataclass(frozen=True)
class QrCode:
    """What a code says and how large it is. `size_mm` is its side with the free border on both sides.

    `light_burns`: on slate, glass or anodised aluminium the burn is lighter than what is left, so the light modules
    and the free border burn instead of the dark ones.
    """

    content: str
    size_mm: float
    correction: Correction = Correction.MEDIUM
    quiet_modules: int = QUIET_MODULES
    light_burns: bool = False


@dataclass(frozen=True, eq=False)
class QrDrawing:
    """A square sheet with the code in its middle, the side of a module, and what the caller should know."""

    drawing: Drawing
    module_mm: float
    warnings: tuple[str, ...]


def draw_qr_code(code: QrCode, spot_mm: float) -> QrDrawing:
    """The code as the merged borders of its modules: no edge between two burnt modules is drawn.

    Raises InvalidArgument naming the field: QR_TOO_LONG, QR_TOO_SMALL (modules narrower than two spots), and figures
    out of range.
    """
    for field, value, low, high in (
        ("size_mm", code.size_mm, MIN_SIZE_MM, MAX_SIZE_MM),
        ("quiet_modules", code.quiet_modules, 0, MAX_QUIET_MODULES),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidArgument.of_field(field, f"{value:g} is outside {low:g} to {high:g}.")
    if not code.content:
        raise InvalidArgument.of_field("content", "a QR code needs something to say.")
    rows = _modules(code)
    side = len(rows) + 2 * code.quiet_modules
    module_mm = code.size_mm / side
    least_mm = math.ceil(REFUSED_SPOTS * spot_mm * side * 10 - _ROUNDING) / 10
    if code.size_mm < REFUSED_SPOTS * spot_mm * side - _ROUNDING:
        text = (
            f"modules of {module_mm:.3f} mm cannot be told apart with a spot of {spot_mm:g} mm; make the code at least "
            f"{least_mm:g} mm wide, its content shorter or its correction lower."
        )
        raise InvalidArgument.of_field("size_mm", text, reason="QR_TOO_SMALL")
    area = shapely.union_all(list(_runs(rows, code.quiet_modules, module_mm)))
    if code.light_burns:
        area = shapely.box(0, 0, code.size_mm, code.size_mm).difference(area)
    return QrDrawing(
        Drawing(code.size_mm, code.size_mm, area_paths(area)), module_mm, tuple(_warnings(code, module_mm, spot_mm))
    )


def _modules(code: QrCode) -> Sequence[bytes | bytearray]:
    """Rows of modules, 1 = dark."""
    try:
        return segno.make_qr(code.content, error=code.correction.value, boost_error=False).matrix
    except (DataOverflowError, UnicodeError) as error:
        text = f"{len(code.content)} characters do not fit into a QR code with correction {code.correction.value}."
        raise InvalidArgument.of_field("content", text, reason="QR_TOO_LONG") from error


def _runs(rows: Sequence[bytes | bytearray], border: int, module_mm: float) -> Iterator[shapely.Polygon]:
    for y, row in enumerate(rows):
        start = None
        for x, dark in enumerate([*row, 0]):
            if dark and start is None:
                start = x
            elif not dark and start is not None:
                corners = ((border + start, border + y), (border + x, border + y + 1))
                (left, top), (right, bottom) = ((a * module_mm, b * module_mm) for a, b in corners)
                yield shapely.box(left, top, right, bottom)
                start = None


def _warnings(code: QrCode, module_mm: float, spot_mm: float) -> Iterator[str]:
    if module_mm < SURE_SPOTS * spot_mm:
        yield (
            f"The QR code's modules of {module_mm:.2f} mm are narrower than {SURE_SPOTS:g} spots of {spot_mm:g} mm: "
            "try it on a scrap before you rely on it."
        )
    if code.quiet_modules < QUIET_MODULES:
        yield f"The QR code's free border is {code.quiet_modules} modules; the standard asks for {QUIET_MODULES}."
