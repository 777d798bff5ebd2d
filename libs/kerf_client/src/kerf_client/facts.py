"""What a plan says of itself: read from the labels of its artifacts, its report and the header of its G-code."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import EnumDescriptor

from kerf.optimizer.v1.plan_pb2 import PlanReport, TimeBound, Verdict

_HEADER_LINES = 80
_MAX_LABEL_LENGTH = 64 * 1024
_MAX_REPORT_BYTES = 4 * 1024 * 1024
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
class TimeFacts:
    """How long a burn takes, in seconds; None and empty = not known. The three parts make the expected time."""

    low_seconds: float | None = None
    high_seconds: float | None = None
    feed_seconds: float | None = None
    acceleration_seconds: float | None = None
    serial_seconds: float | None = None
    bounded_by: str = ""
    simulated: bool = True
    """False = the firmware's planner was not simulated: only the interval means anything."""


@dataclass(frozen=True)
class LayerFact:
    """One layer of a plan; None and empty = not known."""

    name: str
    kind: str
    power_percent: float | None
    feed_mm_per_min: float | None
    passes: float | None
    interval_mm: float | None
    energy_j_per_mm2: float | None
    preset: str
    source: str
    verified: bool


@dataclass(frozen=True)
class PlanFacts:
    """What is known; None and empty = not known, never zero."""

    estimated_seconds: float | None = None
    time: TimeFacts = TimeFacts()
    layers: tuple[LayerFact, ...] = ()
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


def plan_facts(labels: Iterable[Mapping[str, str]], gcode: bytes, report: bytes = b"") -> PlanFacts:
    """Facts from the labels of a plan's artifacts, else from the header of the G-code; layers from the plan's report.

    Empty bytes = there is none.
    """
    merged: dict[str, str] = {}
    for each in labels:
        merged.update(each)
    comments = _header_comments(gcode)
    seconds = _figure(merged.get("estimated_seconds", ""))
    if seconds is None:
        seconds = _figure(next(iter(_matches(_TIME, comments)), ""))
    return PlanFacts(
        estimated_seconds=seconds,
        time=_time(merged),
        layers=_layers(report),
        burn_bounds=next(iter(_matches(_BURNS, comments)), ""),
        required_settings=_matches(_SETTING, comments),
        checks=_checks(merged.get("checks", "")),
    )


def reported_facts(report: PlanReport, details: bytes) -> PlanFacts:
    """Facts from a plan's report as a direct call answers it; `details` = the same as JSON, which has the layers."""
    time = None
    if report.HasField("time"):
        time = TimeFacts(
            low_seconds=report.time.low_seconds,
            high_seconds=report.time.high_seconds,
            feed_seconds=report.time.feed_seconds,
            acceleration_seconds=report.time.acceleration_seconds,
            serial_seconds=report.time.serial_seconds,
            bounded_by=_enumerator(TimeBound.DESCRIPTOR, report.time.bounded_by),
            simulated=report.time.simulated,
        )
    return PlanFacts(
        estimated_seconds=report.estimated_seconds,
        time=time or TimeFacts(),
        layers=_layers(details),
        required_settings=tuple(report.required_settings),
        checks=tuple(
            CheckFact(each.name, _enumerator(Verdict.DESCRIPTOR, each.verdict), each.detail) for each in report.checks
        ),
    )


def _enumerator(kind: EnumDescriptor, number: int) -> str:
    """`not run` of VERDICT_NOT_RUN; empty for a number that this client does not know."""
    value = kind.values_by_number.get(number)
    prefix = kind.values[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix).lower().replace("_", " ") if value is not None and number else ""


def _header_comments(gcode: bytes) -> list[str]:
    head = gcode[:_MAX_LABEL_LENGTH].decode("ascii", errors="replace").splitlines()[:_HEADER_LINES]
    return [line for line in head if line.startswith(";")]


def _matches(pattern: re.Pattern[str], comments: list[str]) -> tuple[str, ...]:
    found = (pattern.fullmatch(line) for line in comments)
    return tuple(dict.fromkeys(match[1].strip() for match in found if match))


def _figure(value: object) -> float | None:
    """A figure of at least 0, given as text or number; anything else is not known."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        figure = float(value)
    except (ValueError, OverflowError):
        return None
    return figure if math.isfinite(figure) and figure >= 0 else None


def _time(labels: Mapping[str, str]) -> TimeFacts:
    """From the label `time`, a JSON object; from an older service only the interval."""
    told = _json(labels.get("time", ""))
    if not isinstance(told, dict):
        low, high = (_figure(labels.get(f"estimated_{end}_seconds", "")) for end in ("low", "high"))
        return TimeFacts(low, high)
    return TimeFacts(
        low_seconds=_figure(told.get("low_seconds")),
        high_seconds=_figure(told.get("high_seconds")),
        feed_seconds=_figure(told.get("feed_seconds")),
        acceleration_seconds=_figure(told.get("acceleration_seconds")),
        serial_seconds=_figure(told.get("serial_seconds")),
        bounded_by=str(told.get("bounded_by", "")),
        simulated=told.get("simulated") is not False,
    )


def _layers(report: bytes) -> tuple[LayerFact, ...]:
    """`layers` of a plan's report; anything else is not known."""
    told = _json(report[:_MAX_REPORT_BYTES].decode("utf-8", errors="replace"))
    layers = told.get("layers") if isinstance(told, dict) else None
    return tuple(_layer(each) for each in layers if isinstance(each, dict)) if isinstance(layers, list) else ()


def _layer(told: Mapping[str, object]) -> LayerFact:
    preset = told.get("preset")
    preset = preset if isinstance(preset, dict) else {}
    return LayerFact(
        name=str(told.get("name", "")),
        kind=str(told.get("kind", "")),
        power_percent=_figure(told.get("power_percent")),
        feed_mm_per_min=_figure(told.get("feed_mm_per_min")),
        passes=_figure(told.get("passes")),
        interval_mm=_figure(told.get("interval_mm")),
        energy_j_per_mm2=_figure(told.get("energy_j_per_mm2_per_pass")),
        preset=str(preset.get("name", "")),
        source=str(preset.get("source", "")),
        verified=preset.get("verified") is True,
    )


def _json(text: str) -> object:
    """The value, None for what is no JSON."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _checks(text: str) -> tuple[CheckFact, ...]:
    """`checks` is a JSON list of {name, verdict, detail}; anything else is not known."""
    listed = _json(text[:_MAX_LABEL_LENGTH])
    if not isinstance(listed, list):
        return ()
    found = [entry for entry in listed if isinstance(entry, dict)]
    return tuple(CheckFact(*(str(entry.get(key, "")) for key in ("name", "verdict", "detail"))) for entry in found)
