"""SVG of the bed in true millimetres, one group per operation in the colours of LightBurn's palette, and its read-back.

The page is the bed; y grows downwards as SVG wants it. Fills are filled, scores and cuts are hairlines, rasters are
1-bit pictures.
"""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from html import escape

import cv2
import defusedxml.ElementTree
import numpy as np

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.comparison import TOLERANCE_MM, compare_layers, differs
from kerf_optimizer.domain.machine.work import Layer, PlacedRaster
from kerf_optimizer.domain.presets import MachineProfile, OperationKind

CHECK = "svg-read-back"
HAIRLINE_MM = 0.1
_OUTLINE = re.compile(r"(?:M-?\d++\.\d++,-?\d++\.\d++(?: -?\d++\.\d++,-?\d++\.\d++)++Z? ?)*+")
_SVG = "{http://www.w3.org/2000/svg}"
_PREFIX = "data:image/png;base64,"


def write_layered_svg(layers: Sequence[Layer], machine: MachineProfile, title: str) -> bytes:
    """The drawing as UTF-8. Same layers, same bytes."""
    width, height = f"{machine.bed_width_mm:g}", f"{machine.bed_height_mm:g}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" '
        f'viewBox="0 0 {width} {height}">',
        f"<title>{escape(printable(title))}</title>",
    ]
    for layer in layers:
        colour = "#{:02x}{:02x}{:02x}".format(*layer.rgb)
        if layer.kind is OperationKind.ENGRAVE_FILL:
            style = f'fill="{colour}" fill-rule="evenodd" stroke="none"'
        else:
            style = f'fill="none" stroke="{colour}" stroke-width="{HAIRLINE_MM}"'
        lines.append(f'<g id="{layer.name}" {style}>')
        lines.extend(_image(raster, machine.bed_height_mm) for raster in layer.rasters)
        outlines = [_outline(path, machine.bed_height_mm) for path in layer.paths]
        if layer.kind is OperationKind.ENGRAVE_FILL:  # holes need their borders in one element
            outlines = [" ".join(outlines)]
        lines.extend(f'<path d="{outline}"/>' for outline in outlines)
        lines.append("</g>")
    lines += ["</svg>", ""]
    return "\n".join(lines).encode("utf-8")


def printable(text: str) -> str:
    """Text without control characters and lone surrogates, which XML and HTML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def _outline(path: Path, height_mm: float) -> str:
    x_mm, y_mm = path.points_mm[:, 0], height_mm - path.points_mm[:, 1]
    points = " ".join(f"{x:.3f},{y:.3f}" for x, y in zip(x_mm.tolist(), y_mm.tolist(), strict=True))
    return f"M{points}{'Z' if path.closed else ''}"


def _image(raster: PlacedRaster, height_mm: float) -> str:
    rows, columns = raster.burn.shape
    width, height = columns * raster.pitch_mm, rows * raster.pitch_mm
    x, y = raster.left_mm, height_mm - raster.front_mm - height
    data = base64.b64encode(png_of(raster)).decode("ascii")
    return (
        f'<image x="{x:.3f}" y="{y:.3f}" width="{width:.6g}" height="{height:.6g}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="{_PREFIX}{data}"/>'
    )


def png_of(raster: PlacedRaster) -> bytes:
    """A PNG, black = burn, that does not say its size; 1-bit, or 8-bit where pixels have powers."""
    bilevel = int(raster.power is None)
    done, data = cv2.imencode(".png", raster.grey, [cv2.IMWRITE_PNG_BILEVEL, bilevel])
    if not done:
        raise Internal("PNG_ENCODER", "The picture of a raster could not be encoded.")
    return bytes(data)


def check_layered_svg(data: bytes, layers: Sequence[Layer], machine: MachineProfile) -> str:
    """Read the file back and compare size, layers, paths and pixels. Returns what was compared; raises Internal."""
    root = defusedxml.ElementTree.fromstring(data)
    if root.get("width") != f"{machine.bed_width_mm:g}mm" or root.get("height") != f"{machine.bed_height_mm:g}mm":
        raise differs(CHECK, "the page is not the bed")
    groups = root.findall(f"{_SVG}g")
    if [group.get("id") for group in groups] != [layer.name for layer in layers]:
        raise differs(CHECK, "the layers differ")
    found: dict[str, list[Path]] = {}
    pictures = 0
    for group, layer in zip(groups, layers, strict=True):
        found[layer.name] = [path for element in group.findall(f"{_SVG}path") for path in _read_paths(element, machine)]
        images = group.findall(f"{_SVG}image")
        if len(images) != len(layer.rasters):
            raise differs(CHECK, "a picture is missing")
        for image, raster in zip(images, layer.rasters, strict=True):
            _check_image(image, raster, machine)
        pictures += len(images)
    return f"{compare_layers(CHECK, layers, found)}; {pictures} picture(s) pixel by pixel; page in true size"


def _read_paths(element: ElementTree.Element, machine: MachineProfile) -> list[Path]:
    """Subpaths of one element in machine coordinates; nothing but moves, straight lines and closings is understood."""
    outline = element.get("d", "")
    if not _OUTLINE.fullmatch(outline):
        raise differs(CHECK, "an outline that is not straight lines")
    out = []
    for subpath in outline.split("M")[1:]:
        numbers = np.array(subpath.rstrip("Z ").replace(",", " ").split(), dtype=np.float64).reshape(-1, 2)
        points = np.stack([numbers[:, 0], machine.bed_height_mm - numbers[:, 1]], axis=1)
        out.append(Path(points, "Z" in subpath))
    return out


def _check_image(image: ElementTree.Element, raster: PlacedRaster, machine: MachineProfile) -> None:
    raw = base64.b64decode(image.get("href", "").removeprefix(_PREFIX))
    grey = cv2.imdecode(np.frombuffer(raw, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None or not np.array_equal(grey, raster.grey):
        raise differs(CHECK, "a picture has other pixels")
    rows, columns = raster.burn.shape
    size = np.array([columns, rows]) * raster.pitch_mm
    meant = [raster.left_mm, machine.bed_height_mm - raster.front_mm - size[1], *size]
    found = [float(image.get(name, "nan")) for name in ("x", "y", "width", "height")]
    if not np.allclose(found, meant, rtol=0, atol=TOLERANCE_MM):
        raise differs(CHECK, "a picture lies elsewhere")
