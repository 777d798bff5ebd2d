"""Bytes of a picture to pixels, with limits that hold before anything is decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kerf_core.errors import InvalidArgument, KerfError
from kerf_media.header import PictureHeader, damaged, read_header

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF", "image/bmp": "BMP"}
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED = range(5, 9)
_PILLOW_MAX_PIXELS = 89_478_485  # above it Pillow warns and then refuses by itself
_OPAQUE = 255
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class PictureLimits:
    """What is refused before decoding. `max_pixels` is at most 89,478,485 (Pillow's own guard); ValueError above."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_side_px: int = 20_000

    def __post_init__(self) -> None:
        if not 0 < self.max_pixels <= _PILLOW_MAX_PIXELS or self.max_bytes < 1 or self.max_side_px < 1:
            raise ValueError(f"picture limits must be positive and max_pixels at most {_PILLOW_MAX_PIXELS}")


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright, over white.

    `rgb` is uint8 (rows, columns, 3); `alpha` is uint8 (rows, columns), None if every pixel is opaque. Both are
    read-only. `pixels_per_metre` is (x, y), None where the file names no physical size. `notes` says in sentences what
    was changed on the way (transparency, 16 bits, frames, rotation).
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    media_type: str
    pixels_per_metre: tuple[float, float] | None
    notes: tuple[str, ...]

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self.rgb.shape[1])

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self.rgb.shape[0])

    @property
    def size_mm(self) -> tuple[float, float] | None:
        """(width, height) as the file states it; None where it does not."""
        if self.pixels_per_metre is None:
            return None
        return (1000 * self.width_px / self.pixels_per_metre[0], 1000 * self.height_px / self.pixels_per_metre[1])

    def gray(self) -> NDArray[np.uint8]:
        """Luma after ITU-R BT.601 in Pillow's integer arithmetic, uint8 (rows, columns), 0 = black."""
        return np.asarray(Image.fromarray(self.rgb).convert("L"))


def decode_picture(data: bytes, limits: PictureLimits | None = None) -> Picture:
    """Decode a PNG, JPEG, WebP, BMP or the first frame of a GIF.

    EXIF orientation is applied, 16 bits are rounded to 8, palettes and CMYK become RGB, transparent pixels are laid
    over white. Colour profiles are ignored. Raises InvalidArgument: PICTURE_TOO_LARGE (found before decoding),
    PICTURE_UNREADABLE (not a picture; the message names what it is), PICTURE_DAMAGED (cut short or corrupt). A JPEG
    whose bits changed without breaking its structure decodes to wrong pixels; nothing in the format can tell.
    """
    limits = limits or PictureLimits()
    if len(data) > limits.max_bytes:
        raise _too_large(f"{len(data):,} bytes", f"{limits.max_bytes:,} bytes")
    header = read_header(data)
    _check_size(header, limits)
    try:
        return _decode(data, header)
    except KerfError:
        raise
    except Exception as error:  # a decoder fails on hostile bytes in any way it likes; each means the same to a caller
        raise damaged(header.media_type, _first_line(error)) from error


def _check_size(header: PictureHeader, limits: PictureLimits) -> None:
    width_px, height_px = header.width_px, header.height_px
    if max(width_px, height_px) > limits.max_side_px or width_px * height_px > limits.max_pixels:
        raise _too_large(
            f"{width_px:,} × {height_px:,} px",
            f"{limits.max_side_px:,} px a side and {limits.max_pixels:,} px in all",
        )


def _too_large(found: str, allowed: str) -> InvalidArgument:
    return InvalidArgument("PICTURE_TOO_LARGE", f"The picture has {found}; at most {allowed}. Send a smaller one.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120] or "it cannot be decoded"


def _decode(data: bytes, header: PictureHeader) -> Picture:
    notes: list[str] = []
    density = header.pixels_per_metre
    with Image.open(io.BytesIO(data), formats=[_FORMATS[header.media_type]]) as image:
        if image.size != (header.width_px, header.height_px):
            raise damaged(header.media_type, "its parts disagree about its size")
        if getattr(image, "n_frames", 1) > 1:
            notes.append("Only the first frame of the animation was used.")
        image.load()
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        upright = ImageOps.exif_transpose(image) if orientation in range(2, 9) else image
        if upright is not image:
            notes.append("The picture was turned as its EXIF orientation says.")
            if orientation in _EXIF_TURNED and density is not None:
                density = (density[1], density[0])
        rgb, alpha = _to_rgb(upright, notes)
    for pixels in (rgb, alpha):
        if pixels is not None:
            pixels.setflags(write=False)
    return Picture(rgb, alpha, header.media_type, density, tuple(notes))


def _to_rgb(image: Image.Image, notes: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if image.mode in _SIXTEEN_BITS:
        notes.append("16 bits a pixel were rounded to 8.")
        wide = np.asarray(image).astype(np.uint32).clip(0, 65535)
        narrow = ((wide + 128) // 257).astype(np.uint8)
        gray_alpha = _sixteen_bit_alpha(image, wide)
        return _over_white(Image.fromarray(narrow).convert("RGB"), gray_alpha, notes)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return _over_white(rgba.convert("RGB"), np.array(rgba.getchannel("A")), notes)
    return np.array(image.convert("RGB")), None


def _sixteen_bit_alpha(image: Image.Image, wide: NDArray[np.uint32]) -> NDArray[np.uint8]:
    # A 16-bit grey PNG may name one grey value that is transparent (tRNS).
    clear = image.info.get("transparency")
    opaque = np.full(wide.shape, _OPAQUE, np.uint8)
    if isinstance(clear, int):
        opaque[wide == clear] = 0
    return opaque


def _over_white(
    colour: Image.Image, alpha: NDArray[np.uint8], notes: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if bool((alpha == _OPAQUE).all()):
        return np.array(colour), None
    notes.append("Transparent pixels were laid over white.")
    sheet = Image.new("RGB", colour.size, (255, 255, 255))
    sheet.paste(colour, mask=Image.fromarray(alpha))
    return np.array(sheet), alpha
