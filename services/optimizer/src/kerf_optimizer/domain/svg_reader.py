"""SVG files from anybody to polylines in millimetres.

The walk over the file is our own, so that its cost has a bound: nothing is expanded, fetched or executed. What cannot
be burnt as it looks (text, pictures, clipping) is refused rather than left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

import numpy as np
import svgelements
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.curves import count_segments, flatten, polylines
from kerf_optimizer.domain.geometry import Drawing, Path

_SVG = "{http://www.w3.org/2000/svg}"
_LABEL = "{http://www.inkscape.org/namespaces/inkscape}label"
_MM_PER_UNIT = {
    "": 25.4 / 96,
    "px": 25.4 / 96,
    "mm": 1.0,
    "cm": 10.0,
    "q": 0.25,
    "in": 25.4,
    "pt": 25.4 / 72,
    "pc": 25.4 / 6,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LENGTH = re.compile(rf"\s*({_NUMBER})\s*([a-zA-Z]*)\s*")
_VIEW_BOX = re.compile(rf"\s*({_NUMBER})[\s,]+({_NUMBER})[\s,]+({_NUMBER})[\s,]+({_NUMBER})\s*")
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)")
_TRANSFORM = re.compile(r"[\s,]*(?:(?:matrix|translate|scale|rotate|skewX|skewY)\s*\([-+.\deE\s,]*\)[\s,]*)*")
_PATH_DATA = re.compile(r"[MmLlHhVvCcSsQqTtAaZz\d.,\s+\-eE]*")
_SHAPES = frozenset(("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"))
_GROUPS = frozenset(("g", "a", "switch"))
_REFUSED = {
    "text": "text; convert it to paths",
    "image": "an embedded picture; send it on its own",
    "use": "a clone (<use>); unlink clones",
    "svg": "an SVG inside the SVG; flatten it",
    "foreignObject": "foreign content; remove it",
    "script": "a script; remove it",
}
_EDGE_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class SvgLimits:
    """What is refused: InvalidArgument SVG_TOO_LARGE."""

    max_bytes: int = 16 * 1024 * 1024
    max_elements: int = 50_000
    max_depth: int = 64
    max_nodes: int = 500_000
    max_segments: int = 100_000
    """Segments of all paths that are not plain polylines; each costs about 50 µs and 2 KiB to read."""
    max_side_mm: float = 10_000.0
    flatten_tolerance_mm: float = 0.01
    """Greatest distance between a curve and the polyline that stands for it."""


@dataclass(frozen=True)
class _Context:
    matrix: svgelements.Matrix
    layer: str
    depth: int


@dataclass
class _Budget:
    """Segments that svgelements may still build."""

    segments: int

    def spend(self, segments: int) -> None:
        self.segments -= segments
        if self.segments < 0:
            raise _too_large("more curves and lines than can be read")


def read_svg(data: bytes, limits: SvgLimits | None = None) -> Drawing:
    """The outlines of all visible shapes of an SVG, in the file's order.

    Units are CSS's (96 px = 1 inch); viewBox, preserveAspectRatio and transforms are applied; curves become polylines
    within `limits.flatten_tolerance_mm`. The layer is the innermost group's Inkscape label, else its id. Fill, stroke
    width and colours are ignored. Points up to 0.01 mm outside the page are moved onto its edge.

    Raises InvalidArgument: SVG_TOO_LARGE; SVG_DAMAGED (no XML, entities, numbers that are no numbers); SVG_UNSUPPORTED
    (text, pictures, clones, clipping, nested SVG); SVG_OUTSIDE_PAGE.
    """
    limits = limits or SvgLimits()
    root = _parse(data, limits)
    width_mm, height_mm, matrix = _page(root, limits)
    context = _Context(matrix, "", 0)
    paths: list[Path] = []
    nodes = 0
    budget = _Budget(limits.max_segments)
    for element, found in _walk(root, context, limits):
        for points, closed in _outlines(element, found.matrix, limits, budget):
            nodes += len(points)
            if nodes > limits.max_nodes:
                raise _too_large(f"more than {limits.max_nodes:,} nodes")
            paths.append(Path(_onto_page(points, width_mm, height_mm), closed, found.layer))
    return Drawing(width_mm, height_mm, tuple(paths))


def _parse(data: bytes, limits: SvgLimits) -> Element:
    if len(data) > limits.max_bytes:
        raise _too_large(f"{len(data):,} bytes; at most {limits.max_bytes:,}")
    # Before the tree is built: each element has at most an opening and a closing tag; comments count as a margin.
    if data.count(b"<") > 3 * limits.max_elements:
        raise _too_large(f"more than {limits.max_elements:,} elements")
    try:
        root: Element = fromstring(data, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError) as error:
        raise _damaged(str(error) or "entities are not allowed") from error
    if root.tag not in (f"{_SVG}svg", "svg"):
        raise InvalidArgument("SVG_DAMAGED", "The file is no SVG: its first element is not <svg>.")
    return root


def _page(root: Element, limits: SvgLimits) -> tuple[float, float, svgelements.Matrix]:
    """Width and height of the page in mm, and the matrix from user units to mm."""
    view = _view_box(root)
    width_mm = _side_mm(root, "width", None if view is None else view[2])
    height_mm = _side_mm(root, "height", None if view is None else view[3])
    for side_mm in (width_mm, height_mm):
        if not 0 < side_mm <= limits.max_side_mm:
            raise _damaged(f"a page of {width_mm:g} × {height_mm:g} mm; sides must be within {limits.max_side_mm:g} mm")
    if view is None:
        scale = _MM_PER_UNIT[""]
        return width_mm, height_mm, svgelements.Matrix(scale, 0, 0, scale, 0, 0)
    x, y, width, height = view
    scale_x, scale_y = width_mm / width, height_mm / height
    aspect = root.get("preserveAspectRatio", "xMidYMid").split()
    if aspect[:1] == ["none"]:
        return width_mm, height_mm, svgelements.Matrix(scale_x, 0, 0, scale_y, -x * scale_x, -y * scale_y)
    scale = max(scale_x, scale_y) if "slice" in aspect else min(scale_x, scale_y)
    align = aspect[0] if aspect else "xMidYMid"
    shift_x = (width_mm - width * scale) * _share(align, "x")
    shift_y = (height_mm - height * scale) * _share(align, "Y")
    return width_mm, height_mm, svgelements.Matrix(scale, 0, 0, scale, shift_x - x * scale, shift_y - y * scale)


def _share(align: str, axis: str) -> float:
    for name, share in (("Min", 0.0), ("Max", 1.0)):
        if f"{axis}{name}" in align:
            return share
    return 0.5


def _view_box(root: Element) -> tuple[float, float, float, float] | None:
    text = root.get("viewBox")
    if text is None:
        return None
    match = _VIEW_BOX.fullmatch(text)
    if match is None:
        raise _damaged("its viewBox is not four numbers")
    x, y, width, height = (float(number) for number in match.groups())
    if not np.isfinite([x, y, width, height]).all() or width <= 0 or height <= 0:
        raise _damaged("its viewBox has no size")
    return (x, y, width, height)


def _side_mm(root: Element, name: str, view_units: float | None) -> float:
    text = root.get(name, "").strip()
    if text in ("", "auto", "100%"):
        if view_units is None:
            raise _damaged(f"it has neither {name} nor viewBox, so its size is not known")
        return view_units * _MM_PER_UNIT[""]
    match = _LENGTH.fullmatch(text)
    unit = None if match is None else _MM_PER_UNIT.get(match.group(2).lower())
    if match is None or unit is None:
        raise _damaged(f"its {name} is no length in mm, cm, in, pt, pc, Q or px")
    return float(match.group(1)) * unit


def _walk(parent: Element, context: _Context, limits: SvgLimits) -> Iterator[tuple[Element, _Context]]:
    """Visible shapes with their matrix and layer, in the file's order. Recursion is bounded by `max_depth`."""
    if context.depth > limits.max_depth:
        raise _too_large(f"groups nested more than {limits.max_depth} deep")
    for element in parent:
        name = _local_name(element)
        if name in _REFUSED:
            raise _unsupported(_REFUSED[name])
        if name not in _SHAPES and name not in _GROUPS:
            continue  # definitions, metadata, titles: nothing that is drawn where it stands
        if _is_hidden(element):
            continue
        _refuse_clipping(element)
        inner = _Context(_transformed(element, context.matrix), context.layer, context.depth + 1)
        if name in _SHAPES:
            yield element, inner
        else:
            label = element.get(_LABEL) or element.get("id") or context.layer
            yield from _walk(element, _Context(inner.matrix, label, inner.depth), limits)


