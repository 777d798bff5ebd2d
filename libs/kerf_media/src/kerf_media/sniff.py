"""What bytes are, found by looking at them. A name or a declared type is never believed."""

from __future__ import annotations

import codecs
import re

OCTET_STREAM = "application/octet-stream"
_HEAD_BYTES = 4096

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
)
_NAMES = {
    "image/svg+xml": "an SVG drawing",
    "text/x-gcode": "G-code",
    "image/vnd.dxf": "a DXF drawing",
    "text/html": "an HTML page",
    "text/xml": "an XML file",
    "application/pdf": "a PDF",
    "text/plain": "a text file",
    OCTET_STREAM: "bytes of no known kind",
}
_XML_PREAMBLE = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?\s*>|\s+)*", re.DOTALL | re.I)
_DXF = re.compile(r"(?:\s*999\r?\n[^\n]*\n)*\s*0\s*\r?\n\s*SECTION\s*\r?\n")
_GCODE_LINE = re.compile(
    r"^\s*(?:N\d+\s*)?(?:(?:[GM]\d+(?:\.\d+)?|[XYZIJFS][-+]?\d*\.?\d+)\s*)*(?:;.*|\(.*\)\s*)?$", re.I
)
_GCODE_WORD = re.compile(r"^\s*(?:N\d+\s*)?[GM]\d", re.I)
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def sniff_media_type(data: bytes) -> str:
    """The media type of `data`, from its first 4 KiB.

    One of image/png, image/jpeg, image/webp, image/gif, image/bmp, image/svg+xml, image/vnd.dxf, text/x-gcode,
    text/html, text/xml, text/plain, application/pdf, application/octet-stream. A guess by signature: a damaged file
    keeps its type. Never raises.
    """
    head = data[:_HEAD_BYTES]
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    text = _as_text(head)
    if text is None:
        return OCTET_STREAM
    return _sniff_text(text, cut=len(data) > len(head))


def describe(data: bytes) -> str:
    """What `data` is, in words that complete "this is …", for error messages."""
    if not data:
        return "an empty file"
    media_type = sniff_media_type(data)
    return _NAMES.get(media_type, f"a file of type {media_type}")


def _as_text(head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", errors="ignore")
    if not head or any(byte in _CONTROLS for byte in head):
        return None
    try:
        # The cut at 4 KiB may split a character: an incremental decoder forgives that and nothing else.
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _sniff_text(text: str, *, cut: bool) -> str:
    preamble = _XML_PREAMBLE.match(text)
    body = text[preamble.end() :] if preamble else text
    start = body[:64].lower()
    if re.match(r"<(?:\w+:)?svg[\s>/]", start):
        return "image/svg+xml"
    if re.match(r"<(?:html|head|body)[\s>]", start) or re.match(r"\s*<!doctype\s+html", text[:64], re.I):
        return "text/html"
    if re.match(r"\s*<\?xml", text[:64]) or re.match(r"<[a-z_][\w:.-]*[\s/>]", start):
        return "text/xml"
    if _DXF.match(text):
        return "image/vnd.dxf"
    return "text/x-gcode" if _looks_like_gcode(text, cut=cut) else "text/plain"


def _looks_like_gcode(text: str, *, cut: bool) -> bool:
    lines = text.splitlines()[: -1 if cut else None]
    lines = [line for line in lines if line.strip() and line.strip() != "%"]
    return any(_GCODE_WORD.match(line) for line in lines) and all(_GCODE_LINE.match(line) for line in lines)
