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

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.work import Layer

VERSION = "R2010"
TOLERANCE_MM = 0.002
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
        raise _differs("the file cannot be read") from error
    if document.audit().has_errors or document.units != MM:
        raise _differs("the file has errors or is not in millimetres")
    found: dict[str, list[Path]] = {layer.name: [] for layer in layers}
    for entity in document.modelspace():
        if not isinstance(entity, LWPolyline) or entity.dxf.layer not in found:
            raise _differs(f"an entity {entity.dxftype()} that was not written")
        points = np.array([(x, y) for x, y, *_ in entity.get_points("xy")], dtype=np.float64)
        found[entity.dxf.layer].append(Path(points, bool(entity.closed)))
    count = 0
    for layer in layers:
        count += compare_paths(found[layer.name], layer.paths, "dxf-read-back", layer.name)
    return f"{count} polylines on {len(layers)} layers within {TOLERANCE_MM} mm, units millimetres"


def compare_paths(found: Sequence[Path], meant: Sequence[Path], check: str, layer: str) -> int:
    """Compare paths in order and return their number; raises Internal (READ_BACK)."""
    if len(found) != len(meant):
        raise _differs(f"layer {layer} has {len(found)} paths instead of {len(meant)}", check)
    for one, other in zip(found, meant, strict=True):
        if one.closed != other.closed or one.points_mm.shape != other.points_mm.shape:
            raise _differs(f"a path of layer {layer} has other nodes", check)
        if float(np.abs(one.points_mm - other.points_mm).max()) > TOLERANCE_MM:
            raise _differs(f"a path of layer {layer} lies elsewhere", check)
    return len(meant)


def _differs(text: str, check: str = "dxf-read-back") -> Internal:
    return Internal("READ_BACK", f"Check {check} failed, the files were thrown away: {text}.")
