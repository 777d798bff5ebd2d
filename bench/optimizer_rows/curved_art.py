"""Curved drawings as G-code with arcs and without: moves, and how far what burns then lies from what was drawn.

The drawings are SVG files made by rule with the commands that drawing programs write (C, Q, A), read by kerf's own
reader; a traced photograph stands beside them, whose outline is no curve but what pixels left of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from skimage import data as pictures

from bench._report import Result
from bench.optimizer_rows.exports import as_drawn, hausdorff_mm
from kerf_media import decode_picture, encode_png_rgb
from kerf_optimizer.domain.geometry import Drawing
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.planning import Operation, OperationKind, PathStyle, Placement, PlanLimits, PlanSpec
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.svg import read_svg
from kerf_optimizer.domain.trace import TraceMode, TraceSettings, trace

# Made importable by `exports`.
from plan_readers import read_gcode  # isort: skip

TOLERANCE_MM, DISTANCE_MM = 0.015, 0.02
SAVED_PERCENT = 50
SIDE_MM = 100


def turned(x: float, y: float, angle: float) -> str:
    """A point of a figure around the sheet's middle, as SVG writes it."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return f"{50 + x * cosine - y * sine:.4f} {50 + x * sine + y * cosine:.4f}"


def rosette() -> Iterator[str]:
    """Petals, two cubic curves each, in three rings."""
    for ring, count in ((16.0, 8), (30.0, 12), (46.0, 16)):
        for k in range(count):
            a, tip, belly = k * math.tau / count, ring, ring * 0.22
            yield (
                f"M{turned(4, 0, a)}C{turned(ring * 0.4, belly, a)} {turned(ring * 0.8, belly, a)} {turned(tip, 0, a)}"
                f"C{turned(ring * 0.8, -belly, a)} {turned(ring * 0.4, -belly, a)} {turned(4, 0, a)}Z"
            )


def scrolls() -> Iterator[str]:
    """Spirals of quarter arcs, as wrought iron has them."""
    for k in range(8):
        path, x, heading = f"M{turned(8, 0, k * math.tau / 8)}", 8.0, 0.0
        for step in range(9):
            radius = 12 * 0.8**step
            x, heading = x + radius * 0.3, heading + 0.5
            end = turned(x, radius * math.sin(heading * 2), k * math.tau / 8)
            path += f"A{radius:.3f} {radius:.3f} 0 0 {step % 2} {end}"
        yield path


def gear() -> Iterator[str]:
    """Teeth with rounded tips and roots, and round holes."""
    teeth, path = 24, ""
    for k in range(teeth):
        a, step = k * math.tau / teeth, math.tau / teeth
        path += ("L" if path else "M") + turned(40, 0, a)
        path += f"A40 40 0 0 1 {turned(40, 0, a + step * 0.4)}Q{turned(42, 0, a + step * 0.45)} "
        path += f"{turned(46, 0, a + step * 0.6)}A46 46 0 0 1 {turned(46, 0, a + step * 0.85)}"
    yield path + "Z"
    for k in range(6):
        a = k * math.tau / 6
        yield f"M{turned(18, 0, a)}A6 6 0 1 1 {turned(30, 0, a)}A6 6 0 1 1 {turned(18, 0, a)}Z"


def ripples() -> Iterator[str]:
    """Rows of waves, a quadratic curve for each half."""
    for row in range(20):
        y, path = 5 + row * 4.7, ""
        for k in range(12):
            x, lift = 2 + k * 8, (3 + row * 0.1) * (-1) ** k
            path += (f"M{x} {y:.3f}" if not path else "") + f"Q{x + 4} {y - lift:.3f} {x + 8} {y:.3f}"
        yield path


def ellipses() -> Iterator[str]:
    """Ellipses through the middle, as on a bank note."""
    for k in range(24):
        a = k * math.pi / 24
        arc = f"A46 17 {math.degrees(a):.3f} 1 1"
        yield f"M{turned(-46, 0, a)}{arc} {turned(46, 0, a)}{arc} {turned(-46, 0, a)}Z"


def clouds() -> Iterator[str]:
    """Outlines of bulges, each an arc between two points of a circle."""
    for k, (x, y, radius) in enumerate(((-24, -22, 18), (22, -20, 20), (-18, 24, 22), (26, 24, 16))):
        bulges, path = 7 + k, ""
        for j in range(bulges + 1):
            a = j * math.tau / bulges
            point = turned(x + radius * math.cos(a), y + radius * math.sin(a), 0)
            path += f"A{radius * 0.55:.3f} {radius * 0.5:.3f} 0 0 1 {point}" if path else f"M{point}"
        yield path + "Z"


