"""The frame of every page that kerf writes: one self-contained HTML file that loads and runs nothing.

Whoever fills it escapes what came from elsewhere; pictures are embedded, in which scripts do not run.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from importlib import resources

from kerf.artifacts.v1.artifacts_pb2 import Artifact

_IMAGE_TYPES = {"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/svg+xml"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html_page(title: str, body: str) -> bytes:
    """The page as UTF-8; `body` is HTML already, `title` is plain text."""
    style = resources.files("kerf_client").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} &middot; kerf</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    # A lone surrogate (a file name that is no UTF-8) must not cost the person the page.
    return page.encode("utf-8", errors="replace")


def heading(title: str, subtitle: str, facts: dict[str, str]) -> str:
    """Title, subtitle and a row of facts; all plain text."""
    cells = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return (
        f'<p class="kicker">kerf</p><h1>{escape(title)}</h1>'
        f'<p class="dim">{escape(subtitle)}</p><dl class="facts">{cells}</dl>'
    )


def figure(title: str, details: str, artifact: Artifact, data: bytes, *, role: str, max_bytes: int) -> str:
    """A picture with its caption; larger ones than `max_bytes` are named, not shown. Words are plain text."""
    if artifact.media_type in _IMAGE_TYPES and len(data) <= max_bytes:
        encoded = base64.b64encode(data).decode("ascii")
        content = f'<img alt="{escape(title)}" src="data:{artifact.media_type};base64,{encoded}">'
    else:
        content = '<span class="dim">Too large or of a kind that a browser cannot show; open the file.</span>'
    return (
        f'<figure class="{escape(role)}"><div class="frame">{content}</div>'
        f'<figcaption><b>{escape(title)}</b><span class="dim">{escape(details)}</span></figcaption></figure>'
    )


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], number_columns: Iterable[int] = ()) -> str:
    """A table; header and rows are HTML already. Columns of numbers are set to the right."""
    numbers = set(number_columns)

    def cells(tag: str, row: tuple[str, ...]) -> str:
        return "".join(
            f"<{tag}{' class=number' if column in numbers else ''}>{text}</{tag}>" for column, text in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", header)}</tr></thead><tbody>{body}</tbody></table></div>'
    )
