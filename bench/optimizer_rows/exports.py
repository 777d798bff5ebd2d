"""Exports: random drawings and pictures in every format, read again by readers that are not kerf's.

Distances are between all that was placed and all that a file draws (Hausdorff); sizes are those of the boxes around
both. Pictures are compared pixel by pixel.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import defusedxml.ElementTree
import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from bench._report import Result
from bench.optimizer_rows import referees
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.burn_picture import draw_burn
from kerf_optimizer.domain.machine.dxf import write_dxf
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.layered_svg import write_layered_svg
from kerf_optimizer.domain.machine.lightburn import write_lightburn
from kerf_optimizer.domain.machine.pdf import write_pdf
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import Operation, OperationKind, Placement, PlanLimits, PlanSpec
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.presets import Dialect, MachineProfile, required_settings
from kerf_optimizer.domain.raster import raster_to_png

assert referees.FOLDER.is_dir()
from plan_controllers import controller  # noqa: E402 - the line above makes it importable
from plan_readers import read_dxf, read_gcode, read_lbrn2, read_pdf, read_svg  # noqa: E402 - as above

Polyline = NDArray[np.float64]
Burn = NDArray[np.bool_]
DISTANCE_MM, SIZE_MM = 0.02, 0.01
SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])[None, :, None]
PIXELS_PER_METRE = (20_000, 11_811, 10_000, 10_039, 8_000, 5_906)
"""As prepared pictures have them: 0.05 mm, 300 dpi, 0.1 mm, 255 dpi, 0.125 mm, 150 dpi."""
DARK = 128
HREF = "href"
READERS = {
    "G-code": "a controller in plain Python",
    "SVG": "svgelements",
    "DXF": "ezdxf",
    "PDF": "a reader of its operators",
    "lbrn2": "a reader of its published elements",
}
VECTOR_FORMATS: dict[str, tuple[Callable[[Work], bytes], Callable[[bytes, MachineProfile], list[Polyline]]]] = {
    "G-code": (lambda work: write_gcode(work, 1.0), read_gcode),
    "SVG": (lambda work: write_layered_svg(work.layers, work.machine, work.title), read_svg),
    "DXF": (lambda work: write_dxf(work.layers), read_dxf),
    "PDF": (lambda work: write_pdf(work.layers, work.machine, work.title), read_pdf),
    "lbrn2": (lambda work: write_lightburn(work.layers, work.machine), read_lbrn2),
}


@dataclass
class Worst:
    """The largest deviation of one format."""

    distance_mm: float = 0.0
    size_mm: float = 0.0


@dataclass
class Pictures:
    """Of one format with pictures: pixels that differ in all of them, and the largest error of their size."""

    pixels: int = 0
    size_mm: float = 0.0


def random_drawing(rng: np.random.Generator) -> Drawing:
    """Polygons, ragged outlines, circles, curves and open lines on a sheet of random size."""
    size = rng.uniform(15, 180, 2)

    def outline(corners: int, roughness: float) -> Path:
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if roughness else np.arange(corners) * 2 * np.pi / corners
        radius = rng.uniform(0.02, 0.4) * size.min() * (1 - roughness * rng.random(corners))
        middle = size * rng.uniform(0.42, 0.58, 2)
        return path_of(middle + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), closed=True)

    def wave() -> Path:
        x = np.linspace(0.02, 0.98, int(rng.integers(20, 300))) * size[0]
        y = (0.5 + rng.uniform(0.1, 0.45) * np.sin(x * rng.uniform(0.05, 0.6))) * size[1]
        return path_of(np.stack([x, y], axis=1), closed=False)

    makers: tuple[Callable[[], Path], ...] = (
        lambda: outline(int(rng.integers(3, 60)), 0.7),
        lambda: outline(int(rng.integers(12, 200)), 0.0),
        lambda: path_of(rng.uniform(0.005, 0.995, (int(rng.integers(2, 9)), 2)) * size, closed=False),
        wave,
    )
    chosen = rng.integers(0, len(makers), int(rng.integers(1, 8)))
    return Drawing(float(size[0]), float(size[1]), tuple(makers[int(k)]() for k in chosen))


def placed(source: Raster | Drawing, kind: OperationKind, placement: Placement, dialect: Dialect) -> Work:
    """The source on the bed of the usual diode laser, whose controller speaks the dialect."""
    spec = PlanSpec("birch-3mm", (Operation(0, kind, passes=1),), placement=placement)
    work = build_work(spec, [source], lambda: None, PlanLimits())
    settings = required_settings(dialect, 1000)
    machine = dataclasses.replace(work.machine, dialect=dialect, required_settings=settings)
    return dataclasses.replace(work, machine=machine)


def drawing_work(number: int) -> Work:
    """The work of a random drawing: turned, mirrored, cut or scored, in all dialects in turn."""
    rng = np.random.default_rng((1, number))
    placement = Placement(
        offset_x_mm=12,
        offset_y_mm=7,
        rotation_deg=float(rng.uniform(0, 360)) if number % 4 else 0.0,
        mirror=number % 2 == 1,
    )
    kind = OperationKind.CUT if number % 3 else OperationKind.SCORE
    return placed(random_drawing(rng), kind, placement, tuple(Dialect)[number % len(Dialect)])


def hausdorff_mm(lines: Sequence[Polyline], others: Sequence[Polyline]) -> float:
    """The largest distance between what two files draw, either way, looked at every quarter of a segment."""
    return max(farthest_mm(lines, others), farthest_mm(others, lines))


def farthest_mm(lines: Sequence[Polyline], others: Sequence[Polyline]) -> float:
    """How far the places along the lines lie from the nearest of the others' segments at most."""
    begins, ends = segments_of(lines)
    places = (begins[:, None] * (1 - SHARES) + ends[:, None] * SHARES).reshape(-1, 2)
    segments: NDArray[np.object_] = np.asarray(shapely.linestrings(np.stack(segments_of(others), axis=1)), dtype=object)
    found = shapely.STRtree(segments).query_nearest(shapely.points(places), return_distance=True, all_matches=False)
    return float(found[1].max())


