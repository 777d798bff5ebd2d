"""Draws a geometric style: the silhouette cut into triangles, some of them filled."""

from __future__ import annotations

import cv2
import numpy as np

from . import paint
from .composition import Layout
from .paint import Sheet

_FILLED_SHARE = 0.36


def paint_facets(sheet: Sheet, layout: Layout, facet_px: float, line_px: float, rng: np.random.Generator) -> None:
    """Paint each drawing as a mesh of triangles (Delaunay, 1934) within its outline."""
    sheet_px = sheet.shape[0]
    whole = paint.blank(sheet_px)
    for drawing in layout.drawings:
        paint.paint_whole(whole, drawing)
    mesh = paint.blank(sheet_px)
    triangles = _triangles(sheet_px, facet_px, rng)
    filled = triangles[rng.random(len(triangles)) < _FILLED_SHARE]
    for triangle in filled:
        cv2.fillConvexPoly(mesh, triangle, (paint.INK,))
    cv2.polylines(mesh, list(triangles), True, (paint.INK,), max(1, round(line_px * 0.9)))
    contours, _ = cv2.findContours(whole, cv2.RETR_LIST, cv2.CHAIN_APPROX_TC89_L1)
    cv2.bitwise_and(mesh, whole, dst=sheet)
    holes = paint.blank(sheet_px)
    for drawing in layout.drawings:
        paint.paint_tones(holes, drawing, line_px)
    # Parts keep their outlines, holes stay open: what is drawn is still told by more than its silhouette.
    sheet[holes == paint.INK] = paint.INK
    sheet[(holes == paint.PAPER) & (whole == paint.INK)] = paint.PAPER
    cv2.polylines(sheet, contours, True, (paint.INK,), max(1, round(line_px * 1.2)))


def _triangles(
    sheet_px: int, facet_px: float, rng: np.random.Generator
) -> np.ndarray[tuple[int, int, int], np.dtype[np.int32]]:
    """Triangles over the whole sheet, (N, 3, 2), between points of a shaken grid."""
    count = max(3, round(sheet_px / facet_px))
    step = sheet_px / count
    grid = np.stack(np.meshgrid(np.arange(count + 2), np.arange(count + 2)), axis=2).reshape(-1, 2) * step - step / 2
    shaken = grid + rng.uniform(-0.36, 0.36, grid.shape) * step
    mesh = cv2.Subdiv2D((-sheet_px, -sheet_px, 3 * sheet_px, 3 * sheet_px))
    mesh.insert(shaken.astype(np.float32).tolist())
    corners = np.asarray(mesh.getTriangleList(), dtype=np.float32).reshape(-1, 3, 2)
    inside = (np.abs(corners - sheet_px / 2) < sheet_px).all(axis=(1, 2))
    return np.asarray(np.round(corners[inside]), dtype=np.int32)
