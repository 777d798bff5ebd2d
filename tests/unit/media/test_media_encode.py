"""Encoding: what is written says what was meant, in the same bytes every time."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from kerf_media import decode_picture, encode_png_1bit, encode_png_gray, encode_png_rgb


@settings(max_examples=50, deadline=None)
@given(
    burn=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)),
    pixels_per_metre=st.integers(1, 400_000),
)
def test_one_bit_pictures_come_back(burn: NDArray[np.bool_], pixels_per_metre: int) -> None:
    data = encode_png_1bit(burn, pixels_per_metre)
    picture = decode_picture(data)
    assert np.array_equal(picture.gray() == 0, burn)
    assert np.array_equal(picture.gray() == 255, ~burn)
    assert picture.pixels_per_metre == (float(pixels_per_metre), float(pixels_per_metre))
    assert data == encode_png_1bit(burn.copy(), pixels_per_metre)


def test_one_bit_really() -> None:
    data = encode_png_1bit(np.eye(64, dtype=np.bool_), 10_000)
    assert Image.open(io.BytesIO(data)).mode == "1"
    assert data.count(b"pHYs" + struct.pack(">IIB", 10_000, 10_000, 1)) == 1
    for kind in (b"tIME", b"tEXt", b"iTXt", b"eXIf"):
        assert kind not in data


def test_grey_and_rgb_come_back_from_views() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(decode_picture(encode_png_rgb(pixels[::-1])).rgb, pixels[::-1])
    assert np.array_equal(decode_picture(encode_png_gray(pixels[..., 1])).gray(), pixels[..., 1])


def test_a_pitch_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        encode_png_gray(np.zeros((2, 2), np.uint8), 0)
