"""PDF of the bed in true size, one layer per operation: 72 points of its page are 25.4 mm of the bed.

Written by kerf itself, since lines, areas and 1-bit pictures are all that is needed (PDF 1.5, ISO 32000-1). Fills are
filled, scores and cuts are hairlines, rasters are 1-bit masks; coordinates stand in the file as millimetres, y upwards.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.layered_svg import HAIRLINE_MM, printable
from kerf_optimizer.domain.machine.work import Layer, PlacedRaster
from kerf_optimizer.domain.presets import MachineProfile, OperationKind

POINTS_PER_MM = 72 / 25.4
_FIRST_OWN_OBJECT = 6
"""1 catalogue, 2 pages, 3 page, 4 content, 5 information; then one object per layer and one per picture."""


def write_pdf(layers: Sequence[Layer], machine: MachineProfile, title: str) -> bytes:
    """The drawing as PDF. Same layers, same bytes: no date and no id is in it."""
    rasters = [raster for layer in layers for raster in layer.rasters]
    groups = [f"{_FIRST_OWN_OBJECT + i} 0 R" for i in range(len(layers))]
    first_image = _FIRST_OWN_OBJECT + len(layers)
    layer_names = " ".join(f"/L{i} {group}" for i, group in enumerate(groups))
    image_names = " ".join(f"/I{i} {first_image + i} 0 R" for i in range(len(rasters)))
    width, height = machine.bed_width_mm * POINTS_PER_MM, machine.bed_height_mm * POINTS_PER_MM
    order = " ".join(groups)
    bodies: list[str | bytes] = [
        f"<< /Type /Catalog /Pages 2 0 R "
        f"/OCProperties << /OCGs [{order}] /D << /Order [{order}] /ON [{order}] >> >> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.6f} {height:.6f}] /Contents 4 0 R "
        f"/Resources << /Properties << {layer_names} >> /XObject << {image_names} >> >> >>",
        _stream("\n".join(_content(layers)).encode("ascii"), ""),
        f"<< /Title {_text(title)} /Producer (kerf) >>",
        *(f"<< /Type /OCG /Name {_text(layer.name)} >>" for layer in layers),
        *(_image(raster) for raster in rasters),
    ]
    return _file([body.encode("ascii") if isinstance(body, str) else body for body in bodies])


def _file(bodies: Sequence[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode("ascii") + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode("ascii")
    out += "".join(f"{place:010d} 00000 n \n" for place in places).encode("ascii")
    out += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{start}\n%%EOF\n".encode(
        "ascii"
    )
    return bytes(out)


def _stream(data: bytes, entries: str) -> bytes:
    packed = zlib.compress(data, 6)
    head = f"<< {entries}/Filter /FlateDecode /Length {len(packed)} >>\nstream\n"
    return head.encode("ascii") + packed + b"\nendstream"


def _text(text: str) -> str:
    """A string object: UTF-16 as PDF wants it, in hexadecimal, so that nothing in it can mean anything."""
    return f"<FEFF{printable(text).encode('utf-16-be', errors='replace').hex().upper()}>"


def _image(raster: PlacedRaster) -> bytes:
    """A mask, whose bits of 0 are painted in the colour in force; where pixels have powers, a picture of greys."""
    rows, columns = raster.burn.shape
    entries = f"/Type /XObject /Subtype /Image /Width {columns} /Height {rows} "
    if raster.power is not None:
        return _stream(raster.grey.tobytes(), f"{entries}/ColorSpace /DeviceGray /BitsPerComponent 8 ")
    entries += "/ImageMask true /BitsPerComponent 1 "
    return _stream(np.packbits(~raster.burn, axis=1).tobytes(), entries)


def _content(layers: Sequence[Layer]) -> Iterator[str]:
    yield f"{POINTS_PER_MM:.12f} 0 0 {POINTS_PER_MM:.12f} 0 0 cm"
    yield f"{HAIRLINE_MM} w"
    image = 0
    for number, layer in enumerate(layers):
        colour = " ".join(f"{part / 255:.4f}" for part in layer.rgb)
        yield f"/OC /L{number} BDC"
        yield f"{colour} rg {colour} RG"
        for raster in layer.rasters:
            rows, columns = raster.burn.shape
            size = f"{columns * raster.pitch_mm:.6f} 0 0 {rows * raster.pitch_mm:.6f}"
            yield f"q {size} {raster.left_mm:.6f} {raster.front_mm:.6f} cm /I{image} Do Q"
            image += 1
        filled = layer.kind is OperationKind.ENGRAVE_FILL
        for path in layer.paths:
            yield _outline(path)
            if not filled:
                yield "S"
        if filled and layer.paths:  # holes need their borders in one area
            yield "f*"
        yield "EMC"


def _outline(path: Path) -> str:
    pairs = [f"{x:.4f} {y:.4f}" for x, y in path.points_mm.tolist()]
    return f"{pairs[0]} m\n" + "\n".join(f"{pair} l" for pair in pairs[1:]) + ("\nh" if path.closed else "")
