"""SVG: what is written comes back; what strangers write is measured right or refused."""

import math
import re
import time

import numpy as np
import pytest
import resvg_py
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_core.errors import Internal, InvalidArgument
from kerf_media import decode_picture
from kerf_optimizer.domain.geometry import Drawing, Path, path_of
from kerf_optimizer.domain.svg import SvgLimits, assert_same_drawing, format_mm, read_svg, write_svg

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="100mm" height="50mm" viewBox="0 0 100 50">'


def svg(body: str, head: str = HEAD) -> bytes:
    return f"{head}{body}</svg>".encode()


def refused(data: bytes, limits: SvgLimits | None = None) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read_svg(data, limits)
    return caught.value.reason


coordinates = st.floats(0, 100).map(lambda value: round(value, 5))
points = st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=12)
layers = st.sampled_from(["", "cut", "score", "a\"<&>'ü"])
paths = st.builds(lambda p, closed, layer: path_of(p, closed=closed, layer=layer), points, st.booleans(), layers)


@settings(max_examples=150, deadline=None)
@given(st.lists(paths, max_size=6), st.floats(100, 300), st.floats(100, 300), st.text(max_size=20))
def test_own_files_come_back(found: list[Path], width_mm: float, height_mm: float, title: str) -> None:
    drawing = Drawing(width_mm, height_mm, tuple(found))
    data = write_svg(drawing, title=title)
    assert_same_drawing(drawing, read_svg(data))
    assert data == write_svg(drawing, title=title)
    assert not any(re.search(r"[eE]", d) for d in re.findall(r' d="([^"]*)"', data.decode()))


def test_the_size_stands_in_the_file() -> None:
    data = write_svg(Drawing(80.5, 60, (path_of([(1, 2), (3, 4)], closed=False),)))
    assert b'width="80.5mm" height="60mm" viewBox="0 0 80.5 60"' in data
    assert b'd="M1,2L3,4"' in data


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.0001, "0"), (1.5, "1.5"), (12.3456, "12.346"), (-0.25, "-0.25"), (1e-9, "0"), (100, "100")],
)
def test_numbers(value: float, text: str) -> None:
    assert format_mm(value) == text


SAME = Drawing(10, 10, (path_of([(1, 1), (5, 1), (5, 5)], closed=True, layer="a"),))


@pytest.mark.parametrize(
    "other",
    [
        Drawing(10.01, 10, SAME.paths),
        Drawing(10, 10, ()),
        Drawing(10, 10, (path_of([(1, 1), (5, 1), (5, 5)], closed=False, layer="a"),)),
        Drawing(10, 10, (path_of([(1, 1), (5, 1), (5, 5)], closed=True, layer="b"),)),
        Drawing(10, 10, (path_of([(1, 1), (5, 1), (5, 5.001)], closed=True, layer="a"),)),
        Drawing(10, 10, (path_of([(1, 1), (5, 1), (5, 5), (3, 3)], closed=True, layer="a"),)),
        Drawing(10, 10, (path_of([(1, 1), (5, 5), (5, 1)], closed=True, layer="a"),)),
    ],
)
def test_a_difference_is_an_error(other: Drawing) -> None:
    assert_same_drawing(SAME, SAME)
    with pytest.raises(Internal) as caught:
        assert_same_drawing(SAME, other)
    assert caught.value.reason == "READ_BACK_DIFFERS"


@pytest.mark.parametrize(
    ("head", "width_mm", "corner_mm"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96">', 25.4, 25.4),
        ('<svg width="1in" height="72pt">', 25.4, 25.4),
        ('<svg width="6pc" height="2.54cm" viewBox="0 0 192 192">', 25.4, 12.7),
        ('<svg viewBox="0 0 96 96">', 25.4, 25.4),
        ('<svg width="100%" height="100%" viewBox="0 0 96 96">', 25.4, 25.4),
        ('<svg width="20mm" height="80Q" viewBox="-96 -96 192 192" preserveAspectRatio="none">', 20, 20),
    ],
)
def test_units_and_view_boxes(head: str, width_mm: float, corner_mm: float) -> None:
    drawing = read_svg(svg('<path d="M 0 0 L 96 96"/>', head))
    assert drawing.width_mm == pytest.approx(width_mm)
    assert drawing.paths[0].points_mm[1, 0] == pytest.approx(corner_mm)


@pytest.mark.parametrize(
    ("aspect", "x_mm"), [("", 25), ("xMinYMin", 0), ("xMaxYMax meet", 50), ("xMidYMid slice", 0), ("none", 0)]
)
def test_aspect_ratio(aspect: str, x_mm: float) -> None:
    head = f'<svg width="100mm" height="50mm" viewBox="0 0 10 10" preserveAspectRatio="{aspect}">'
    if not aspect:
        head = head.replace(' preserveAspectRatio=""', "")
    drawing = read_svg(svg('<path d="M0,5L1,5"/>', head))
    assert drawing.paths[0].points_mm[0, 0] == pytest.approx(x_mm)


