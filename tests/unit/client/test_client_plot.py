"""Curves as SVG: well formed, inside their axes, honest about what is missing."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_client.plot import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, line_plot
from kerf_client.training_report import LossCurve, loss_plot, rate_plot

SVG = "{http://www.w3.org/2000/svg}"
VALUES = st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=32)), max_size=40)


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 (our own drawing, a moment old)


def _polylines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    lines = []
    for line in root.iter(f"{SVG}polyline"):
        pairs = [pair.split(",") for pair in str(line.get("points")).split()]
        lines.append([(float(x), float(y)) for x, y in pairs])
    return lines


def _texts(root: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in root.iter(f"{SVG}text")]


def _inside(x: float, y: float) -> bool:
    return LEFT - 0.01 <= x <= WIDTH - RIGHT + 0.01 and TOP - 0.01 <= y <= HEIGHT - BOTTOM + 0.01


def test_loss_is_drawn_with_axes_raw_and_smoothed() -> None:
    steps = list(range(1, 101))
    raw: list[float | None] = [1 / step + 0.01 * (step % 7) for step in steps]
    smoothed: list[float | None] = [1 / step for step in steps]
    root = _parsed(loss_plot(LossCurve(steps, raw, smoothed, [1e-4] * 100)))
    lines = _polylines(root)
    assert [len(line) for line in lines] == [100, 100]
    assert all(_inside(x, y) for line in lines for x, y in line)
    xs = [x for x, _ in lines[1]]
    ys = [y for _, y in lines[1]]
    assert xs == sorted(xs)
    assert ys == sorted(ys), "a falling loss goes down the page"
    texts = _texts(root)
    assert {"optimiser step", "loss (mean squared error, no unit)", "loss of the step", "smoothed"} <= set(texts)
    assert {"20", "40", "60", "80", "100"} <= set(texts)


@given(VALUES, VALUES)
def test_every_point_lies_inside_the_axes(first: list[float | None], second: list[float | None]) -> None:
    curves = [
        Curve("<a>", list(range(len(first))), first, "#000"),
        Curve("b", [1e6 * index for index in range(len(second))], second, "#fff"),
    ]
    root = _parsed(line_plot(curves, title="x & y", x_label="<x>", y_label="y"))
    known = [value for value in first + second if value is not None and math.isfinite(value)]
    dots = [(float(str(dot.get("cx"))), float(str(dot.get("cy")))) for dot in root.iter(f"{SVG}circle")]
    points = [point for line in _polylines(root) for point in line] + dots
    assert len(points) == len(known)
    assert all(_inside(x, y) for x, y in points)
    assert ("no data" in _texts(root)) is (not known)


def test_a_gap_is_not_bridged() -> None:
    curve = Curve("loss", [1, 2, 3, 4, 5], [1.0, 2.0, None, 3.0, 4.0], "#000")
    root = _parsed(line_plot([curve], title="t", x_label="x", y_label="y"))
    assert [len(line) for line in _polylines(root)] == [2, 2]


def test_no_data_says_so() -> None:
    for svg in (loss_plot(LossCurve()), rate_plot(LossCurve([1, 2, 3], [], [], [None, math.nan, 1e308]))):
        assert _texts(_parsed(svg)) == ["no data"]


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-30, 9e99])
def test_one_value_has_an_axis_too(value: float) -> None:
    root = _parsed(line_plot([Curve("c", [7], [value], "#000")], title="t", x_label="x", y_label="y"))
    (dot,) = root.iter(f"{SVG}circle")
    assert _inside(float(str(dot.get("cx"))), float(str(dot.get("cy"))))


def test_a_long_curve_is_thinned_and_keeps_its_peak() -> None:
    values: list[float | None] = [0.1] * 100_000
    values[54_321] = 9.0
    root = _parsed(line_plot([Curve("c", range(100_000), values, "#000")], title="t", x_label="x", y_label="y"))
    (line,) = _polylines(root)
    assert len(line) <= 1300
    assert min(y for _, y in line) < TOP + 0.1 * (HEIGHT - BOTTOM - TOP)
