"""Telling what bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_media import sniff_media_type

KNOWN = [
    (b"\x89PNG\r\n\x1a\n....", "image/png"),
    (b"\xff\xd8\xff\xe0", "image/jpeg"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    (b"RIFF\x00\x00\x00\x00WAVEfmt ", "application/octet-stream"),
    (b"GIF89a\x01", "image/gif"),
    (b"BM\x00\x00", "image/bmp"),
    (b"%PDF-1.7", "application/pdf"),
    (b"<svg/>", "image/svg+xml"),
    (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<svg:svg xmlns:svg='x'>", "image/svg+xml"),
    (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC 'a' 'b'><svg>", "image/svg+xml"),
    ("<?xml version='1.0' encoding='utf-16'?><svg>".encode("utf-16"), "image/svg+xml"),
    (b"<?xml version='1.0'?><svgs>", "text/xml"),
    (b"<!DOCTYPE html>\n<html>", "text/html"),
    (b"<html><body><svg></svg>", "text/html"),
    (b"; made by kerf\nG21\nG90\nM5 S0\nG1 X1.5 Y-2 F100 S10\n", "text/x-gcode"),
    (b"%\nN10 G0X0Y0 (park)\nM30\n%\n", "text/x-gcode"),
    (b"G1 X" + b"1" * 5000, "text/plain"),
    (b"  0\nSECTION\n  2\nHEADER\n", "image/vnd.dxf"),
    (b"999\nmade by kerf\n0\r\nSECTION\r\n", "image/vnd.dxf"),
    (b"Good morning\n", "text/plain"),
    (b"; only a comment\n", "text/plain"),
    (b'{"a": 1}', "text/plain"),
    (b"caf\xe9", "text/plain"),
    (b"", "application/octet-stream"),
    (b"PK\x03\x04", "application/octet-stream"),
]


@pytest.mark.parametrize("data,media_type", KNOWN)
def test_known_kinds(data: bytes, media_type: str) -> None:
    assert sniff_media_type(data) == media_type


def test_a_long_program_is_judged_by_its_head() -> None:
    program = b"G21\n" + b"G1 X1.25 Y2.5 S100\n" * 10_000
    assert sniff_media_type(program) == "text/x-gcode"


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_never_raises(data: bytes) -> None:
    assert "/" in sniff_media_type(data)


@pytest.mark.parametrize("unit", [b"<!--", b"<?", b"<!DOCTYPE [", b" \n", b"999\nx\n", b"G1G1", b"(("])
def test_hostile_repetition_is_quick(unit: bytes) -> None:
    # Bounded by the 4 KiB head; a pattern that backtracks would run into the suite's time limit.
    assert sniff_media_type(unit * 10_000) in ("text/plain", "text/xml", "text/html", "text/x-gcode")
