"""Preview: what will burn, simulated with the beam's spot at true size, how the head travels, and where on the bed.

Left a close view of the work, right the bed as a whole with a legend. Same work, same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.machine.gcode import safe_text
from kerf_optimizer.domain.machine.work import UM_PER_MM, GreyMeaning, Toolpath, Work

WIDTH_PX, HEIGHT_PX = 1600, 1080
VIEW = (20, 20, 1060, 1040)
"""x, y, width, height of the close view."""
SIDE_X, SIDE_WIDTH = 1110, 470
MAX_TRAVELS = 20_000
"""More travel moves would be a grey area: every n-th is drawn."""
PAPER, INK, FAINT = (255, 255, 255), (40, 40, 40), (150, 150, 150)
SHEET, TRAVEL, MARGIN = (236, 246, 250), (228, 208, 186), (80, 160, 230)
CHORD_PX = 0.1
"""How far the chords that an arc is drawn by lie from it."""
SCALE_STEPS_MM = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class _View:
    """Maps machine millimetres to pixels of a panel."""

    left_px: float
    top_px: float
    px_per_mm: float
    min_x_mm: float
    max_y_mm: float

    def px(self, x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixel coordinates, float64 (n, 2)."""
        x = self.left_px + (x_mm - self.min_x_mm) * self.px_per_mm
        y = self.top_px + (self.max_y_mm - y_mm) * self.px_per_mm
        return np.stack([x, y], axis=-1)

    def box(self, box: Bounds) -> tuple[tuple[int, int], tuple[int, int]]:
        """Two opposite corners in whole pixels."""
        ends = np.rint(self.px(np.array([box.min_x_mm, box.max_x_mm]), np.array([box.min_y_mm, box.max_y_mm])))
        return (int(ends[0, 0]), int(ends[0, 1])), (int(ends[1, 0]), int(ends[1, 1]))


def draw_preview(work: Work, estimated_seconds: float) -> bytes:
    """The preview as PNG of `WIDTH_PX` × `HEIGHT_PX`."""
    picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, dtype=np.uint8)
    machine, path = work.machine, work.toolpath
    bed = Bounds(0.0, 0.0, machine.bed_width_mm, machine.bed_height_mm)
    free = Bounds(
        work.margin_mm, work.margin_mm, machine.bed_width_mm - work.margin_mm, machine.bed_height_mm - work.margin_mm
    )
    close = _fitted(_padded(path.motion_bounds), VIEW)
    x, y, width, height = VIEW
    inner = picture[y : y + height, x : x + width]
    inner[:] = SHEET
    _frame(picture, close, bed, free)
    _travels(picture, path, close)
    for index in range(len(work.layers)):
        _burn(picture, work, index, close)
    picture[:y], picture[y + height :], picture[:, :x] = 255, 255, 255
    picture[:, x + width :] = 255
    cv2.rectangle(picture, (x, y), (x + width, y + height), FAINT, 1)
    _scale_bar(picture, close)
    side = _fitted(bed, (SIDE_X, 110, SIDE_WIDTH, 400))
    _overview(picture, work, side, bed, free)
    _legend(picture, work, estimated_seconds)
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise Internal("PNG_ENCODER", "The preview could not be encoded.")
    return bytes(data)


def check_preview(data: bytes) -> str:
    """Decode the preview again. Returns what was seen; raises Internal where it is not a picture with ink on it."""
    picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None or picture.shape != (HEIGHT_PX, WIDTH_PX, 3) or int(picture.min()) == int(picture.max()):
        raise Internal("READ_BACK", "Check preview-decoded failed, the files were thrown away.")
    return f"{WIDTH_PX} × {HEIGHT_PX} px decoded"


def _padded(box: Bounds) -> Bounds:
    pad = max(1.0, 0.04 * max(box.max_x_mm - box.min_x_mm, box.max_y_mm - box.min_y_mm))
    return Bounds(box.min_x_mm - pad, box.min_y_mm - pad, box.max_x_mm + pad, box.max_y_mm + pad)


def _fitted(box: Bounds, panel: tuple[int, int, int, int]) -> _View:
    x, y, width, height = panel
    wide, high = box.max_x_mm - box.min_x_mm, box.max_y_mm - box.min_y_mm
    scale = min(width / wide, height / high)
    return _View(x + (width - wide * scale) / 2, y + (height - high * scale) / 2, scale, box.min_x_mm, box.max_y_mm)


def _frame(picture: Picture, view: _View, bed: Bounds, free: Bounds) -> None:
    cv2.rectangle(picture, *view.box(bed), INK, 2)
    if free != bed:
        cv2.rectangle(picture, *view.box(free), MARGIN, 1)