def script() -> Iterator[str]:
    """Loops as a pen writes them, line after line: long chains of cubic curves."""
    for line in range(7):
        y = 12 + line * 13.0
        path = f"M3 {y:.3f}"
        for k in range(13):
            x, rise = 3 + k * 7.2, 8.0 if (k * 7 + line * 3) % 4 == 0 else 4.0
            path += f"C{x + 9} {y - 0.5} {x + 8} {y - rise * 1.4:.3f} {x + 4} {y - rise:.3f}"
            path += f"C{x + 1} {y - rise * 0.6:.3f} {x + 3} {y + 1} {x + 7.2:.3f} {y:.3f}"
        yield path


FIGURES: dict[str, Callable[[], Iterator[str]]] = {
    make.__name__: make for make in (rosette, scrolls, gear, ripples, ellipses, clouds, script)
}


def drawn(name: str) -> Drawing:
    """A figure as its SVG file is read."""
    paths = "".join(f'<path d="{data}"/>' for data in FIGURES[name]())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE_MM}mm" height="{SIDE_MM}mm" viewBox="0 0 100 100">'
    return read_svg(f"{head}{paths}</svg>".encode())


def traced() -> Drawing:
    """A horse's silhouette, traced as `Vectorize` does."""
    dark = np.where(pictures.horse(), 255, 0).astype(np.uint8)
    picture = decode_picture(encode_png_rgb(np.repeat(dark[:, :, None], 3, axis=2), 3937))
    settings = TraceSettings(TraceMode.OUTLINE, PhysicalSize(width_mm=SIDE_MM))
    return trace(picture, settings)[0]


@dataclass(frozen=True)
class Saved:
    """Moves of one drawing, and how far its arcs lie from what was drawn, in millimetres."""

    straight: int
    curved: int
    distance_mm: float

    @property
    def percent(self) -> float:
        """Moves that arcs save."""
        return 100 * (1 - self.curved / self.straight)


def saved(drawing: Drawing) -> Saved:
    """Plan a drawing both ways and run the one with arcs on a controller in plain Python."""
    moves = []
    distance_mm = 0.0
    for tolerance_mm in (0.0, TOLERANCE_MM):
        style = PathStyle(arc_tolerance_mm=tolerance_mm)
        placement = Placement(offset_x_mm=20, offset_y_mm=20)
        spec = PlanSpec("birch-3mm", (Operation(0, OperationKind.SCORE),), placement=placement, path_style=style)
        work = build_work(spec, [drawing], lambda: None, PlanLimits())
        moves.append(len(work.toolpath))
        if tolerance_mm:
            found = read_gcode(write_gcode(work, 1.0), work.machine)
            distance_mm = hausdorff_mm(as_drawn(work.layers[0].paths), found)
    return Saved(moves[0], moves[1], distance_mm)


def measure(names: tuple[str, ...]) -> list[Result]:
    """Each drawing, all of them together, and the traced picture."""
    return rows({name: saved(drawn(name)) for name in names}, saved(traced()))


def rows(found: dict[str, Saved], outline: Saved) -> list[Result]:
    """The target is for each drawing alone, too."""
    results = []
    for name, one in found.items():
        why = f"{one.straight:,} moves become {one.curved:,}"
        results.append(Result(f"arcs save, {name}", one.percent, "%", False, target=f">= {SAVED_PERCENT}", why=why))
    total = Saved(sum(one.straight for one in found.values()), sum(one.curved for one in found.values()), 0.0)
    far_mm = max(one.distance_mm for one in (*found.values(), outline))
    why = f"{total.straight:,} moves become {total.curved:,}"
    results.append(Result("arcs save, all drawings", total.percent, "%", False, target=f">= {SAVED_PERCENT}", why=why))
    why = f"only shown: a traced silhouette, {outline.straight:,} moves become {outline.curved:,}"
    results.append(Result("arcs save, traced horse", outline.percent, "%", False, why=why))
    why = f"largest of all of them, with a tolerance of {TOLERANCE_MM} mm, run by a controller in plain Python"
    results.append(Result("arcs: Hausdorff", far_mm, "mm", True, target=f"<= {DISTANCE_MM}", why=why))
    return results