def segments_of(lines: Sequence[Polyline]) -> tuple[Polyline, Polyline]:
    """Both ends of all straight pieces, (n, 2) each."""
    return np.concatenate([line[:-1] for line in lines]), np.concatenate([line[1:] for line in lines])


def sides_mm(lines: Sequence[Polyline]) -> Polyline:
    """Width and height of the box around all lines."""
    points = np.concatenate(lines)
    sides: Polyline = points.max(axis=0) - points.min(axis=0)
    return sides


def as_drawn(paths: Sequence[Path]) -> list[Polyline]:
    """Paths as lines; a closed one comes back to its start."""
    return [np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm for path in paths]


def judge_vectors(work: Work, worst: Mapping[str, Worst]) -> None:
    """Write and read a work in each vector format; note where one is further off than before."""
    meant = as_drawn(work.layers[0].paths)
    for name, (write, read) in VECTOR_FORMATS.items():
        found = read(write(work), work.machine)
        worst[name].distance_mm = max(worst[name].distance_mm, hausdorff_mm(meant, found))
        worst[name].size_mm = max(worst[name].size_mm, float(np.abs(sides_mm(found) - sides_mm(meant)).max()))


def picture_work(number: int) -> Work:
    """The work of a random picture, whose corners burn so that its size can be seen."""
    rng = np.random.default_rng((2, number))
    rows, columns = (int(side) for side in rng.integers(3, 120, 2))
    burn = rng.random((rows, columns)) < rng.uniform(0.05, 0.95)
    burn[0, 0] = burn[0, -1] = burn[-1, 0] = burn[-1, -1] = True
    raster = Raster(burn, 1000 / PIXELS_PER_METRE[number % len(PIXELS_PER_METRE)])
    placement = Placement(offset_x_mm=30.0, offset_y_mm=9.37, rotation_deg=float(90 * (number // 2 % 4)))
    return placed(raster, OperationKind.ENGRAVE_RASTER, placement, tuple(Dialect)[number % len(Dialect)])


def repainted(work: Work) -> tuple[Burn, tuple[float, float]]:
    """What the machine burns when its controller runs the G-code, pixel by pixel, and its size in millimetres."""
    raster = work.layers[0].rasters[0]
    rows, columns = raster.burn.shape
    head = controller(work.machine.dialect, work.machine.s_max)
    strokes = np.array(head.run(write_gcode(work, 1.0).decode("ascii")))[:, :4]
    burn = np.zeros((rows, columns), dtype=np.bool_)
    for x0, y0, x1, _ in strokes:
        first, last = sorted(round((x - raster.left_mm) / raster.pitch_mm) for x in (x0, x1))
        row = rows - 1 - int((y0 - raster.front_mm) / raster.pitch_mm)
        burn[row, first:last] = True
    across, along = strokes[:, (0, 2)], strokes[:, (1, 3)]
    height_mm = along.max() - along.min() + raster.pitch_mm  # lines run through the middles of rows
    return burn, (float(across.max() - across.min()), float(height_mm))


def decoded(data: bytes) -> Image.Image:
    """A PNG, by Pillow."""
    return Image.open(io.BytesIO(data))


def sized_png(data: bytes) -> tuple[Burn, tuple[float, float]]:
    """A PNG, sized by its pHYs chunk."""
    image = decoded(data)
    across, down = image.info["dpi"]
    return np.asarray(image.convert("L")) < DARK, (image.width / across * 25.4, image.height / down * 25.4)


def prepared(work: Work) -> Raster:
    """The picture as the raster modes hand it on."""
    raster = work.layers[0].rasters[0]
    return Raster(raster.burn, raster.pitch_mm)


def embedded(data: bytes, tag: str, names: tuple[str, str, str]) -> tuple[Burn, tuple[float, float]]:
    """The PNG that stands in base64 in an element of an XML file, and the size that the element states."""
    root = defusedxml.ElementTree.fromstring(data)
    element = next(element for element in root.iter() if element.tag.endswith(tag) and element.get(names[0]))
    packed, width, height = (element.get(name, "") for name in names)
    burn = np.asarray(decoded(base64.b64decode(packed.rpartition(",")[2])).convert("L")) < DARK
    return burn, (float(width), float(height))


def pdf_mask(work: Work) -> tuple[Burn, tuple[float, float]]:
    """The image mask of a PDF, sized by the matrix that it is painted with."""
    data = write_pdf(work.layers, work.machine, work.title)
    head = re.search(rb"/Width (\d+) /Height (\d+) /ImageMask true[^>]*>>\nstream\n", data)
    assert head is not None
    columns, rows = int(head[1]), int(head[2])
    bits = np.unpackbits(np.frombuffer(zlib.decompressobj().decompress(data[head.end() :]), dtype=np.uint8))
    page = zlib.decompressobj().decompress(data[data.index(b"stream\n") + 7 :])
    size = re.search(rb"q ([0-9.]+) 0 0 ([0-9.]+) \S+ \S+ cm /I0 Do", page)
    assert size is not None
    return bits.reshape(rows, -1)[:, :columns] == 0, (float(size[1]), float(size[2]))


RASTER_FORMATS: dict[str, Callable[[Work], tuple[Burn, tuple[float, float]]]] = {
    "PNG, prepared": lambda work: sized_png(raster_to_png(prepared(work))),
    "PNG, burnt": lambda work: sized_png(draw_burn(work, 10**8)),
    "G-code": repainted,
    "SVG": lambda work: embedded(VECTOR_FORMATS["SVG"][0](work), "image", (HREF, "width", "height")),
    "PDF": pdf_mask,
    "lbrn2": lambda work: embedded(VECTOR_FORMATS["lbrn2"][0](work), "Shape", ("Data", "W", "H")),
}


def judge_pictures(work: Work, worst: Mapping[str, Pictures]) -> None:
    """Write and read a work's picture in each format; count the pixels that differ."""
    raster = work.layers[0].rasters[0]
    size_mm = np.array(raster.burn.shape[::-1]) * raster.pitch_mm
    for name, look in RASTER_FORMATS.items():
        burn, found_mm = look(work)
        differ = int((burn != raster.burn).sum()) if burn.shape == raster.burn.shape else raster.burn.size
        worst[name].pixels += differ
        worst[name].size_mm = max(worst[name].size_mm, float(np.abs(np.array(found_mm) - size_mm).max()))


def measure(drawings: int, pictures: int) -> list[Result]:
    """The worst of each format."""
    vectors = {name: Worst() for name in VECTOR_FORMATS}
    rasters = {name: Pictures() for name in RASTER_FORMATS}
    for number in range(drawings):
        judge_vectors(drawing_work(number), vectors)
    for number in range(pictures):
        judge_pictures(picture_work(number), rasters)
    return [*vector_rows(vectors, drawings), *raster_rows(rasters, pictures)]


def vector_rows(worst: Mapping[str, Worst], drawings: int) -> list[Result]:
    """Distance and size of each format."""
    rows = []
    for name, found in worst.items():
        for what, value, limit in (("Hausdorff", found.distance_mm, DISTANCE_MM), ("size", found.size_mm, SIZE_MM)):
            why = f"largest of {drawings} random drawings, turned and mirrored, read by {READERS[name]}"
            rows.append(Result(f"{name}: {what}", value, "mm", True, target=f"<= {limit}", why=why))
    return rows


def raster_rows(worst: Mapping[str, Pictures], pictures: int) -> list[Result]:
    """Pixels and size of each format."""
    rows = []
    for name, found in worst.items():
        why = f"all of {pictures} random pictures together"
        rows.append(Result(f"{name}: pixels that differ", float(found.pixels), "", True, target="<= 0", why=why))
        rows.append(Result(f"{name}: size of pictures", found.size_mm, "mm", True, target=f"<= {SIZE_MM}"))
    return rows