def test_transforms_nest_from_the_inside_out() -> None:
    body = (
        '<g transform="translate(10 5)"><g transform="scale(2)"><path transform="rotate(90)" d="M1,-2L3,-2"/></g></g>'
    )
    drawing = read_svg(svg(body))
    assert drawing.paths[0].points_mm == pytest.approx(np.array([[14, 7], [14, 11]]))
    curved = read_svg(svg(body.replace("M1,-2L3,-2", "M 1 -2 L 3 -2")))  # the same through svgelements
    assert curved.paths[0].points_mm == pytest.approx(drawing.paths[0].points_mm)


@pytest.mark.parametrize(
    ("shape", "closed", "length_mm"),
    [
        ('<rect x="1" y="2" width="10" height="20"/>', True, 60),
        ('<circle cx="20" cy="20" r="10"/>', True, 20 * math.pi),
        ('<ellipse cx="20" cy="20" rx="10" ry="10" transform="translate(5)"/>', True, 20 * math.pi),
        ('<line x1="0" y1="0" x2="3" y2="4"/>', False, 5),
        ('<polyline points="0,0 3,4 6,8"/>', False, 10),
        ('<polygon points="0,0 3,0 3,4"/>', True, 12),
        ('<path d="M0 0h3v4z"/>', True, 12),
        ('<path d="M0,0L3,0L3,4L0,0"/>', True, 12),
        ('<path d="M10 10 a 5 5 0 0 1 10 0"/>', False, 5 * math.pi),
        ('<path d="m 1 1 l 3 0 0 4"/>', False, 7),
        ('<path d="M0 0 Q 5 0 10 0"/>', False, 10),
        ('<path d="M1e1 1.0e1 L 1.3e1 10"/>', False, 3),
    ],
)
def test_shapes(shape: str, closed: bool, length_mm: float) -> None:
    (path,) = read_svg(svg(shape)).paths
    assert path.closed == closed
    assert path.length_mm == pytest.approx(length_mm, rel=2e-3)


@pytest.mark.parametrize("tolerance_mm", [0.001, 0.01, 0.1])
def test_curves_stay_within_their_tolerance(tolerance_mm: float) -> None:
    limits = SvgLimits(flatten_tolerance_mm=tolerance_mm)
    for shape in ('<circle cx="25" cy="25" r="20"/>', '<path d="M5 25 A 20 20 0 0 1 45 25 A 20 20 0 0 1 5 25 Z"/>'):
        points_mm = read_svg(svg(shape), limits).paths[0].points_mm
        middles = (points_mm + np.roll(points_mm, -1, axis=0)) / 2
        radii = np.hypot(*(np.vstack([points_mm, middles]) - 25).T)
        assert np.abs(radii - 20).max() <= tolerance_mm + 1e-4


def test_layers_are_groups() -> None:
    label = 'xmlns:i="http://www.inkscape.org/namespaces/inkscape" i:label="cut"'
    path = '<path d="M0,0L1,1"/>'
    body = f'<g id="outer">{path}<g {label} id="x">{path}</g></g>{path}'
    assert [path.layer for path in read_svg(svg(body)).paths] == ["outer", "cut", ""]


def test_what_is_not_drawn_is_not_read() -> None:
    body = (
        '<defs><path d="M0,0L1,1"/><text>x</text></defs><title>t</title><!-- c --><metadata><x/></metadata>'
        '<path display="none" d="M0,0L1,1"/><g style="fill:red; display : none"><path d="M0,0L1,1"/></g>'
        '<path d=""/><path d="M5 5"/><rect width="0" height="4"/>'
    )
    assert read_svg(svg(body)).paths == ()


@pytest.mark.parametrize(
    "body",
    [
        "<text>words</text>",
        '<image href="x.png"/>',
        '<use href="#a"/>',
        "<svg/>",
        "<script>1</script>",
        '<g clip-path="url(#a)"><path d="M0,0L1,1"/></g>',
        '<path style="mask:url(#m)" d="M0,0L1,1"/>',
    ],
)
def test_what_would_be_lost_is_refused(body: str) -> None:
    assert refused(svg(body)) == "SVG_UNSUPPORTED"


