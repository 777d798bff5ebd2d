"""Drawings for bench.optimizer_plan, made by rule so that everybody has the same: name -> paths."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Voronoi

from kerf_optimizer.domain.geometry import Path, path_of

Points = NDArray[np.float64]


def ring(x: float, y: float, radius: float, nodes: int, turn: float = 0.0) -> Path:
    angle = turn + np.arange(nodes) * math.tau / nodes
    return path_of(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1), closed=True)


def random_lines(count: int, seed: int = 1) -> list[Path]:
    """Short lines anywhere on 300 × 300 mm, in any direction."""
    random = np.random.default_rng(seed)
    middle, way = random.random((count, 2)) * 300, random.normal(size=(count, 2)) * 3
    return [path_of([m, m + w], closed=False) for m, w in zip(middle, way, strict=True)]


def honeycomb() -> list[Path]:
    return [ring(8 * c + 4 * (r % 2), 7 * r, 3.8, 6, math.pi / 6) for r in range(20) for c in range(18)]


def washers() -> list[Path]:
    rings = [(12 * c, 12 * r, size) for r in range(12) for c in range(12) for size in (5.0, 2.0)]
    return [ring(x, y, size, 36) for x, y, size in rings]


def circles() -> list[Path]:
    random = np.random.default_rng(2)
    places = (random.random((300, 2)) * 200).tolist()
    return [ring(x, y, float(random.uniform(1, 6)), 24) for x, y in places]


def dashes() -> list[Path]:
    """A spiral of dashes, given in a muddle."""
    turn = np.linspace(0, 30 * math.tau, 1200)
    points = np.stack([100 + turn * 0.5 * np.cos(turn), 100 + turn * 0.5 * np.sin(turn)], axis=1)
    paths = [path_of(points[k : k + 2], closed=False) for k in range(0, 1198, 2)]
    return [paths[k] for k in np.random.default_rng(3).permutation(len(paths))]


def tree() -> list[Path]:
    """Branches that fork; every branch a line of its own."""
    paths: list[Path] = []
    tips = [(100.0, 0.0, math.pi / 2, 40.0)]
    for _ in range(9):
        grown = []
        for x, y, heading, length in tips:
            end_x, end_y = x + length * math.cos(heading), y + length * math.sin(heading)
            paths.append(path_of([[x, y], [end_x, end_y]], closed=False))
            grown += [(end_x, end_y, heading + bend, length * 0.72) for bend in (-0.45, 0.38)]
        tips = grown
    return paths


def cells() -> list[Path]:
    """Edges of a Voronoi diagram."""
    diagram = Voronoi(np.random.default_rng(4).random((220, 2)) * 200)
    edges = [edge for edge in diagram.ridge_vertices if -1 not in edge]
    ends = [diagram.vertices[edge] for edge in edges]
    return [path_of(pair, closed=False) for pair in ends if (np.abs(pair - 100) < 110).all()]


def hatching() -> list[Path]:
    """Lines across a disc with a hole, all in one direction."""
    paths = []
    for y in np.arange(-49.5, 50, 1.0):
        outer = math.sqrt(max(2500 - y * y, 0))
        inner = math.sqrt(max(400 - y * y, 0))
        spans = [(-outer, -inner), (inner, outer)] if inner else [(-outer, outer)]
        paths += [path_of([[a, y], [b, y]], closed=False) for a, b in spans if b - a > 0.1]
    return paths


def stars() -> list[Path]:
    random = np.random.default_rng(5)
    paths = []
    for _ in range(250):
        x, y = (random.random(2) * 250).tolist()
        angle, radius = np.arange(10) * math.tau / 10, np.where(np.arange(10) % 2, 1.5, 4.0)
        paths.append(path_of(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1), closed=True))
    return paths


def maze() -> list[Path]:
    """Walls of a binary-tree maze."""
    random = np.random.default_rng(6)
    paths = []
    for row in range(25):
        for column in range(25):
            x, y = column * 8.0, row * 8.0
            wall = [[x, y], [x + 8, y]] if random.random() < 0.5 else [[x, y], [x, y + 8]]
            paths.append(path_of(wall, closed=False))
    return paths


def waves() -> list[Path]:
    x = np.linspace(0, 200, 120)
    return [
        path_of(np.stack([x, 3 * row + 4 * np.sin(x / 9 + row / 3)], axis=1)[a : a + 30], closed=False)
        for row in range(50)
        for a in (0, 30, 60, 90)
    ]


def writing() -> list[Path]:
    """Rows of small strokes in groups, as letters stand in lines of text."""
    random = np.random.default_rng(7)
    paths = []
    for row in range(24):
        for column in range(40):
            corner = np.array([column * 5.0, row * 9.0])
            for _ in range(int(random.integers(1, 4))):
                paths.append(path_of(corner + random.random((int(random.integers(2, 7)), 2)) * [3.5, 6], closed=False))
    return paths


DRAWINGS: dict[str, Callable[[], list[Path]]] = {
    make.__name__: make
    for make in (honeycomb, washers, circles, dashes, tree, cells, hatching, stars, maze, waves, writing)
}
