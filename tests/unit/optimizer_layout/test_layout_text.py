"""Text as paths: sizes that are true, areas that are one, fonts from strangers that cannot do harm."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import shapely
from fontTools.misc.psCharStrings import T2CharString
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.areas import wound_area
from kerf_optimizer.domain.geometry import Path as Outline
from kerf_optimizer.domain.lettering import Alignment, FontLimits, FontShelf, TextStyle, text_paths
from kerf_optimizer.domain.lettering.font_files import FontFile
from kerf_optimizer.domain.lettering.glyphs import Font
from kerf_optimizer.domain.lettering.stroke_font import CAP_HEIGHT as STROKE_CAP
from layout_fonts import CAP_HEIGHT, KERN_A_V, opentype, self_made, truetype

SHELF = FontShelf()
LIMITS = FontLimits()
STYLE = TextStyle(cap_height_mm=7.0)
TEXT_REASONS = {
    "FONT_DAMAGED",
    "FONT_TOO_LARGE",
    "TEXT_MISSING_GLYPHS",
    "TEXT_EMPTY",
    "TEXT_TOO_DETAILED",
    "OUTLINE_TANGLED",
}
ALL_STROKES = "".join(chr(code) for code in range(32, 127)) + "°"


def never() -> None:
    """Nobody gives up."""


def written(
    text: str, font: Font | None = None, style: TextStyle = STYLE, max_nodes: int = 100_000
) -> tuple[Outline, ...]:
    return text_paths(text, font or SHELF.named("kerf-round"), style, max_nodes, never)


def box(paths: tuple[Outline, ...]) -> tuple[float, float, float, float]:
    all_points = np.concatenate([path.points_mm for path in paths])
    return (*all_points.min(axis=0), *all_points.max(axis=0))


def ttf(kerning: str = "GPOS pairs") -> FontFile:
    return FontFile(truetype(kerning), "test", LIMITS)


@pytest.mark.parametrize("data", [truetype(), opentype()], ids=["ttf", "otf"])
def test_letters_have_the_height_that_was_asked_for(data: bytes) -> None:
    paths = written("H", FontFile(data, "test", LIMITS))
    assert box(paths) == pytest.approx((0, 0, 6, 7))
    # The three bars of the H overlap, and are one outline without a line inside.
    assert len(paths) == 1
    assert paths[0].closed
    assert paths[0].area_mm2 == pytest.approx((2 * 150 * 700 + 300 * 100) / 1e4)


@pytest.mark.parametrize("data", [truetype(), opentype()], ids=["ttf", "otf"])
def test_holes_and_islands_are_as_the_winding_says(data: bytes) -> None:
    font = FontFile(data, "test", LIMITS)
    assert [round(path.area_mm2, 6) for path in written("O", font)] == [49.0, -9.0]
    areas = sorted(round(path.area_mm2, 6) for path in written("\U0001f600", font))
    assert areas == [-25.0, 1.0, 49.0]


@pytest.mark.parametrize("kerning", ["GPOS pairs", "GPOS classes", "GPOS extension", "kern"])
def test_pairs_are_kerned(kerning: str) -> None:
    font = ttf(kerning)
    assert font.kerning("A", "V") == KERN_A_V
    assert font.kerning("H", "O") == 0
    kerned, plain = written("AV", font), written("AV", ttf(""))
    assert box(plain)[2] - box(kerned)[2] == pytest.approx(-KERN_A_V * 7 / CAP_HEIGHT)


def test_classes_know_their_members_and_single_pairs_go_first() -> None:
    font = ttf("GPOS classes")
    assert [font.kerning(*pair) for pair in ("OH", "OV", "AA", "HA", "VV")] == [KERN_A_V, KERN_A_V, 10, 0, 0]


def test_lines_meet_where_they_should_and_spacing_counts_between_letters() -> None:
    font = ttf("")
    for alignment, left_mm in ((Alignment.LEFT, 0.0), (Alignment.CENTER, 3.0), (Alignment.RIGHT, 6.0)):
        paths = written("HH\nO H\nH", font, TextStyle(7.0, alignment))
        last = max(paths, key=lambda path: path.bounds.max_y_mm)
        # Advances of the lines: 12, 16 and 6 mm; the ink of all ends with them.
        assert last.bounds.min_x_mm == pytest.approx(left_mm * 10 / 6)
        assert last.bounds.min_y_mm == pytest.approx(20.0)  # two lines of 1000 units
    wide = written("HHH", font, TextStyle(7.0, letter_spacing_mm=2.0))
    assert box(wide)[2] == pytest.approx(3 * 6 + 2 * 2)


def test_overlapping_letters_are_one_area() -> None:
    paths = written("HH", ttf(""), TextStyle(7.0, letter_spacing_mm=-1.0))
    assert len([path for path in paths if path.area_mm2 > 0]) == 1


def test_curves_stay_within_the_tolerance() -> None:
    for tolerance_mm in (0.5, 0.05, 0.005):
        coarse = written("O", SHELF.named("kerf-stroke"), TextStyle(20.0, tolerance_mm=tolerance_mm))
        fine = written("O", SHELF.named("kerf-stroke"), TextStyle(20.0, tolerance_mm=0.001))
        one, other = (shapely.LinearRing(paths[0].points_mm) for paths in (coarse, fine))
        assert shapely.hausdorff_distance(one, other, densify=0.05) <= tolerance_mm + 0.002
        assert len(coarse[0].points_mm) <= len(fine[0].points_mm)


def test_kerfs_own_fonts_have_all_of_ascii() -> None:
    for name in ("kerf-stroke", "kerf-round"):
        font = SHELF.named(name)
        assert all(font.glyph(character) for character in ALL_STROKES)
        assert box(written("HIX", font))[3] == pytest.approx(7.0, abs=0.002)
    strokes = written("A", SHELF.named("kerf-stroke"))
    assert [path.closed for path in strokes] == [False, False]
    assert box(strokes)[2] == pytest.approx(4 * 7 / STROKE_CAP)


def test_no_stroke_of_a_letter_burns_twice() -> None:
    for character in ALL_STROKES.strip():
        paths = written(character, SHELF.named("kerf-stroke"))
        lines = [shapely.LineString([*p.points_mm, p.points_mm[0]] if p.closed else p.points_mm) for p in paths]
        drawn = sum(path.length_mm for path in paths)
        # Lines that cross keep their length when they are noded; those that lie on each other lose it.
        assert shapely.union_all(lines).length == pytest.approx(drawn), character


def test_characters_that_a_font_lacks_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"é \(U\+00E9\).*漢 \(U\+6F22\)") as caught:
        written("caf\u0065\u0301 漢", SHELF.named("kerf-stroke"))
    assert caught.value.reason == "TEXT_MISSING_GLYPHS"
    with pytest.raises(InvalidArgument, match=r"U\+0009"):
        written("a\tb")


@pytest.mark.parametrize("text", ["שלום", "مرحبا", "नमस्ते", "a\u200db", "q\u0303"])
def test_scripts_that_join_are_refused_rather_than_set_wrong(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        written(text)
    assert caught.value.reason == "TEXT_UNSUPPORTED"


@pytest.mark.parametrize("text", [" ", "\n\n", "  \n "])
def test_text_without_ink_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        written(text)
    assert caught.value.reason == "TEXT_EMPTY"


@pytest.mark.parametrize(
    "style",
    [
        TextStyle(0.1),
        TextStyle(float("nan")),
        TextStyle(7, letter_spacing_mm=1e9),
        TextStyle(7, line_spacing=0.0),
        TextStyle(7, tolerance_mm=0.0),
    ],
)
def test_figures_out_of_range_are_named(style: TextStyle) -> None:
    with pytest.raises(InvalidArgument, match="is outside"):
        written("A", style=style)


def test_too_many_points_are_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        written("O" * 500, max_nodes=2000)
    assert caught.value.reason == "TEXT_TOO_DETAILED"


def test_fonts_come_from_the_operators_folder_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "Workshop Bold.TTF").write_bytes(truetype())
    (tmp_path / "kerf-stroke.ttf").write_bytes(b"not this one")
    (tmp_path / "notes.txt").write_bytes(b"")
    shelf = FontShelf(tmp_path)
    assert shelf.names() == ["kerf-stroke", "kerf-round", "Workshop Bold"]
    assert box(written("H", shelf.named("Workshop Bold")))[3] == pytest.approx(7.0)
    for name in ("../secret", "notes", "Workshop", str(tmp_path / "Workshop Bold.TTF")):
        with pytest.raises(InvalidArgument, match="Workshop Bold") as caught:
            shelf.named(name)
        assert caught.value.reason == "FONT_UNKNOWN"


@pytest.mark.parametrize(
    "data", [b"", b"OTTO", b"\x00\x01\x00\x00" + b"\xff" * 40, b"wOF2" + b"\0" * 99, b"ttcf" + b"\0" * 99]
)
def test_what_is_no_font_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        FontFile(data, "bad", LIMITS)
    assert caught.value.reason == "FONT_DAMAGED"


def test_a_font_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(InvalidArgument) as caught:
        FontFile(truetype(), "large", FontLimits(max_bytes=100))
    assert caught.value.reason == "FONT_TOO_LARGE"


def test_glyphs_of_glyphs_without_end_are_refused() -> None:
    # Each is made of four of the next: 4⁵ parts from a few bytes, and at last one of itself.
    chain = {"A": ["V"] * 4, "V": ["O"] * 4, "O": ["ring"] * 4, "ring": ["space"] * 4}
    with pytest.raises(InvalidArgument) as caught:
        FontFile(self_made(chain), "deep", LIMITS).glyph("A")
    assert caught.value.reason == "FONT_TOO_LARGE"


def test_subroutines_that_call_each_other_without_end_are_refused() -> None:
    # Each calls the next four times: 4⁴ calls that draw nothing, and twenty levels would be 4²⁰.
    depth, bias = 4, 107
    calls = [T2CharString(program=[number + 1 - bias, "callsubr"] * 4 + ["return"]) for number in range(depth)]
    bomb = T2CharString(program=[0 - bias, "callsubr", "endchar"])
    data = opentype({"A": bomb}, [*calls, T2CharString(program=["return"])])
    with pytest.raises(InvalidArgument) as caught:
        FontFile(data, "bomb", FontLimits(max_steps_per_glyph=500)).glyph("A")
    assert caught.value.reason == "FONT_TOO_LARGE"


def test_an_outline_that_crosses_itself_everywhere_is_refused() -> None:
    star = np.array([(x % 2 * 100.0, x * 0.01 * (-1) ** (x // 2)) for x in range(600)])
    with pytest.raises(InvalidArgument) as caught:
        wound_area([star])
    assert caught.value.reason == "OUTLINE_TANGLED"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 12))
def test_damaged_fonts_give_letters_or_typed_errors(seed: int, is_ttf: bool, damages: int) -> None:
    data = bytearray(truetype() if is_ttf else opentype())
    chance = random.Random(seed)
    for _ in range(damages):
        data[chance.randrange(12, len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    paths: tuple[Outline, ...] = ()
    reason = ""
    try:
        paths = written("AVHO", FontFile(bytes(data), "hostile", LIMITS))
    except InvalidArgument as error:
        reason = error.reason
    assert bool(paths) == (reason not in TEXT_REASONS)
    assert all(np.isfinite(path.points_mm).all() for path in paths)