def _local_name(element: Element) -> str:
    tag = str(element.tag)  # a comment's is a function, whose name is no shape's
    if tag.startswith(_SVG):
        return tag[len(_SVG) :]
    return "" if tag.startswith("{") else tag


def _is_hidden(element: Element) -> bool:
    return (
        element.get("display") == "none"
        or element.get("visibility") == "hidden"
        or _HIDDEN.search(element.get("style", "")) is not None
    )


def _refuse_clipping(element: Element) -> None:
    style = element.get("style", "")
    for name in ("clip-path", "mask"):
        if element.get(name, "none") != "none" or re.search(rf"(?:^|;)\s*{name}\s*:\s*url", style):
            raise _unsupported(f"a {name}; apply it to the shapes first")


def _transformed(element: Element, outer: svgelements.Matrix) -> svgelements.Matrix:
    text = element.get("transform")
    if not text:
        return outer
    if _TRANSFORM.fullmatch(text) is None:
        raise _damaged("a transform cannot be read")
    try:
        matrix = svgelements.Matrix(text) * outer
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
        raise _damaged("a transform cannot be read") from error
    if not np.isfinite([matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f]).all():
        raise _damaged("a transform has a number that is not finite")
    return matrix


def _outlines(
    element: Element, matrix: svgelements.Matrix, limits: SvgLimits, budget: _Budget
) -> list[tuple[NDArray[np.float64], bool]]:
    plain = polylines(element.get("d", "")) if _local_name(element) == "path" else None
    if plain is not None:
        linear = np.array([[matrix.a, matrix.b], [matrix.c, matrix.d]])
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused with the other points
            return [(points @ linear + (matrix.e, matrix.f), closed) for points, closed in plain]
    budget.spend(count_segments(element.get("d", "")) + len(element.get("points", "")) // 4)
    try:
        return flatten(_shape(element) * matrix, limits.flatten_tolerance_mm, limits.max_nodes)
    except InvalidArgument:
        raise
    # svgelements answers hostile numbers with whatever its arithmetic happens to raise.
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _damaged(f"a <{_local_name(element)}> cannot be read") from error


def _shape(element: Element) -> svgelements.Path:
    name = _local_name(element)
    if name == "path":
        data = element.get("d", "")
        if _PATH_DATA.fullmatch(data) is None:
            raise _damaged("path data contains what is neither command nor number")
        return svgelements.Path(data)
    kind = getattr(svgelements, {"line": "SimpleLine"}.get(name, name.capitalize()))
    allowed = ("x", "y", "width", "height", "rx", "ry", "cx", "cy", "r", "x1", "y1", "x2", "y2", "points")
    values = {key: value for key, value in element.attrib.items() if key in allowed}
    for key, value in values.items():
        if key != "points" and _LENGTH.fullmatch(value) is None:
            raise _damaged(f"{key} of a <{name}> is no length")
    return svgelements.Path(kind(values))


def _onto_page(points: NDArray[np.float64], width_mm: float, height_mm: float) -> NDArray[np.float64]:
    if not np.isfinite(points).all():
        raise _damaged("a coordinate is not a finite number")
    on_page = np.clip(points, 0.0, (width_mm, height_mm))
    outside_mm = float(np.abs(on_page - points).max())
    if outside_mm > _EDGE_TOLERANCE_MM:
        raise InvalidArgument(
            "SVG_OUTSIDE_PAGE",
            f"A shape lies {outside_mm:.2f} mm outside the page of {width_mm:g} × {height_mm:g} mm. "
            "Enlarge the page to the drawing.",
        )
    return on_page


def _too_large(what: str) -> InvalidArgument:
    return InvalidArgument("SVG_TOO_LARGE", f"The SVG has {what}. Send a simpler one.")


def _damaged(what: str) -> InvalidArgument:
    return InvalidArgument("SVG_DAMAGED", f"The SVG cannot be used: {what[:200]}.")


def _unsupported(what: str) -> InvalidArgument:
    return InvalidArgument("SVG_UNSUPPORTED", f"The SVG contains {what}.")