def _travels(picture: Picture, path: Toolpath, view: _View) -> None:
    """Rapid moves and overscan; not the gaps inside a scan line, which would hide the picture."""
    after, before = np.append(path.s[1:], 0) > 0, np.append(0, path.s[:-1]) > 0
    moves = np.flatnonzero((path.s == 0) & (path.layer >= 0) & ~(after & before & ~path.rapid))
    moves = moves[moves > 0]
    moves = moves[:: max(1, -(-len(moves) // MAX_TRAVELS))]
    starts, ends = _ends_px(path, moves, view)
    lines = np.rint(np.stack([starts, ends], axis=1)).astype(np.int32)
    cv2.polylines(picture, list(lines), False, TRAVEL, 1, cv2.LINE_AA)


def _ends_px(path: Toolpath, moves: NDArray[np.int64], view: _View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    starts = view.px(path.x_um[moves - 1] / UM_PER_MM, path.y_um[moves - 1] / UM_PER_MM)
    return starts, view.px(path.x_um[moves] / UM_PER_MM, path.y_um[moves] / UM_PER_MM)


def _burn(picture: Picture, work: Work, index: int, view: _View) -> None:
    """Darken by the layer's colour what the spot passes over: by its power's share, and in reliefs by the depth."""
    path, layer = work.toolpath, work.layers[index]
    moves = np.flatnonzero((path.s > 0) & (path.layer == index))
    pieces_mm, move = path.pieces_mm(moves, CHORD_PX / view.px_per_mm)
    ends = view.px(pieces_mm[..., 0], pieces_mm[..., 1])
    weight = path.s[move] / max(layer.s_value, 1) / (layer.passes if layer.grey is GreyMeaning.DEPTH else 1)
    spot_px = work.machine.spot_x_mm * view.px_per_mm, work.machine.spot_y_mm * view.px_per_mm
    level = ends[:, 0, 1] == ends[:, 1, 1]
    upright = ~level & (ends[:, 0, 0] == ends[:, 1, 0])
    cover = _level_cover(ends[level], weight[level], spot_px, (HEIGHT_PX, WIDTH_PX))
    turned = _level_cover(ends[upright][..., ::-1], weight[upright], spot_px[::-1], (WIDTH_PX, HEIGHT_PX))
    slanted = np.zeros(picture.shape[:2], dtype=np.uint8)
    rest = ~level & ~upright
    if rest.any():
        shift = 4
        lines = np.rint(ends[rest] * (1 << shift)).astype(np.int32)
        width_px = max(1, round(min(spot_px)))
        cv2.polylines(slanted, list(lines), False, 255, width_px, cv2.LINE_AA, shift)
    cover = np.maximum(np.maximum(cover, turned.T), slanted.astype(np.float32) / 255)[..., None]
    bgr = np.array(layer.rgb[::-1], dtype=np.float32)
    picture[:] = np.rint(picture * (1 - cover) + bgr * cover).astype(np.uint8)


def _level_cover(
    ends: NDArray[np.float64], weight: NDArray[np.float64], spot_px: tuple[float, float], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Share of each pixel that level lines (n, 2, 2) of the spot's size cover, weighted, float32 `shape`, exact.

    Each line is a rectangle; its four corners, spread over their pixels, are summed twice (summed-area table, Crow
    1984, run backwards).
    """
    height, width = shape
    x = np.sort(ends[..., 0], axis=1)
    x0, x1 = x[:, 0] - spot_px[0] / 4, x[:, 1] + spot_px[0] / 4
    y0, y1 = ends[:, 0, 1] - spot_px[1] / 2, ends[:, 0, 1] + spot_px[1] / 2
    size = (height + 2) * (width + 2)
    table = np.zeros(size)
    for corner_x, corner_y, sign in ((x0, y0, 1), (x1, y0, -1), (x0, y1, -1), (x1, y1, 1)):
        cx, cy = np.clip(corner_x, 0, width), np.clip(corner_y, 0, height)
        ix, iy = np.floor(cx).astype(np.int64), np.floor(cy).astype(np.int64)
        fx, fy = cx - ix, cy - iy
        for dx, wx in ((0, 1 - fx), (1, fx)):
            for dy, wy in ((0, 1 - fy), (1, fy)):
                place = (iy + dy) * (width + 2) + ix + dx
                table += np.bincount(place, weights=sign * weight * wx * wy, minlength=size)
    summed = table.reshape(height + 2, width + 2).cumsum(axis=0).cumsum(axis=1)
    cover: NDArray[np.float32] = np.clip(summed[:height, :width], 0, 1).astype(np.float32)
    return cover


def _scale_bar(picture: Picture, view: _View) -> None:
    length_mm = max((s for s in SCALE_STEPS_MM if s * view.px_per_mm <= VIEW[2] / 3), default=SCALE_STEPS_MM[0])
    x, y = VIEW[0] + 20, VIEW[1] + VIEW[3] - 20
    end = x + round(length_mm * view.px_per_mm)
    cv2.rectangle(picture, (x - 8, y - 34), (end + 8, y + 10), PAPER, -1)
    cv2.line(picture, (x, y), (end, y), INK, 3)
    for tick in (x, end):
        cv2.line(picture, (tick, y - 6), (tick, y + 6), INK, 2)
    _text(picture, f"{length_mm:g} mm", (x, y - 12), 16)


def _overview(picture: Picture, work: Work, view: _View, bed: Bounds, free: Bounds) -> None:
    (left, bottom), (right, top) = view.box(bed)
    cv2.rectangle(picture, (left, top), (right, bottom), SHEET, -1)
    _frame(picture, view, bed, free)
    cv2.rectangle(picture, *view.box(work.toolpath.motion_bounds), TRAVEL, 1)
    (x0, y0), (x1, y1) = view.box(work.toolpath.burn_bounds)
    cv2.rectangle(picture, (x0, y1), (max(x1, x0 + 1), max(y0, y1 + 1)), (60, 60, 60), -1)
    cv2.circle(picture, (left, bottom), 5, (0, 0, 220), -1)
    machine = work.machine
    size = f"bed {machine.bed_width_mm:g} x {machine.bed_height_mm:g} mm, red dot: X0 Y0, front left"
    if work.rotary:
        size = f"surface unrolled, one turn: {machine.bed_width_mm:g} x {work.rotary.turn_mm:.2f} mm, red dot: X0 Y0"
    _text(picture, size, (SIDE_X, 534), 14, FAINT)


def _legend(picture: Picture, work: Work, estimated_seconds: float) -> None:
    _text(picture, safe_text(work.title, 42), (SIDE_X, 48), 24, weight=700)
    _text(picture, f"{work.machine.name}, {work.material.name}", (SIDE_X, 78), 17)
    box = work.toolpath.burn_bounds
    minutes, seconds = divmod(max(1, round(estimated_seconds)), 60)
    lines = [
        f"burns {box.max_x_mm - box.min_x_mm:.1f} x {box.max_y_mm - box.min_y_mm:.1f} mm",
        f"X {box.min_x_mm:.1f} to {box.max_x_mm:.1f}, Y {box.min_y_mm:.1f} to {box.max_y_mm:.1f} mm",
        f"about {minutes} min {seconds:02d} s (an estimate)",
    ]
    _paragraph(picture, lines, 572)
    top = 672
    for number, layer in enumerate(work.layers[:8], start=1):
        cv2.rectangle(picture, (SIDE_X, top - 13), (SIDE_X + 22, top + 3), layer.rgb[::-1], -1)
        figures = f"{layer.power_percent:g} %  {layer.feed_mm_per_min} mm/min  x{layer.passes}"
        _text(picture, f"{number}. {layer.name[:22]}", (SIDE_X + 32, top), 16, weight=600)
        _text(picture, figures, (SIDE_X + 235, top), 15)
        top += 28
    if len(work.layers) > 8:
        _text(picture, f"and {len(work.layers) - 8} more", (SIDE_X + 32, top), 15)
        top += 28
    cv2.line(picture, (SIDE_X, top + 6), (SIDE_X + 22, top + 6), TRAVEL, 2)
    _text(picture, "head moves, beam off", (SIDE_X + 32, top + 11), 15)
    if any(not layer.preset.verified for layer in work.layers):
        _text(picture, "Unverified presets: run the test grid first.", (SIDE_X, 1024), 16, (0, 0, 190), 600)
    _text(picture, "Never leave a burning laser unattended.", (SIDE_X, 1052), 16, (0, 0, 190), 600)


def _paragraph(picture: Picture, lines: Sequence[str], top: int) -> None:
    for number, line in enumerate(lines):
        _text(picture, line, (SIDE_X, top + 27 * number), 17)


def _text(
    picture: Picture,
    text: str,
    place: tuple[int, int],
    size: int,
    colour: tuple[int, int, int] = INK,
    weight: int = 400,
) -> None:
    cv2.putText(picture, text, place, colour, cv2.FontFace("sans"), size, weight)
