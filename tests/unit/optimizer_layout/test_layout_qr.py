"""QR codes that a reader reads from what would burn, with no edge twice."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing
from kerf_optimizer.domain.qr_code import Correction, QrCode, draw_qr_code

SPOT_MM = 0.1
PX_PER_MM = 12


def burnt(drawing: Drawing) -> NDArray[np.uint8]:
    """A grey picture of the areas: burnt is black. Paths are filled by the even-odd rule."""
    side = math.ceil(drawing.width_mm * PX_PER_MM)
    picture = np.full((side, side), 255, dtype=np.uint8)
    rings = [np.rint(path.points_mm * PX_PER_MM * 16).astype(np.int32) for path in drawing.paths]
    cv2.fillPoly(picture, rings, (0.0,), lineType=cv2.LINE_AA, shift=4)
    return picture


def read(picture: NDArray[np.uint8]) -> str:
    text, *_ = cv2.QRCodeDetector().detectAndDecode(picture)
    return str(text)


@pytest.mark.parametrize("correction", list(Correction))
@pytest.mark.parametrize("content", ["https://example.org/a?b=1", "12345", "Grüße aus der Werkstatt"])
def test_a_reader_reads_what_would_burn(content: str, correction: Correction) -> None:
    code = draw_qr_code(QrCode(content, 40.0, correction), SPOT_MM)
    assert read(burnt(code.drawing)) == content
    assert (code.drawing.width_mm, code.drawing.height_mm, code.warnings) == (40.0, 40.0, ())


def test_where_light_burns_the_picture_is_the_opposite() -> None:
    dark = draw_qr_code(QrCode("kerf", 30.0), SPOT_MM).drawing
    light = draw_qr_code(QrCode("kerf", 30.0, light_burns=True), SPOT_MM).drawing
    assert sum(path.area_mm2 for path in (*dark.paths, *light.paths)) == pytest.approx(900.0)
    assert read(255 - burnt(light)) == "kerf"


@settings(max_examples=10, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), st.sampled_from(list(Correction)), st.integers(0, 6)
)
def test_no_edge_burns_twice_and_the_border_is_free(content: str, correction: Correction, quiet: int) -> None:
    made = draw_qr_code(QrCode(content, 80.0, correction, quiet), SPOT_MM)
    lines = [shapely.LinearRing(path.points_mm) for path in made.drawing.paths]
    assert shapely.union_all(lines).length == pytest.approx(sum(line.length for line in lines))
    box = made.drawing.bounds
    assert box is not None
    assert box.min_x_mm == pytest.approx(quiet * made.module_mm, abs=0.002)
    # Every edge lies between modules: no border runs through one.
    steps = np.concatenate([path.points_mm for path in made.drawing.paths]) / made.module_mm
    assert np.abs(steps - np.rint(steps)).max() * made.module_mm <= 0.0011


def test_modules_too_narrow_for_the_spot_are_refused_with_the_size_that_would_do() -> None:
    code = QrCode("https://example.org/", 5.0)
    with pytest.raises(InvalidArgument, match=r"at least 6\.6 mm wide") as caught:
        draw_qr_code(code, SPOT_MM)
    assert caught.value.reason == "QR_TOO_SMALL"
    (warning,) = draw_qr_code(QrCode("https://example.org/", 6.6), SPOT_MM).warnings
    assert "narrower than 4 spots" in warning


def test_a_narrow_border_is_told() -> None:
    (warning,) = draw_qr_code(QrCode("kerf", 30.0, quiet_modules=1), SPOT_MM).warnings
    assert "standard asks for 4" in warning


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (QrCode("", 30.0), "INVALID_FIELD"),
        (QrCode("kerf", float("nan")), "INVALID_FIELD"),
        (QrCode("kerf", 30.0, quiet_modules=-1), "INVALID_FIELD"),
        (QrCode("x" * 3000, 300.0, Correction.HIGH), "QR_TOO_LONG"),
        (QrCode("\ud800", 30.0), "QR_TOO_LONG"),
    ],
)
def test_what_cannot_be_a_code_is_refused(code: QrCode, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        draw_qr_code(code, SPOT_MM)
    assert caught.value.reason == reason
