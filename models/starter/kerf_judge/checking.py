"""Checks the judge: on drawings of both dialects that it has not seen, and on glyphs that others drew."""

from __future__ import annotations

import datetime
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from kerf_world.dialect import JUDGE, TRAINING, Dialect
from kerf_world.kinds import SUBJECTS
from kerf_world.scenes import Style

from .glyph_pictures import GlyphPicture, glyph_pictures
from .glyphs import LETTER_FONTS, OBJECT_FONTS, Font
from .judge import Judge
from .lessons import world_drawings

_log = logging.getLogger(__name__)
EVALUATION_FILE = "evaluation.json"
DRAWINGS = 1190
_SEED = 4711

Figures = dict[str, float | int | str]


def check(judge_folder: Path, fonts_folder: Path, report: Path, *, drawings: int = DRAWINGS) -> None:
    """Measure the judge, tell the figures, and write all of them as JSON to `report`.

    Fonts that are not installed are named and left out.
    """
    cv2.setNumThreads(1)
    judge = Judge.load(judge_folder)
    found: dict[str, object] = {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    for number, dialect in enumerate((JUDGE, TRAINING)):
        found[f"drawings_{dialect.name}"] = _on_drawings(judge, dialect, drawings, number)
    for name, fonts in (("glyphs", OBJECT_FONTS), ("letters", LETTER_FONTS)):
        found[name] = _on_fonts(judge, fonts, fonts_folder)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, figures in found.items():
        _log.info("%s: %s", name, json.dumps(figures, ensure_ascii=False))


def _on_drawings(judge: Judge, dialect: Dialect, count: int, number: int) -> dict[str, object]:
    drawn = world_drawings(count, np.random.default_rng([_SEED, number]), dialect)
    reading = judge.read(drawn.pixels)
    right, styled = reading.subjects == drawn.subjects, reading.styles == drawn.styles
    styles = {
        s.value: round(float(right[drawn.styles == i].mean()), 3)
        for i, s in enumerate(Style)
        if (drawn.styles == i).any()
    }
    pairs = zip(drawn.subjects[~right], reading.subjects[~right], strict=True)
    return {
        "pictures": count,
        "subject": round(float(right.mean()), 4),
        "style": round(float(styled.mean()), 4),
        "subject_by_style": styles,
        "mistaken_for": _mistakes((SUBJECTS[a].label, SUBJECTS[b].label) for a, b in pairs),
    }


def _on_fonts(judge: Judge, fonts: Sequence[Font], folder: Path) -> dict[str, object]:
    by_font: dict[str, Figures] = {}
    by_kind: dict[str, list[int]] = {}
    mistakes: list[tuple[str, str]] = []
    for font in fonts:
        try:
            shown = list(glyph_pictures(font, folder))
        except FileNotFoundError as missing:
            _log.warning("%s", missing)
            by_font[font.name] = {"missing": str(missing)}
            continue
        for inking in font.inkings:
            glyphs = [glyph for glyph in shown if glyph.inking is inking]
            read = judge.read(np.stack([glyph.picture for glyph in glyphs])).subjects
            by_font[f"{font.name}, {inking.value}"] = _tally(glyphs, read, by_kind, mistakes)
    right, total = (sum(counts[index] for counts in by_kind.values()) for index in (0, 1))
    shares = [counts[0] / counts[1] for counts in by_kind.values()]
    return {
        "glyphs": total,
        "right": round(right / max(1, total), 4),
        "kinds": len(by_kind),
        "mean_over_kinds": round(float(np.mean(shares)), 4) if shares else 0.0,
        "by_font": by_font,
        "by_kind": {name: f"{counts[0]} of {counts[1]}" for name, counts in sorted(by_kind.items())},
        "mistaken_for": _mistakes(mistakes),
    }


def _tally(
    glyphs: Sequence[GlyphPicture],
    read: Iterable[int],
    by_kind: dict[str, list[int]],
    mistakes: list[tuple[str, str]],
) -> Figures:
    right = 0
    for glyph, index in zip(glyphs, read, strict=True):
        seen = SUBJECTS[int(index)]
        counts = by_kind.setdefault(glyph.subject.label, [0, 0])
        counts[0] += seen == glyph.subject
        counts[1] += 1
        right += seen == glyph.subject
        if seen != glyph.subject:
            mistakes.append((glyph.subject.label, seen.label))
    return {
        "glyphs": len(glyphs),
        "kinds": len({glyph.subject for glyph in glyphs}),
        "right": round(right / max(1, len(glyphs)), 4),
    }


def _mistakes(pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    return dict(Counter(f"{truth} as {seen}" for truth, seen in pairs).most_common(60))
