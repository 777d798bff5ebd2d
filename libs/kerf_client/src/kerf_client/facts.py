"""What a plan says of itself: read from the labels of its artifacts and the header of its G-code."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_HEADER_LINES = 80
_MAX_LABEL_LENGTH = 64 * 1024
_SETTING = re.compile(r"; required setting: (.{1,200})")
_TIME = re.compile(r"; time: about (\d{1,9}) s\b.*")
_BURNS = re.compile(r"; burns: (.{1,200})")


@dataclass(frozen=True)
class CheckFact:
    """Verdict of one check: `passed` or `not run`."""

    name: str
    verdict: str
    detail: str


@dataclass(frozen=True)
class PlanFacts:
    """What is known; None and empty = not known, never zero."""

    estimated_seconds: float | None = None
    burn_bounds: str = ""
    required_settings: tuple[str, ...] = ()
    checks: tuple[CheckFact, ...] = ()


def as_duration(seconds: float | None) -> str:
    """`4 min 07 s`."""
    if seconds is None:
        return "not known"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def plan_facts(labels: Iterable[Mapping[str, str]], gcode: bytes) -> PlanFacts:
    """Facts from the labels of a plan's artifacts, else from the header of the G-code (empty = there is none)."""
    merged: dict[str, str] = {}
    for each in labels:
        merged.update(each)
    comments = _header_comments(gcode)
    seconds = _seconds(merged.get("estimated_seconds", ""))
    if seconds is None:
        seconds = _seconds(next(iter(_matches(_TIME, comments)), ""))
    return PlanFacts(
        estimated_seconds=seconds,
        burn_bounds=next(iter(_matches(_BURNS, comments)), ""),
        required_settings=_matches(_SETTING, comments),
        checks=_checks(merged.get("checks", "")),
    )


def _header_comments(gcode: bytes) -> list[str]:
    head = gcode[:_MAX_LABEL_LENGTH].decode("ascii", errors="replace").splitlines()[:_HEADER_LINES]
    return [line for line in head if line.startswith(";")]


def _matches(pattern: re.Pattern[str], comments: list[str]) -> tuple[str, ...]:
    found = (pattern.fullmatch(line) for line in comments)
    return tuple(dict.fromkeys(match[1].strip() for match in found if match))


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _checks(text: str) -> tuple[CheckFact, ...]:
    """`checks` is a JSON list of {name, verdict, detail}; anything else is not known."""
    try:
        listed = json.loads(text[:_MAX_LABEL_LENGTH])
    except (ValueError, RecursionError):
        return ()
    if not isinstance(listed, list):
        return ()
    found = [entry for entry in listed if isinstance(entry, dict)]
    return tuple(CheckFact(*(str(entry.get(key, "")) for key in ("name", "verdict", "detail"))) for entry in found)
