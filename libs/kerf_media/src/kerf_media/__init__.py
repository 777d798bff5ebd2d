"""Safe decoding of pictures, with limits; deterministic encoding; telling what bytes are."""

from kerf_media.decode import Picture, PictureLimits, decode_picture
from kerf_media.encode import encode_png_1bit, encode_png_gray, encode_png_rgb
from kerf_media.header import PictureHeader, read_header
from kerf_media.sniff import sniff_media_type

__all__ = [
    "Picture",
    "PictureHeader",
    "PictureLimits",
    "decode_picture",
    "encode_png_1bit",
    "encode_png_gray",
    "encode_png_rgb",
    "read_header",
    "sniff_media_type",
]
