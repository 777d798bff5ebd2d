"""What `kerf plan` can be told of the sheet: text and QR codes on it, parts that are nested, a rotary."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kerf.optimizer.v1.layout_pb2 import (
    MadeDrawing,
    NestedPart,
    Nesting,
    QrCode,
    QrCorrection,
    Rotary,
    TextAlignment,
    TextDrawing,
)
from kerf_client.cli import options
from kerf_client.cli.console import UsageError

FONT_SUFFIXES = (".ttf", ".otf")
STROKE_FONT = "kerf-stroke"
MAX_TARGETS = 16
"""Files, and drawings, that one plan refers to."""

Read = Callable[[str], object]
_TARGET = re.compile(r"(d?)([1-9][0-9]?)", re.ASCII)
_PART = re.compile(r"([d0-9+]+?)(?:x([1-9][0-9]{0,3}))?", re.ASCII)
_PLACE: dict[str, Read] = {"x": options.number(0, 3000), "y": options.number(0, 3000)}
_TEXT: dict[str, Read] = _PLACE | {
    "height": options.number(0.5, 1000),
    "font": str,
    "align": options.of_proto(TextAlignment.DESCRIPTOR),
    "spacing": options.number(-100, 100),
    "line": options.number(0.1, 5),
    "tolerance": options.number(0.0001, 1),
}
_QR: dict[str, Read] = _PLACE | {
    "size": options.number(2, 1000),
    "correction": options.of_proto(QrCorrection.DESCRIPTOR),
    "quiet": options.whole(0, 20),
}
_LIGHT = "light-burns"
_DEFAULT_HEIGHT_MM, _DEFAULT_QR_MM = 8.0, 25.0


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    """`--text`, `--qr`, nesting and `--rotary`."""
    made = parser.add_argument_group("drawings that the planner makes; operations name them d1, d2 in this order")
    made.add_argument(
        "--text",
        dest="drawings",
        type=_text,
        action="append",
        default=[],
        metavar="[NAME=VALUE,…]:TEXT",
        help="such as height=10,x=5,y=40:For Anna (\\n begins a line); also font=NAME or N, the N-th file (TTF, OTF), "
        f"align= ({options.proto_names(TextAlignment.DESCRIPTOR)}), spacing=, line=, tolerance=; in mm from the "
        f"sheet's top left; without --operation it is scored (font {STROKE_FONT}, the default) or filled",
    )
    made.add_argument(
        "--qr",
        dest="drawings",
        type=_qr,
        action="append",
        metavar="[NAME=VALUE,…]:CONTENT",
        help="such as size=30,x=60,y=5:https://example.org; also correction= "
        f"({options.proto_names(QrCorrection.DESCRIPTOR)}), quiet=, {_LIGHT}; without --operation it is filled",
    )
    sheet = parser.add_argument_group("nesting: copies of several parts on a sheet of material")
    sheet.add_argument("--sheet", type=options.two_lengths_mm, metavar="WIDTHxHEIGHT", help="such as 300x200mm")
    sheet.add_argument(
        "--part",
        type=_part,
        action="append",
        default=[],
        metavar="N[+N…][xCOPIES]",
        help="files and drawings that stay together, such as 1+d1x4 (default: each is a part, once)",
    )
    sheet.add_argument("--part-gap", type=options.number(0, 100), metavar="MM", help="between copies (default: 0)")
    sheet.add_argument("--sheet-margin", type=options.number(0, 500), metavar="MM", help="free border (default: 0)")
    sheet.add_argument(
        "--turn", type=options.number(15, 360), metavar="DEGREES", help="turn parts by multiples of this"
    )
    sheet.add_argument("--leave-out", action="store_true", help="leave out copies that do not fit, with a warning")
    parser.add_argument_group("a round piece").add_argument(
        "--rotary",
        type=_rotary,
        metavar="LENGTH[:STEPS]",
        help="diameter of the piece (of the rollers, if it has some) on a rotary in place of Y, and its motor's steps "
        "per turn",
    )


def _settings(text: str, known: Mapping[str, Read], flags: Sequence[str] = ()) -> tuple[dict[str, object], str]:
    """The settings before the first colon, and what comes after it."""
    head, colon, content = text.partition(":")
    if not colon or not content:
        raise argparse.ArgumentTypeError(f"{text!r}: write the settings, a colon and the content, such as x=5:Anna")
    found: dict[str, object] = {}
    for part in filter(None, (each.strip() for each in head.split(","))):
        name, equals, value = part.partition("=")
        if name in known and equals:
            found[name] = known[name](value)
        elif part in flags:
            found[part] = True
        else:
            names = ", ".join([*(f"{each}=" for each in known), *flags])
            raise argparse.ArgumentTypeError(f"{part!r} is none of {names}; they end at the first colon")
    return found, content


def _text(text: str) -> MadeDrawing:
    found, content = _settings(text, _TEXT)
    font = str(found.get("font", ""))
    drawing = TextDrawing(text=content.replace("\\n", "\n"), cap_height_mm=_DEFAULT_HEIGHT_MM)
    if font.isascii() and font.isdecimal():
        drawing.font_input = options.whole(1, MAX_TARGETS)(font) - 1
    else:
        drawing.font = font
    fields = {
        "height": "cap_height_mm",
        "align": "alignment",
        "spacing": "letter_spacing_mm",
        "line": "line_spacing",
        "tolerance": "tolerance_mm",
    }
    for name in fields.keys() & found.keys():
        setattr(drawing, fields[name], found[name])
    return _placed(MadeDrawing(text=drawing), found)


def _qr(text: str) -> MadeDrawing:
    found, content = _settings(text, _QR, (_LIGHT,))
    code = QrCode(content=content, size_mm=_DEFAULT_QR_MM, light_burns=_LIGHT in found)
    fields = {"size": "size_mm", "correction": "correction", "quiet": "quiet_modules"}
    for name in fields.keys() & found.keys():
        setattr(code, fields[name], found[name])
    return _placed(MadeDrawing(qr_code=code), found)


def _placed(drawing: MadeDrawing, found: Mapping[str, object]) -> MadeDrawing:
    for name in found.keys() & {"x", "y"}:
        setattr(drawing, f"{name}_mm", found[name])
    return drawing


def is_scored(drawing: MadeDrawing) -> bool:
    """True for letters that are single lines: they cannot be filled."""
    text = drawing.text
    return drawing.HasField("text") and not text.HasField("font_input") and text.font in ("", STROKE_FONT)


def _rotary(text: str) -> Rotary:
    diameter, colon, steps = text.partition(":")
    per_turn = options.number(1, 1_000_000)(steps) if colon else 0.0
    return Rotary(diameter_mm=options.length_mm(diameter), steps_per_turn=per_turn)


def read_target(text: str, files: int, drawings: int) -> tuple[bool, int]:
    """`2` = the second file, `d1` = the first drawing: (is a drawing, index). Raises ArgumentTypeError."""
    match = _TARGET.fullmatch(text)
    made, number = (bool(match[1]), int(match[2])) if match else (False, 0)
    if not 1 <= number <= (drawings if made else files):
        raise argparse.ArgumentTypeError(f"{text!r} is no file (1 to {files}) and no drawing (d1 to d{drawings})")
    return made, number - 1


def _part(text: str) -> tuple[list[str], int]:
    match = _PART.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write files and drawings and how many, such as 1+d1x4")
    return match[1].split("+"), int(match[2] or 1)


def nesting_of(args: argparse.Namespace) -> Nesting | None:
    """What the options say of a sheet; None where there is none. Raises UsageError."""
    if args.sheet is None:
        given = {"--part": args.part, "--part-gap": args.part_gap, "--turn": args.turn, "--leave-out": args.leave_out}
        if used := [name for name, value in given.items() if value]:
            raise UsageError(f"{', '.join(used)}: only with --sheet WIDTHxHEIGHT")
        return None
    files = [str(place) for place, path in enumerate(args.files, start=1) if not is_font(path)]
    usual = [([each], 1) for each in (*files, *(f"d{place}" for place in range(1, len(args.drawings) + 1)))]
    nesting = Nesting(
        sheet_width_mm=args.sheet[0],
        sheet_height_mm=args.sheet[1],
        gap_mm=args.part_gap or 0.0,
        margin_mm=args.sheet_margin or 0.0,
        rotation_step_deg=args.turn or 0.0,
        leave_out=args.leave_out,
    )
    for targets, copies in args.part or usual:
        nesting.parts.append(_nested(targets, copies, args))
    return nesting


def _nested(targets: list[str], copies: int, args: argparse.Namespace) -> NestedPart:
    part = NestedPart(copies=copies)
    for text in targets:
        try:
            made, index = read_target(text, len(args.files), len(args.drawings))
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--part {'+'.join(targets)}: {error}") from None
        (part.drawings if made else part.inputs).append(index)
    return part


def is_font(path: Path) -> bool:
    """True for a file that only letters are taken from."""
    return path.suffix.lower() in FONT_SUFFIXES