BOMB = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<svg xmlns="http://www.w3.org/2000/svg" width="1mm" height="1mm"><title>&b;</title></svg>"""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no xml",
        b"<svg",
        b"<html/>",
        BOMB,
        BOMB.replace(b'"aaaaaaaaaa"', b'SYSTEM "file:///etc/passwd"'),
        b"<svg/>",
        b'<svg width="10mm"/>',
        b'<svg width="0mm" height="1mm"/>',
        b'<svg width="nan" height="1mm"/>',
        b'<svg width="1e999mm" height="1mm"/>',
        b'<svg width="10furlong" height="1mm"/>',
        b'<svg width="1mm" height="1mm" viewBox="0 0 0 1"/>',
        b'<svg width="1mm" height="1mm" viewBox="0 0 1"/>',
        svg('<path d="M0 0 L nan 5"/>'),
        svg('<path d="M0 0 L 5 5 !"/>'),
        svg('<path transform="wobble(3)" d="M0 0 L 5 5"/>'),
        svg('<path d="M0 0 L 1e999 5"/>'),
        svg('<path d="M0,0L' + "9" * 400 + ',5"/>'),
        svg('<circle cx="1e999" r="4"/>'),
        svg('<rect width="ten" height="4"/>'),
        svg('<g transform="scale(1e999)"><path d="M0,0L1,1"/></g>'),
        svg('<g transform="scale(nan)"><path d="M0 0 C 1 1 2 2 3 3"/></g>'),
    ],
)
def test_damaged_files(data: bytes) -> None:
    assert refused(data) == "SVG_DAMAGED"


def test_a_plain_doctype_is_fine() -> None:
    data = b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">' + svg(
        ""
    )
    assert read_svg(data).paths == ()


@pytest.mark.parametrize("d", ["M0,0L200,5", "M 0 0 L 50 60", "M-1,0L1,1"])
def test_what_lies_outside_the_page_is_refused(d: str) -> None:
    assert refused(svg(f'<path d="{d}"/>')) == "SVG_OUTSIDE_PAGE"
    assert read_svg(svg('<path d="M-0.005,0L100.005,50"/>')).paths[0].bounds == (0, 0, 100, 50)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (svg("<g/>" * 400), SvgLimits(max_elements=100)),
        (svg("<g>" * 70 + "</g>" * 70), SvgLimits()),
        (svg('<path d="M0,0' + "L1,1" * 200 + '"/>'), SvgLimits(max_nodes=100)),
        (svg('<path d="M0 0' + " L 1 1" * 200 + '"/>'), SvgLimits(max_nodes=100)),
        (svg('<path d="M0 0' + "h1h-1" * 200 + '"/>'), SvgLimits(max_segments=300)),
        (svg('<path d="M0,0' + "L1-1" * 400 + '"/>'), SvgLimits(max_segments=300)),
        (svg(('<path d="M0 0' + "M1 1" * 200 + '"/>') * 2), SvgLimits(max_segments=300)),
        (svg('<polygon points="' + "0 0 1 1 " * 200 + '"/>'), SvgLimits(max_segments=300)),
        (svg('<path d="M0 0' + " Z" * 200 + '"/>' * 3), SvgLimits(max_bytes=100)),
        (svg('<path d="M0 0 C 1e30 0 0 1e30 5 5"/>'), SvgLimits()),
    ],
)
def test_too_much(data: bytes, limits: SvgLimits) -> None:
    assert refused(data, limits) == "SVG_TOO_LARGE"


def test_a_large_drawing_is_read_quickly() -> None:
    turn = np.linspace(0, 200 * math.pi, 200_000)
    spiral = Path(np.stack([50 + turn / 13 * np.cos(turn), 50 + turn / 13 * np.sin(turn)], axis=1), closed=False)
    drawing = Drawing(100, 100, (spiral,))
    began = time.process_time()
    assert_same_drawing(drawing, read_svg(write_svg(drawing)))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("run", ["c1 0 1 0 0 0", "a1 1 0 0 1 1 1 a1 1 0 0 1 -1 -1", "h1h-1", "M1 1L2 2Z"])
def test_cost_grows_with_the_file_and_no_faster(run: str) -> None:
    began = time.process_time()
    read_svg(svg(f'<path d="M5 5{run * 2000}"/>'))
    assert time.process_time() - began < 3


@settings(max_examples=80, deadline=None)
@given(
    st.text(alphabet="MmLlHhVvCcSsQqTtAaZz0123456789.,- eE+", max_size=60), st.sampled_from(["path", "polygon", "g"])
)
def test_hostile_path_data_raises_nothing_else(d: str, name: str) -> None:
    attribute = {"path": "d", "polygon": "points", "g": "transform"}[name]
    reason = "SVG_FINE"
    try:
        read_svg(svg(f'<{name} {attribute}="{d}"><path d="M0,0L1,1"/></{name}>'))
    except InvalidArgument as error:
        reason = error.reason
    assert reason.startswith("SVG_")


def test_an_independent_renderer_agrees() -> None:
    data = write_svg(
        Drawing(40, 20, (path_of([(10, 5), (30, 5), (30, 15), (10, 15)], closed=True),)), stroke_width_mm=0.5
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=data.decode(), dpi=96, width=400, background="white"))
    rows, columns = np.nonzero(decode_picture(png).gray() < 128)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx((97, 302, 47, 152), abs=1)
