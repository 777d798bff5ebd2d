"""What uploaded bytes are. A picture that nobody could decode is refused here, before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass

from kerf_core.errors import InvalidArgument
from kerf_media import PictureLimits, read_header, sniff_media_type

_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"})
_MM_PER_METRE = 1000.0


@dataclass(frozen=True)
class Inspected:
    """Media type; size in pixels and in millimetres, (0, 0) where there is none."""

    media_type: str
    size_px: tuple[int, int] = (0, 0)
    size_mm: tuple[float, float] = (0.0, 0.0)


def inspect(data: bytes, limits: PictureLimits | None = None) -> Inspected:
    """Look at the bytes; decodes nothing.

    Raises InvalidArgument for an empty upload and for a picture that is damaged or beyond the limits.
    """
    if not data:
        raise InvalidArgument.of_field("chunk", "the upload is empty: send the file's bytes")
    media_type = sniff_media_type(data)
    if media_type not in _PICTURES:
        return Inspected(media_type)
    limits = limits or PictureLimits()
    header = read_header(data)
    width, height = header.width_px, header.height_px
    if max(width, height) > limits.max_side_px or width * height > limits.max_pixels:
        raise InvalidArgument(
            "PICTURE_TOO_LARGE",
            f"The picture has {width} × {height} px; at most {limits.max_pixels:,} pixels and {limits.max_side_px:,} "
            "px a side are read. Scale it down.",
        )
    size_mm = (0.0, 0.0)
    if header.pixels_per_metre is not None:
        x_density, y_density = header.pixels_per_metre
        size_mm = (width / x_density * _MM_PER_METRE, height / y_density * _MM_PER_METRE)
    return Inspected(media_type, (width, height), size_mm)
