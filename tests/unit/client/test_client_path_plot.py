"""The path plot: what a controller would read from the G-code, and nothing where that is not sure."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_client import path_plot as plotting
from kerf_client.gcode_moves import Beam, UnreadableGcodeError, read_moves
from kerf_client.path_plot import MAX_GCODE_BYTES, path_plot

SQUARE = b"""; kerf laser job
M5 S0
G21 G90 G17 G94
M4 S0
; layer 1: cut
G0 X10.000 Y10.000 S0
G1 X30.000 S500 F600
Y30.000
X10.000
Y10.000
M5 S0
G0 X0.000 Y0.000 S0
M2
"""


def test_modal_words_are_remembered() -> None:
    moves = list(read_moves(SQUARE))
    assert [move.beam for move in moves] == [Beam.RAPID, *[Beam.BURN] * 4, Beam.RAPID]
    assert moves[2].start == (30.0, 10.0)
    assert moves[2].end == (30.0, 30.0)
    assert moves[-1].end == (0.0, 0.0)


@pytest.mark.parametrize(
    "line, beam",
    [
        ("M3 S0\nG1 X1 S5", Beam.BURN),
        ("M3 I S0\nG1 X1 Y0 S255", Beam.BURN),
        ("M3 S0\nG1 X1 S0.004", Beam.BURN),
        ("M4 S5\nG1 X1", Beam.BURN),
        ("M4 S0\nG1 X1 S0", Beam.DARK),
        ("M4 S5\nM5\nG1 X1 S5", Beam.DARK),
        ("M4 S5\nM8\nG1 X1", Beam.BURN),
        ("M4 S5\nG0 X1", Beam.RAPID),
        ("M4 S5\n; G1 X9\ng1 x1", Beam.BURN),
    ],
)
def test_the_beam_is_what_the_controller_makes_of_it(line: str, beam: Beam) -> None:
    moves = list(read_moves(f"G0 X0 Y0 S0\n{line}\n".encode()))
    assert moves[-1].beam is beam
    assert moves[-1].end == (1.0, 0.0)


def test_arcs_have_their_length() -> None:
    quarter = list(read_moves(b"G0 X10 Y0\nM4 S1\nG3 X0 Y10 I-10 J0\n"))[1:]
    assert sum(math.dist(move.start, move.end) for move in quarter) == pytest.approx(5 * math.pi, rel=1e-3)
    assert quarter[-1].end == (0.0, 10.0)
    assert all(math.hypot(*move.end) == pytest.approx(10) for move in quarter)
    long_way = list(read_moves(b"G0 X10 Y0\nM4 S1\nG2 X0 Y10 I-10 J0\n"))[1:]
    assert sum(math.dist(move.start, move.end) for move in long_way) == pytest.approx(15 * math.pi, rel=1e-3)


@pytest.mark.parametrize(
    "text, reason",
    [
        (b"G20\nG0 X1 Y1\n", "G20"),
        (b"G91\nG0 X1 Y1\n", "G91"),
        (b"G0 X1 Y1\nG92 X0 Y0\n", "G92"),
        (b"G1 X1\n", "position"),
        (b"G0 X1 Y1\nG1 X1e9 Y999999999\n", "position"),
        (b"G0 X1 Y1\nG2 X2 Y2 R5\n", "centre"),
    ],
)
def test_what_could_be_drawn_wrong_is_not_drawn(text: bytes, reason: str) -> None:
    with pytest.raises(UnreadableGcodeError, match=reason):
        list(read_moves(text))
    plot = path_plot(text)
    assert plot.svg == ""
    assert reason in plot.note


def _path(svg: str, name: str) -> str:
    found = ET.fromstring(svg).find(f".//{{http://www.w3.org/2000/svg}}path[@class='{name}']")  # noqa: S314 - our own
    assert found is not None, name
    return found.attrib["d"]


def test_burns_and_travels_are_apart_and_the_ends_are_marked() -> None:
    plot = path_plot(SQUARE)
    assert plot.burn_mm == pytest.approx(80)
    assert plot.travel_mm == pytest.approx(math.hypot(10, 10))
    assert len(re.findall("M", _path(plot.svg, "burn"))) == 4, "four sides"
    assert len(re.findall("M", _path(plot.svg, "travel"))) == 1, "the way home"
    assert '<circle class="start"' in plot.svg
    assert '<rect class="end"' in plot.svg
    assert "One square of the grid is 5 mm" in plot.note


def test_scan_lines_are_joined_and_their_gaps_left_out() -> None:
    lines = ["G0 X0 Y0 S0", "M4 S0", "G1 X5 S0 F3000"]
    for dot in range(2000):
        lines += [f"X{5 + dot * 0.01 + 0.005:.3f} S100", f"X{5 + dot * 0.01 + 0.01:.3f} S0"]
    plot = path_plot("\n".join([*lines, "G0 X0 Y20"]).encode())
    assert len(re.findall("M", _path(plot.svg, "burn"))) == 1, "dots closer than a step are one line"
    assert len(re.findall(" ", _path(plot.svg, "travel"))) < 10, "no gaps inside the line"
    assert plot.burn_mm == pytest.approx(10)


def test_a_large_program_is_drawn_coarser_and_a_huge_one_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "MAX_DRAWN", 400)
    monkeypatch.setattr(plotting, "MAX_TRAVELS", 50)
    lines = ["G0 X0 Y0 S0", "M4 S0"]
    for row in range(300):
        lines += [f"G0 X0 Y{row * 0.3:.2f} S0", f"G1 X90 Y{row * 0.3:.2f} S9 F999"]
    text = "\n".join(lines).encode()
    plot = path_plot(text)
    assert len(re.findall("M", _path(plot.svg, "burn"))) <= 300
    assert "travel moves every 6th is drawn" in plot.note
    assert "too many" in path_plot(text + b";" * MAX_GCODE_BYTES).note


@given(st.binary(max_size=200))
def test_any_bytes_are_drawn_or_refused(data: bytes) -> None:
    plot = path_plot(b"G0 X0 Y0\nM4 S5\n" + data)
    assert plot.note
    if plot.svg:
        ET.fromstring(plot.svg)  # noqa: S314 - our own
