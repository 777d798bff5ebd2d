"""Size and completeness of a picture, read from its container before anything is decoded.

Own parsers of the few bytes that matter: a decoder would allocate first and complain later, and decoders are content
with files whose end is missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument
from kerf_media.sniff import describe, sniff_media_type

INCHES_PER_METRE = 1 / 0.0254
_PNG_SIGNATURE_BYTES = 8
_PNG_CHECKED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_METRE = 1
_JPEG_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_DENSITY_PER_METRE = {1: INCHES_PER_METRE, 2: 100.0}


@dataclass(frozen=True)
class PictureHeader:
    """What a picture says of itself.

    `pixels_per_metre` is (x, y), None where the file names no physical size (PNG pHYs and JFIF do). EXIF orientation is
    not applied here.
    """

    media_type: str
    width_px: int
    height_px: int
    pixels_per_metre: tuple[float, float] | None = None


def read_header(data: bytes) -> PictureHeader:
    """Read the header of a PNG, JPEG, WebP, GIF or BMP; allocates nothing of the picture's size.

    Raises InvalidArgument: PICTURE_UNREADABLE for anything else, PICTURE_DAMAGED where the file is cut short, a PNG
    checksum is wrong, or the header makes no sense.
    """
    media_type = sniff_media_type(data)
    reader = _READERS.get(media_type)
    if reader is None:
        raise InvalidArgument(
            "PICTURE_UNREADABLE",
            f"This is {describe(data)}, not a picture that kerf reads. Send a PNG, JPEG, WebP, GIF or BMP.",
        )
    try:
        header = reader(data)
    except (struct.error, IndexError):
        raise damaged(media_type, "it ends inside its header") from None
    if header.width_px < 1 or header.height_px < 1:
        raise damaged(media_type, f"its header says {header.width_px} × {header.height_px} px")
    return header


def damaged(media_type: str, what: str) -> InvalidArgument:
    """The error for a picture whose bytes are wrong."""
    name = media_type.removeprefix("image/").upper()
    return InvalidArgument("PICTURE_DAMAGED", f"The {name} is damaged: {what}. Send the whole file again.")


def _read_png(data: bytes) -> PictureHeader:
    width_px = height_px = 0
    density: tuple[float, float] | None = None
    kind = b""
    seen: set[bytes] = set()
    for kind, body in _png_chunks(data):
        if not seen and kind != b"IHDR":
            raise damaged("image/png", "it does not begin with its header")
        if kind == b"IHDR":
            width_px, height_px = struct.unpack_from(">II", body)
        elif kind == b"pHYs" and b"IDAT" not in seen:
            x_per_unit, y_per_unit, unit = struct.unpack_from(">IIB", body)
            if unit == _PNG_METRE and x_per_unit and y_per_unit:
                density = (float(x_per_unit), float(y_per_unit))
        seen.add(kind)
    if kind != b"IEND" or b"IDAT" not in seen:
        raise damaged("image/png", "its end is missing")
    return PictureHeader("image/png", width_px, height_px, density)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view = memoryview(data)
    at = _PNG_SIGNATURE_BYTES
    while at < len(view):
        length, kind = struct.unpack_from(">I4s", view, at)
        end = at + 12 + length
        if end > len(view):
            raise damaged("image/png", "it ends in the middle of a chunk")
        if kind in _PNG_CHECKED:
            (expected,) = struct.unpack_from(">I", view, end - 4)
            if zlib.crc32(view[at + 4 : end - 4]) != expected:
                raise damaged("image/png", f"the checksum of a chunk {kind.decode()} is wrong")
        yield kind, view[at + 8 : end - 4]
        if kind == b"IEND":
            return
        at = end


def _read_jpeg(data: bytes) -> PictureHeader:
    density: tuple[float, float] | None = None
    size_px: tuple[int, int] | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            raise damaged("image/jpeg", "a marker is missing")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE0 and body[:5] == b"JFIF\0":
            density = _jfif_density(body)
        if marker in _JPEG_FRAMES:
            height_px, width_px = struct.unpack_from(">HH", body, 1)
            size_px = (width_px, height_px)
        if marker == _JPEG_SCAN:
            break
        at += 2 + length
    if size_px is None:
        raise damaged("image/jpeg", "it has no frame header")
    if data.rfind(b"\xff\xd9") < at:
        raise damaged("image/jpeg", "its end is missing")
    return PictureHeader("image/jpeg", *size_px, density)


def _jfif_density(body: bytes) -> tuple[float, float] | None:
    unit, x_density, y_density = struct.unpack_from(">BHH", body, 7)
    per_metre = _JPEG_DENSITY_PER_METRE.get(unit)
    if per_metre is None or not x_density or not y_density:
        return None
    return (x_density * per_metre, y_density * per_metre)


def _read_webp(data: bytes) -> PictureHeader:
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise damaged("image/webp", "its end is missing")
    kind = data[12:16]
    if kind == b"VP8X":
        width_px = int.from_bytes(data[24:27], "little") + 1
        height_px = int.from_bytes(data[27:30], "little") + 1
        struct.unpack_from("<B", data, 29)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width_px, height_px = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width_px, height_px = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise damaged("image/webp", "it has no picture in it")
    return PictureHeader("image/webp", width_px, height_px)


def _read_gif(data: bytes) -> PictureHeader:
    width_px, height_px = struct.unpack_from("<HH", data, 6)
    if 0x3B not in data[13:]:
        raise damaged("image/gif", "its end is missing")
    return PictureHeader("image/gif", width_px, height_px)


def _read_bmp(data: bytes) -> PictureHeader:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        width_px, height_px = struct.unpack_from("<HH", data, 18)
        return PictureHeader("image/bmp", width_px, height_px)
    width_px, height_px = struct.unpack_from("<ii", data, 18)
    return PictureHeader("image/bmp", width_px, abs(height_px))


_READERS = {
    "image/png": _read_png,
    "image/jpeg": _read_jpeg,
    "image/webp": _read_webp,
    "image/gif": _read_gif,
    "image/bmp": _read_bmp,
}
