"""Sections of a page that shows a plan: its time, its layers, its checks, and how the head moves.

Everything that came from elsewhere is escaped.
"""

from __future__ import annotations

from html import escape

from kerf_client.facts import PlanFacts, TimeFacts, as_duration
from kerf_client.page import table
from kerf_client.path_plot import BURN_COLOR, END_COLOR, START_COLOR, TRAVEL_COLOR, path_plot

UNVERIFIED = "unverified: run the test grid first"
_BOUNDS = {
    "feed": "the feeds asked for",
    "acceleration": "speeding up and slowing down",
    "serial line": "the line that brings the program to the controller",
}


def burn_time_text(facts: PlanFacts) -> str:
    """`4 min 07 s (3 min 50 s to 5 min 10 s)`; where the firmware was not simulated only the interval."""
    time = facts.time
    if time.low_seconds is None or time.high_seconds is None:
        return as_duration(facts.estimated_seconds)
    interval = f"{as_duration(time.low_seconds)} to {as_duration(time.high_seconds)}"
    return f"{as_duration(facts.estimated_seconds)} ({interval})" if time.simulated else interval


def time_section(facts: PlanFacts) -> str:
    """The time, its interval, and what it is made of."""
    time = facts.time
    if time.low_seconds is None and facts.estimated_seconds is None:
        return '<h2>Burn time</h2><p class="dim">Not known: the plan says nothing of it.</p>'
    words = [f"About {burn_time_text(facts)}, an estimate."]
    if time.bounded_by:
        words.append(f"Most of it goes into {_BOUNDS.get(time.bounded_by, time.bounded_by)}.")
    if not time.simulated:
        words.append("The planner of this firmware was not simulated: only the interval means anything.")
    parts = _parts(time)
    shown = table(("What it is made of", "Time", ""), parts, number_columns={1}) if parts else ""
    return f"<h2>Burn time</h2><p>{escape(' '.join(words))}</p>{shown}"


def _parts(time: TimeFacts) -> list[tuple[str, ...]]:
    named = (
        ("at the feeds asked for", time.feed_seconds),
        ("speeding up and slowing down add", time.acceleration_seconds),
        ("the line to the controller adds", time.serial_seconds),
    )
    known = [(name, seconds) for name, seconds in named if seconds is not None]
    whole = sum(seconds for _, seconds in known)
    return [(name, as_duration(seconds), _bar(seconds / whole if whole > 0 else 0)) for name, seconds in known]


def _bar(share: float) -> str:
    return f'<div class="track"><div class="bar" style="width:{100 * share:.0f}%"></div></div>'


def layers_section(facts: PlanFacts) -> str:
    """What each layer burns with, and where the figures come from."""
    if not facts.layers:
        return ""
    rows = [
        (
            f"<b>{escape(layer.name)}</b>",
            escape(layer.kind),
            _figure(layer.power_percent, "%"),
            _figure(layer.feed_mm_per_min, "mm/min"),
            _figure(layer.passes, "×"),
            _figure(layer.interval_mm or None, "mm", missing="–"),
            _figure(layer.energy_j_per_mm2 or None, "J/mm²", missing="–"),
            escape(layer.preset) + ("" if layer.verified else f'<br><span class="doubt">{UNVERIFIED}</span>'),
        )
        for layer in facts.layers
    ]
    header = ("Layer", "Kind", "Power", "Feed", "Passes", "Interval", "Energy per pass", "Preset")
    return "<h2>Layers, in the order they burn</h2>" + table(header, rows, number_columns={2, 3, 4, 5, 6})


def _figure(value: float | None, unit: str, *, missing: str = "not known") -> str:
    return f"{value:.4g} {unit}" if value is not None else missing


def checks_section(facts: list[PlanFacts]) -> str:
    """Each check with its verdict; empty without a plan."""
    if not facts:
        return ""
    checks = [check for plan in facts for check in plan.checks]
    if not checks:
        text = "The checks' verdicts are not in the job's answer; the planner hands out no file that fails one."
        return f'<h2>Checks</h2><p class="dim">{text}</p>'
    rows = [(escape(check.name), _verdict(check.verdict), escape(check.detail)) for check in checks]
    return "<h2>Checks</h2>" + table(("Check", "Verdict", "What was compared"), rows)


def _verdict(verdict: str) -> str:
    return f'<span class="{"held" if verdict == "passed" else "dim"}">{escape(verdict)}</span>'


def path_section(gcode: bytes, heading: str = "How the head moves") -> str:
    """The path plot with its legend; empty without G-code."""
    if not gcode:
        return ""
    plot = path_plot(gcode)
    if not plot.svg:
        return f'<h2>{escape(heading)}</h2><p class="dim">{escape(plot.note)}</p>'
    legend = "".join(
        f'<span class="key"><i style="background:{color}"></i>{text}</span>'
        for color, text in (
            (BURN_COLOR, f"burns, {plot.burn_mm:,.0f} mm"),
            (TRAVEL_COLOR, f"travels, beam off, {plot.travel_mm:,.0f} mm"),
            (START_COLOR, "start"),
            (END_COLOR, "end"),
        )
    )
    note = f"{plot.note} Read from the G-code; gaps inside a scan line are not drawn."
    return (
        f'<h2>{escape(heading)}</h2><figure class="plotted"><div class="drawing">{plot.svg}</div>'
        f'<figcaption><div class="keys">{legend}</div><span class="dim">{escape(note)}</span></figcaption></figure>'
    )
