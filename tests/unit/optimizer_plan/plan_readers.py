"""Other people's readers, and plain ones for formats that nobody here reads: a file to polylines in millimetres.

Machine coordinates: origin at the front left corner of the bed, y to the back. Each polyline is (n, 2); closed ones
repeat their first point. None of kerf's readers is used.
"""

from __future__ import annotations

import io
import re
import zlib

import defusedxml.ElementTree
import numpy as np
from ezdxf.entities.lwpolyline import LWPolyline
from ezdxf.filemanagement import read
from numpy.typing import NDArray
from svgelements import SVG, Close, Line, Move, Path

from kerf_optimizer.domain.presets import MachineProfile
from plan_controllers import controller

Polyline = NDArray[np.float64]


def read_gcode(data: bytes, machine: MachineProfile) -> list[Polyline]:
    strokes = controller(machine.dialect, machine.s_max).run(data.decode("ascii"))
    return [np.array([[x0, y0], [x1, y1]]) for x0, y0, x1, y1, _ in strokes]


def read_svg(data: bytes, machine: MachineProfile) -> list[Polyline]:
    """By svgelements, which knows CSS units: 25.4 pixels per inch are millimetres."""
    out = []
    for element in SVG.parse(io.BytesIO(data), ppi=25.4).elements():
        if not isinstance(element, Path):
            continue
        points: list[tuple[float, float]] = []
        for segment in element:
            if isinstance(segment, Move) and points:
                out.append(np.array(points))
                points = []
            assert isinstance(segment, (Move, Line, Close))
            points.append((segment.end.x, machine.bed_height_mm - segment.end.y))
        out.append(np.array(points))
    return out


def read_dxf(data: bytes, machine: MachineProfile) -> list[Polyline]:
    """By ezdxf."""
    document = read(io.StringIO(data.decode("utf-8")))
    assert document.header["$INSUNITS"] == 4  # millimetres
    out = []
    for entity in document.modelspace():
        assert isinstance(entity, LWPolyline)
        points = [point[:2] for point in entity.get_points("xy")]
        out.append(np.array([*points, points[0]] if entity.closed else points))
    return out


def read_pdf(data: bytes, machine: MachineProfile) -> list[Polyline]:
    """The page's first stream, with its one matrix, points turned into millimetres."""
    packed = data[data.index(b"stream\n") + 7 : data.index(b"\nendstream")]
    lines = zlib.decompress(packed).decode("ascii").splitlines()
    a, b, c, d, e, f = (float(number) for number in lines[0].removesuffix(" cm").split())
    assert (b, c, e, f) == (0, 0, 0, 0)
    scale = np.array([a, d]) / 72 * 25.4
    out: list[list[list[float]]] = []
    for line in lines[1:]:
        if line.endswith(" m"):
            out.append([[float(number) for number in line.split()[:2]]])
        elif line.endswith(" l"):
            out[-1].append([float(number) for number in line.split()[:2]])
        elif line == "h":
            out[-1].append(out[-1][0])
    return [np.array(points) * scale for points in out]


def read_lbrn2(data: bytes, machine: MachineProfile) -> list[Polyline]:
    """Vertices joined by the lines of PrimList, moved by XForm."""
    out = []
    for shape in defusedxml.ElementTree.fromstring(data).iter("Shape"):
        if shape.get("Type") != "Path":
            continue
        a, b, c, d, e, f = (float(number) for number in shape.findtext("XForm", "").split())
        vertices = np.array(
            [[float(x), float(y)] for x, y in re.findall(r"V(\S+?) (\S+?)c0", shape.findtext("VertList", ""))]
        )
        placed = vertices @ np.array([[a, b], [c, d]]) + (e, f)
        for start, end in re.findall(r"L(\d+) (\d+)", shape.findtext("PrimList", "")):
            out.append(placed[[int(start), int(end)]])
    return out
