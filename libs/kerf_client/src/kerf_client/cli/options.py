"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor

from kerf_client.formats import ALL_FORMATS, DEFAULT_FORMATS, FileFormat
from kerf_client.lengths import parse_length_mm

EnumType = TypeVar("EnumType", bound=Enum)
LORA_SUFFIX = ".safetensors"
MAX_SEED = 2**32 - 1
_MAX_SAFETENSORS_HEADER_BYTES = 100_000_000
_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_PICTURE_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM")


def length_mm(text: str) -> float:
    """A length option."""
    try:
        return parse_length_mm(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def two_lengths_mm(text: str) -> tuple[float, float]:
    """`300x200mm` or `30cm x 8in`: two lengths; a unit after the second alone is both's."""
    first, cross, second = (part.strip() for part in text.partition("x"))
    if not cross:
        raise argparse.ArgumentTypeError(f"{text!r}: write two lengths, such as 300x200mm")
    unit = second.lstrip("0123456789. ")
    return length_mm(first if first[-1:].isalpha() else first + unit), length_mm(second)


def number(low: float, high: float) -> Callable[[str], float]:
    """A finite number within the bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within the bounds."""

    def read(text: str) -> int:
        digits = text.strip()
        value = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= len(str(high)) else -1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return value

    return read


def duration(text: str) -> timedelta:
    """`90s`, `10m`, `2h` or `1d`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write a whole number and s, m, h or d, such as 10m")
    return timedelta(seconds=int(match[1]) * _SECONDS_PER_UNIT[match[2]])


def label(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE")
    return key, value


def one_of(kind: type[EnumType]) -> Callable[[str], EnumType]:
    """A value of an enum, by the text that it has."""

    def read(text: str) -> EnumType:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(each.value for each in kind)}") from None

    return read


def of_proto(kind: EnumDescriptor) -> Callable[[str], int]:
    """The number of an enumerator by its name in small letters without its prefix, such as `floyd-steinberg`."""
    names = {_enumerator_text(kind, value.name): value.number for value in kind.values if value.number}

    def read(text: str) -> int:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return names[text]

    return read


def proto_names(kind: EnumDescriptor) -> str:
    """What `of_proto` takes, for a help text."""
    return ", ".join(_enumerator_text(kind, value.name) for value in kind.values if value.number)


def proto_text(kind: EnumDescriptor, number: int) -> str:
    """The name that `of_proto` takes for a number; the number itself where this client does not know it."""
    value = kind.values_by_number.get(number)
    return _enumerator_text(kind, value.name) if value is not None else str(number)


def _enumerator_text(kind: EnumDescriptor, name: str) -> str:
    prefix = kind.values[0].name.removesuffix("UNSPECIFIED")
    return name.removeprefix(prefix).lower().replace("_", "-")


def formats(text: str) -> frozenset[FileFormat]:
    """`svg,gcode`: a list of formats."""
    read = one_of(FileFormat)
    return frozenset(read(part.strip()) for part in text.split(","))


def lora(text: str) -> tuple[str, float]:
    """`NAME`, `artifacts/<sha256>` or a file, and maybe `:WEIGHT` from -4 to 4 after it (1 = as trained)."""
    name, colon, weight = text.rpartition(":")
    if not colon or is_file(text):
        name, weight = text, "1"
    if not name or not name.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME or NAME:WEIGHT, such as linocut:0.8")
    if is_lora_file(name) and not is_file(name):
        raise argparse.ArgumentTypeError(f"{name}: there is no such file")
    return name, number(-4, 4)(weight)


def is_lora_file(name: str) -> bool:
    """True for what can only be a file on this machine, not a name that kerf knows."""
    return name.endswith(LORA_SUFFIX)


def is_file(text: str) -> bool:
    """True for an existing file; never raises, whatever the text is."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def add_size_options(parser: argparse.ArgumentParser, *, default_width_mm: float = 0.0, dpi: bool = True) -> None:
    """`--width`, `--height` and `--dpi`."""
    shown = f"{default_width_mm:g}mm" if default_width_mm else "the picture's own"
    parser.add_argument(
        "--width", type=length_mm, metavar="LENGTH", help=f"such as 80mm, 8cm, 3.1in (default: {shown}, or by --height)"
    )
    parser.add_argument(
        "--height", type=length_mm, metavar="LENGTH", help="with --width: the picture is fitted inside both"
    )
    if dpi:
        parser.add_argument(
            "--dpi", type=number(1, 2540), default=0.0, metavar="N", help="dots per inch of the raster (default: 254)"
        )


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """`--format LIST`."""
    parser.add_argument(
        "--format",
        type=formats,
        default=DEFAULT_FORMATS,
        metavar="LIST",
        help=f"which files to write: {ALL_FORMATS} (default: svg,gcode,dxf,png,preview); lbrn2 is experimental, "
        "frame is a G-code around the work, beam off; report.html, job.json and the job sheet are always written",
    )


def add_out_option(parser: argparse.ArgumentParser, default: str) -> None:
    """`--out DIR`, `-o DIR`."""
    parser.add_argument(
        "--out",
        "-o",
        type=Path,
        metavar="DIR",
        help=f"folder for the results (default: {default}). Results of a former run in it are replaced as long as "
        "nobody changed them; other files are never overwritten",
    )


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """`--material` and `--machine`."""
    parser.add_argument("--material", default="birch-3mm", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--machine", default="grbl-diode-10w", metavar="NAME", help="(default: %(default)s)")


def looks_like_picture(data: bytes) -> bool:
    """True if the bytes begin as a picture does that kerf reads; whether it is whole, the gateway says."""
    return data.startswith(_PICTURE_BEGINNINGS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def looks_like_safetensors(data: bytes) -> bool:
    """True if the bytes begin as a safetensors file does: the length of a JSON object, and the object."""
    length = int.from_bytes(data[:8], "little")
    return len(data) > 8 + length and 2 <= length <= _MAX_SAFETENSORS_HEADER_BYTES and data[8:9] == b"{"
