"""LightBurn project files (.lbrn2), experimental: the format is not documented by its maker.

What is written follows what public descriptions and readers of such files agree on: a `CutSetting` per layer, chosen by
`CutIndex`; paths as `VertList` (`V<x> <y>` with `c0x1c1x1`, no control points) and `PrimList` (`L<from> <to>`);
pictures as `Bitmap` around the middle of their `XForm`; millimetres, y upwards, speeds in mm/s, power in per cent.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

import cv2
import defusedxml.ElementTree
import numpy as np

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.comparison import TOLERANCE_MM, compare_layers, differs
from kerf_optimizer.domain.machine.layered_svg import png_of
from kerf_optimizer.domain.machine.work import GreyMeaning, Layer, PlacedRaster
from kerf_optimizer.domain.presets import MachineProfile, OperationKind

CHECK = "lbrn2-read-back"
EXPERIMENTAL = "The .lbrn2 file is experimental: its format is not documented. Compare it with the SVG before burning."
_KINDS = {
    OperationKind.ENGRAVE_RASTER: ("CutSetting_Img", "Image"),
    OperationKind.ENGRAVE_FILL: ("CutSetting", "Scan"),
    OperationKind.SCORE: ("CutSetting", "Cut"),
    OperationKind.CUT: ("CutSetting", "Cut"),
}
_VERTEX = re.compile(r"V(-?\d+\.\d{4}) (-?\d+\.\d{4})c0x1c1x1")


def write_lightburn(layers: Sequence[Layer], machine: MachineProfile) -> bytes:
    """The project as UTF-8 XML. Same layers, same bytes."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<LightBurnProject AppVersion="1.4.00" DeviceName={quoteattr(machine.name)} FormatVersion="1" '
        'MaterialHeight="0" MirrorX="False" MirrorY="False">',
    ]
    for index, layer in enumerate(layers):
        lines.extend(_setting(index, layer, machine))
    identity = 0
    for index, layer in enumerate(layers):
        for path in layer.paths:
            lines.extend(_shape(index, path, identity))
            identity += 1
        lines.extend(_bitmap(index, raster) for raster in layer.rasters)
    lines += ["</LightBurnProject>", ""]
    return "\n".join(lines).encode("utf-8")


def _setting(index: int, layer: Layer, machine: MachineProfile) -> list[str]:
    tag, kind = _KINDS[layer.kind]
    values = {
        "index": str(index),
        "name": layer.name,
        "maxPower": f"{layer.power_percent:g}",
        "maxPower2": f"{layer.power_percent:g}",
        "speed": f"{layer.feed_mm_per_min / 60:.6f}",
        "numPasses": str(layer.passes),
        "priority": str(index),
    }
    if layer.interval_mm:
        values["interval"] = f"{layer.interval_mm:g}"
    if layer.rasters:
        values["dpi"] = f"{25.4 / layer.rasters[0].pitch_mm:.4f}"
    lines = [f'<{tag} type="{kind}">']
    lines += [f"<{name} Value={quoteattr(value)}/>" for name, value in values.items()]
    return [*lines, f"</{tag}>"]


def _shape(index: int, path: Path, identity: int) -> list[str]:
    points = path.points_mm.tolist()
    vertices = "".join(f"V{x:.4f} {y:.4f}c0x1c1x1" for x, y in points)
    ends = [(i, i + 1) for i in range(len(points) - 1)]
    if path.closed:
        ends.append((len(points) - 1, 0))
    lines = "".join(f"L{start} {end}" for start, end in ends)
    return [
        f'<Shape Type="Path" CutIndex="{index}" VertID="{identity}" PrimID="{identity}">',
        f"<XForm>1 0 0 1 0 0</XForm><VertList>{vertices}</VertList><PrimList>{lines}</PrimList>",
        "</Shape>",
    ]


def _bitmap(index: int, raster: PlacedRaster) -> str:
    (width, height), (x, y) = _size_and_middle_mm(raster)
    data = base64.b64encode(png_of(raster)).decode("ascii")
    return (
        f'<Shape Type="Bitmap" CutIndex="{index}" W="{width:.4f}" H="{height:.4f}" Data="{data}">'
        f"<XForm>1 0 0 1 {x:.4f} {y:.4f}</XForm></Shape>"
    )


