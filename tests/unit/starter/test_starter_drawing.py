import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_starter.canvas import Pen, Pose, Style, render
from kerf_starter.dataset import draw_pictures
from kerf_starter.objects import DRAWERS, Kind, picture_of
from kerf_world import geometry as g
from kerf_world.drawing import body, hole, pen


def _ink_share(picture: np.ndarray) -> float:
    return float((picture < 128).mean())


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("style", list(Style))
def test_every_object_in_every_style_has_ink_and_paper(kind: Kind, style: Style) -> None:
    picture = picture_of(kind, style, seed=3)
    assert picture.shape == (128, 128)
    assert picture.dtype == np.uint8
    assert 0.01 < _ink_share(picture) < 0.6


@pytest.mark.parametrize("kind", list(Kind))
def test_no_object_is_cut_off_by_the_edge(kind: Kind) -> None:
    drawing = DRAWERS[kind](np.random.default_rng(0))
    picture = render(drawing, Style.SILHOUETTE, Pose(scale_x=0.9, scale_y=0.9), Pen())
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (edge == 255).all()


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(list(Kind)), st.sampled_from(list(Style)), st.integers(0, 2**32))
def test_equal_seeds_give_equal_pictures(kind: Kind, style: Style, seed: int) -> None:
    assert np.array_equal(picture_of(kind, style, seed), picture_of(kind, style, seed))


def test_other_seeds_give_other_pictures() -> None:
    assert not np.array_equal(picture_of(Kind.HEART, Style.LINE_ART, 1), picture_of(Kind.HEART, Style.LINE_ART, 2))


@pytest.mark.parametrize("kind", list(Kind))
def test_line_art_has_the_least_ink(kind: Kind) -> None:
    drawing = DRAWERS[kind](np.random.default_rng(5))
    share = {style: _ink_share(render(drawing, style, Pose(scale_x=0.85, scale_y=0.85), Pen())) for style in Style}
    assert share[Style.LINE_ART] < min(share[Style.ENGRAVING], share[Style.SILHOUETTE])


def test_a_silhouette_covers_the_drawn_area() -> None:
    square = [body(g.rectangle(-0.5, -0.5, 0.5, 0.5)), hole(g.rectangle(-0.25, -0.25, 0.25, 0.25))]
    picture = render(square, Style.SILHOUETTE, Pose(), Pen())
    assert _ink_share(picture) == pytest.approx((1.0 - 0.25) / 4.0, abs=0.01)


def test_pen_lines_show_in_line_art_only() -> None:
    drawing = [body(g.rectangle(-0.6, -0.6, 0.6, 0.6)), pen(g.polygon((-0.5, 0.0), (0.5, 0.0)))]
    line_art = render(drawing, Style.LINE_ART, Pose(), Pen())
    silhouette = render(drawing[:1], Style.SILHOUETTE, Pose(), Pen())
    assert line_art[64, 64] < 128 < line_art[52, 64]
    assert np.array_equal(silhouette, render(drawing, Style.SILHOUETTE, Pose(), Pen()))


@settings(max_examples=30, deadline=None)
@given(st.floats(-180, 180), st.floats(0.2, 1.5), st.floats(-0.5, 0.5), st.booleans())
def test_a_pose_keeps_areas_up_to_its_scale(turn_deg: float, scale: float, shift: float, flipped: bool) -> None:
    square = g.rectangle(-0.5, -0.5, 0.5, 0.5)
    posed = Pose(turn_deg, scale, 2.0 * scale, shift, -shift, flipped).apply(square)
    x, y = posed[:, 0], posed[:, 1]
    area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2.0
    assert area == pytest.approx(2.0 * scale**2)


def test_smooth_passes_through_its_corners() -> None:
    corners = [(0.0, 0.0), (1.0, 0.2), (0.8, 1.0), (-0.1, 0.7)]
    curve = g.smooth(corners, per_span=4)
    assert np.allclose(curve[::4], corners)


def test_a_set_of_pictures_holds_every_pair_equally_often() -> None:
    pictures = draw_pictures(per_pair=1, first_seed=7)
    pairs = set(zip(pictures.kinds.tolist(), pictures.styles.tolist(), strict=True))
    assert len(pictures) == len(pairs) == len(Kind) * len(Style)
