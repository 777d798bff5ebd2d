"""DXF R2010 in millimetres, one layer per operation, and its read-back. Machine coordinates.

DXF has no pictures that machines burn, so the layer of a raster operation stays empty: an outline in its place could be
cut by mistake.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from ezdxf._options import options
from ezdxf.entities.lwpolyline import LWPolyline
from ezdxf.filemanagement import new, read
from ezdxf.lldxf.const import DXFError
from ezdxf.units import MM

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.comparison import compare_layers, differs
from kerf_optimizer.domain.machine.work import Layer

VERSION = "R2010"
CHECK = "dxf-read-back"
DIGITS = 6


def write_dxf(layers: Sequence[Layer]) -> bytes:
    """The drawing as text DXF. Same layers, same bytes: ezdxf's dates and GUIDs are fixed."""
    # ezdxf offers no per-document way; the value is a constant, so threads do not disturb each other.
    options.write_fixed_meta_data_for_testing = True
    document = new(VERSION, units=MM)
    space = document.modelspace()
    for layer in layers:
        entry = document.layers.add(layer.name)
        entry.rgb = layer.rgb
        for path in layer.paths:
            points = np.round(path.points_mm, DIGITS).tolist()
            space.add_lwpolyline(points, format="xy", close=path.closed, dxfattribs={"layer": layer.name})
    # ezdxf would add these in the order of a set of strings, which differs from process to process.
    for name in sorted(document.entitydb.dxf_types_in_use()):
        document.classes.add_class(name)
    stream = io.StringIO()
    document.write(stream)
    return stream.getvalue().encode("utf-8")


def check_dxf(data: bytes, layers: Sequence[Layer]) -> str:
    """Read the file back and compare layers and paths, in order. Returns what was compared; raises Internal."""
    try:
        document = read(io.StringIO(data.decode("utf-8")))
    except (DXFError, ValueError) as error:
        raise differs(CHECK, "the file cannot be read") from error
    if document.audit().has_errors or document.units != MM:
        raise differs(CHECK, "the file has errors or is not in millimetres")
    found: dict[str, list[Path]] = {layer.name: [] for layer in layers}
    for entity in document.modelspace():
        if not isinstance(entity, LWPolyline) or entity.dxf.layer not in found:
            raise differs(CHECK, f"an entity {entity.dxftype()} that was not written")
        points = np.array([(x, y) for x, y, *_ in entity.get_points("xy")], dtype=np.float64)
        found[entity.dxf.layer].append(Path(points, bool(entity.closed)))
    return f"{compare_layers(CHECK, layers, found)}; units millimetres"