def _size_and_middle_mm(raster: PlacedRaster) -> tuple[tuple[float, float], tuple[float, float]]:
    rows, columns = raster.burn.shape
    width, height = columns * raster.pitch_mm, rows * raster.pitch_mm
    return (width, height), (raster.left_mm + width / 2, raster.front_mm + height / 2)


def check_lightburn(data: bytes, layers: Sequence[Layer]) -> str:
    """Read the file back and compare settings, paths and pixels. Returns what was compared; raises Internal."""
    root = defusedxml.ElementTree.fromstring(data)
    settings = [element for element in root if element.tag.startswith("CutSetting")]
    names = [_value(element, "name") for element in settings]
    figures = [(_value(element, "maxPower"), _value(element, "numPasses")) for element in settings]
    if names != [layer.name for layer in layers] or figures != [
        (f"{layer.power_percent:g}", str(layer.passes)) for layer in layers
    ]:
        raise differs(CHECK, "the settings of the layers differ")
    found: dict[str, list[Path]] = {name: [] for name in names}
    pictures: list[tuple[str, Element]] = []
    for shape in root.iter("Shape"):
        name = names[int(shape.get("CutIndex", "-1"))]
        if shape.get("Type") == "Path":
            found[name].append(_read_path(shape))
        else:
            pictures.append((name, shape))
    meant = [(layer.name, raster) for layer in layers for raster in layer.rasters]
    if [name for name, _ in pictures] != [name for name, _ in meant]:
        raise differs(CHECK, "a picture is missing")
    for (_, shape), (_, raster) in zip(pictures, meant, strict=True):
        _check_bitmap(shape, raster)
    return f"{compare_layers(CHECK, layers, found)}; {len(meant)} picture(s) pixel by pixel. {EXPERIMENTAL}"


def lightburn_remarks(layers: Sequence[Layer]) -> list[str]:
    """What of these layers the project does not say, for the operator: it must be set in LightBurn."""
    remarks = []
    for layer in layers:
        if layer.rasters and layer.grey is GreyMeaning.DEPTH:
            remarks.append(f"The .lbrn2 file does not hold the depths of layer {layer.name}: burn the G-code.")
        elif layer.rasters:
            mode = "Grayscale" if layer.grey is GreyMeaning.POWER else "Pass-Through"
            remarks.append(f"The .lbrn2 file says no image mode: set layer {layer.name} to {mode} in LightBurn.")
        if layer.z_step_mm:
            remarks.append(
                f"The .lbrn2 file does not move Z: in LightBurn layer {layer.name} needs a step of "
                f"{layer.z_step_mm:g} mm per pass."
            )
    return remarks


def _value(element: Element, name: str) -> str:
    child = element.find(name)
    return "" if child is None else child.get("Value", "")


def _read_path(shape: Element) -> Path:
    vertices, lines = shape.findtext("VertList", ""), shape.findtext("PrimList", "")
    points = [(float(x), float(y)) for x, y in _VERTEX.findall(vertices)]
    if len(_VERTEX.sub("", vertices)) or shape.findtext("XForm") != "1 0 0 1 0 0" or len(points) < 2:
        raise differs(CHECK, "a path with more than straight lines")
    open_lines = "".join(f"L{i} {i + 1}" for i in range(len(points) - 1))
    closing = f"L{len(points) - 1} 0"
    if lines not in (open_lines, open_lines + closing):
        raise differs(CHECK, "the lines of a path do not follow its points")
    return Path(np.array(points), lines != open_lines)


def _check_bitmap(shape: Element, raster: PlacedRaster) -> None:
    raw = np.frombuffer(base64.b64decode(shape.get("Data", "")), dtype=np.uint8)
    grey = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE)
    if grey is None or not np.array_equal(grey, raster.grey):
        raise differs(CHECK, "a picture has other pixels")
    size, middle = _size_and_middle_mm(raster)
    found = [float(shape.get("W", "nan")), float(shape.get("H", "nan"))]
    found += [float(number) for number in shape.findtext("XForm", "").split()[4:]]
    if not np.allclose(found, [*size, *middle], rtol=0, atol=TOLERANCE_MM):
        raise differs(CHECK, "a picture lies elsewhere")
