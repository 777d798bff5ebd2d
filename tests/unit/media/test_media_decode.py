"""Decoding: what comes in is checked before it costs anything, and comes out upright, in RGB, over white."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from kerf_core.errors import InvalidArgument
from kerf_media import PictureLimits, decode_picture, encode_png_gray, encode_png_rgb, read_header

NOISE = np.random.default_rng(7).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8] | Image.Image, form: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


FILES = {
    "png": encoded(NOISE, "PNG"),
    "jpeg": encoded(NOISE, "JPEG", quality=90),
    "progressive": encoded(NOISE, "JPEG", progressive=True),
    "webp": encoded(NOISE, "WEBP", lossless=True),
    "webp-lossy": encoded(NOISE, "WEBP"),
    "bmp": encoded(NOISE, "BMP"),
    "gif": encoded(NOISE, "GIF"),
}


def refused(data: bytes, limits: PictureLimits | None = None) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        decode_picture(data, limits)
    return caught.value


@pytest.mark.parametrize("name", ["png", "webp", "bmp"])
def test_lossless_pixels_survive(name: str) -> None:
    picture = decode_picture(FILES[name])
    assert np.array_equal(picture.rgb, NOISE)
    assert picture.alpha is None
    assert picture.notes == ()


@pytest.mark.parametrize("name", FILES)
def test_header_tells_the_size(name: str) -> None:
    header = read_header(FILES[name])
    assert (header.width_px, header.height_px) == (32, 24)
    assert decode_picture(FILES[name]).rgb.shape == (24, 32, 3)


@pytest.mark.parametrize("name", FILES)
def test_every_cut_is_found(name: str) -> None:
    data = FILES[name]
    # A GIF's last two bytes are an end-of-data mark and the trailer: its pixels are whole without them.
    for length in range(1, len(data) - (2 if name == "gif" else 0)):
        assert refused(data[:length]).reason in ("PICTURE_DAMAGED", "PICTURE_UNREADABLE"), length


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(FILES)), at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_a_changed_byte_never_escapes_as_another_error(name: str, at: int, bits: int) -> None:
    data = bytearray(FILES[name])
    data[at % len(data)] ^= bits
    try:
        picture = decode_picture(bytes(data), PictureLimits(max_pixels=1_000_000))
        reason = "PICTURE_" if picture.rgb.dtype == np.uint8 else "not uint8"
    except InvalidArgument as error:
        reason = error.reason
    assert reason.startswith("PICTURE_")


def test_a_changed_png_is_always_found() -> None:
    data = bytearray(FILES["png"])
    data[len(data) // 2] ^= 1
    assert refused(bytes(data)).reason == "PICTURE_DAMAGED"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "an empty file"),
        (b"just words\n", "a text file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x00\x01\x02", "bytes of no known kind"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, named: str) -> None:
    error = refused(data)
    assert error.reason == "PICTURE_UNREADABLE"
    assert named in error.message


def png_that_claims(width_px: int, height_px: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_huge_picture_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr(Image, "open", never)
    error = refused(png_that_claims(30_000, 30_000))
    assert error.reason == "PICTURE_TOO_LARGE"
    assert "30,000 × 30,000 px" in error.message
    assert refused(png_that_claims(0, 5)).reason == "PICTURE_DAMAGED"


def test_limits_are_inclusive() -> None:
    exact = PictureLimits(max_bytes=len(FILES["png"]), max_pixels=32 * 24, max_side_px=32)
    assert decode_picture(FILES["png"], exact).width_px == 32
    for tight in (
        PictureLimits(max_bytes=len(FILES["png"]) - 1),
        PictureLimits(max_pixels=32 * 24 - 1),
        PictureLimits(max_side_px=31),
    ):
        assert refused(FILES["png"], tight).reason == "PICTURE_TOO_LARGE"
    with pytest.raises(ValueError, match="max_pixels"):
        PictureLimits(max_pixels=100_000_000)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: the stored top is the right side
    wide = np.zeros((10, 20, 3), np.uint8)
    wide[:, :10] = 255
    data = encoded(wide, "JPEG", exif=exif, quality=95, dpi=(100, 200))
    picture = decode_picture(data)
    assert (picture.width_px, picture.height_px) == (10, 20)
    assert picture.gray()[2].mean() > 200 > 50 > picture.gray()[-3].mean()
    assert picture.pixels_per_metre == pytest.approx((200 / 0.0254, 100 / 0.0254))
    assert any("EXIF" in note for note in picture.notes)


def test_transparency_is_laid_over_white_and_kept() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:, 2:, 3] = 255
    rgba[:, 1, 3] = 128
    picture = decode_picture(encoded(rgba, "PNG"))
    assert picture.gray()[0].tolist() == [255, 127, 0, 0]
    assert picture.alpha is not None
    assert picture.alpha[0].tolist() == [0, 128, 255, 255]
    assert any("white" in note for note in picture.notes)


def test_opaque_alpha_is_no_alpha() -> None:
    rgba = np.full((3, 3, 4), 255, np.uint8)
    picture = decode_picture(encoded(rgba, "PNG"))
    assert picture.alpha is None
    assert picture.notes == ()


def test_palette_with_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    picture = decode_picture(encoded(image, "PNG", transparency=0))
    assert picture.rgb[0].tolist() == [[255, 255, 255], [200, 100, 50]]
    assert picture.alpha is not None


def test_sixteen_bits_are_rounded() -> None:
    wide = np.array([[0, 128, 129, 32768, 65535]], np.uint16)
    picture = decode_picture(encoded(Image.fromarray(wide), "PNG"))
    assert picture.gray()[0].tolist() == [0, 0, 1, 128, 255]
    assert any("16 bits" in note for note in picture.notes)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("L", (5, 5), value) for value in (0, 255)]
    picture = decode_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert picture.gray().max() == 0
    assert any("first frame" in note for note in picture.notes)


def test_cmyk_and_grey_become_rgb() -> None:
    assert decode_picture(encoded(Image.new("CMYK", (3, 3)), "JPEG")).gray().min() >= 250
    assert decode_picture(encoded(Image.new("L", (3, 3), 7), "PNG")).rgb[0, 0].tolist() == [7, 7, 7]


def test_physical_size_is_read() -> None:
    png = decode_picture(encode_png_gray(np.zeros((10, 20), np.uint8), 10_000))
    assert png.pixels_per_metre == (10_000.0, 10_000.0)
    assert png.size_mm == pytest.approx((2.0, 1.0))
    jpeg = decode_picture(encoded(NOISE, "JPEG", dpi=(254, 254)))
    assert jpeg.size_mm == pytest.approx((3.2, 2.4))
    assert decode_picture(encode_png_rgb(NOISE)).size_mm is None


def test_pixels_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        decode_picture(FILES["png"]).rgb[0, 0] = 0
