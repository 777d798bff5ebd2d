"""The page that shows what a job made: one self-contained HTML file.

Everything in it that came from elsewhere (prompts, warnings, labels) is escaped; drawings are embedded as pictures,
in which scripts do not run; a content security policy forbids the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf_client.facts import PlanFacts
from kerf_client.page import figure, heading, html_page, table
from kerf_client.plan_page import burn_time_text, checks_section, layers_section, path_section, time_section
from kerf_client.recipes import CAPTION

DEFAULT_MAX_EMBEDDED_BYTES = 16 * 1024 * 1024
SOURCE = "source"
"""Role of a file that the person gave: it is shown and stays where it is."""

_SHOWN_ROLES = (
    (SOURCE, "Source"),
    ("picture", "Picture"),
    ("raster", "Prepared: what burns is black"),
    ("power-map", "Prepared: the darker, the more power"),
    ("layer", "Slice"),
    ("burn-preview", "Simulated burn"),
    ("vector", "Drawing"),
    ("preview", "Burn preview"),
    ("burn-picture", "All that burns"),
)


_GRIDS = {4: "pictures", **dict.fromkeys((1, 2, 3, 5, 6, 9), "pictures by3")}
"""By the number of pictures: four of one width, the last wider; else rows that leave the fewest holes."""


@dataclass(frozen=True)
class ReportFile:
    """A file of the result, with its bytes. `wanted` = it is written, not only shown."""

    filename: str
    role: str
    item: int
    artifact: Artifact
    data: bytes = field(repr=False)
    wanted: bool = True


@dataclass(frozen=True)
class Report:
    """All that the page shows. `shown` are files to look at, `written` those that lie in the folder beside it."""

    title: str
    subtitle: str
    job: Job
    shown: list[ReportFile]
    written: list[ReportFile]
    facts: list[PlanFacts]
    settings: dict[str, str]
    max_embedded_bytes: int = DEFAULT_MAX_EMBEDDED_BYTES


def render_report(report: Report) -> bytes:
    """The page as UTF-8."""
    body = "\n".join(
        [
            _head(report),
            _pictures(report),
            warnings_section(warnings_of(report.job)),
            safety_note(report.facts),
            _plans(report),
            checks_section(report.facts),
            timing_section(report.job),
            receipt_section(report.job),
            files_section(report.written),
            f"<footer>{escape(report.job.name)} &middot; made with kerf. Sizes are what the files say; times are "
            "estimates until a machine has run them.</footer>",
        ]
    )
    return html_page(report.title, body)


def _head(report: Report) -> str:
    facts = dict(report.settings)
    if report.facts:
        facts["Burn time (estimate)"] = ", ".join(burn_time_text(plan) for plan in report.facts)
    return heading(report.title, report.subtitle, facts)


def _plans(report: Report) -> str:
    """Path, layers and time of each plan."""
    parts = []
    programs = [file.data for file in report.shown if file.role == "gcode"]
    for number, facts in enumerate(report.facts, start=1):
        gcode = programs[number - 1] if number <= len(programs) else b""
        several = f", plan {number}" if len(report.facts) > 1 else ""
        parts += [path_section(gcode, f"How the head moves{several}"), layers_section(facts), time_section(facts)]
    return "\n".join(parts)


def _pictures(report: Report) -> str:
    items = sorted({file.item for file in report.shown})
    rows = []
    for item in items:
        figures = [
            _figure(file, title, report.max_embedded_bytes)
            for role, title in _SHOWN_ROLES
            for file in report.shown
            if file.role == role and file.item == item and not file.filename.startswith("shape")
        ]
        above = f"<h2>Picture {item + 1}</h2>" if len(items) > 1 else "<h2>From picture to burn</h2>"
        grid = _GRIDS.get(len(figures), "pictures by4")
        rows.append(f'{above}{_captions(report, item)}<div class="{grid}">{"".join(figures)}</div>')
    return "\n".join(rows)


def _captions(report: Report, item: int) -> str:
    """What the captioner says the picture shows, where the job asked it."""
    texts = [file.data.decode(errors="replace") for file in report.shown if (file.role, file.item) == (CAPTION, item)]
    return "".join(f'<p class="caption">“{escape(text.strip())}”</p>' for text in texts)


def _figure(file: ReportFile, title: str, max_bytes: int) -> str:
    name = file.filename if file.role == SOURCE else ""
    details = " · ".join(each for each in (name, size_text(file.artifact), note_text(file.artifact)) if each)
    return figure(title, details, file.artifact, file.data, role=file.role, max_bytes=max_bytes)


def size_text(artifact: Artifact) -> str:
    """`80.0 × 64.3 mm, 800 × 643 px`; what is not known is left out."""
    parts = []
    if artifact.width_mm > 0 and artifact.height_mm > 0:
        parts.append(f"{artifact.width_mm:.1f} × {artifact.height_mm:.1f} mm")
    if artifact.width_px and artifact.height_px:
        parts.append(f"{artifact.width_px} × {artifact.height_px} px")
    return ", ".join(parts)


def note_text(artifact: Artifact) -> str:
    """The notes of its maker that people ask for."""
    return ", ".join(f"{key} {artifact.labels[key]}" for key in ("mode", "seed") if artifact.labels.get(key))


def warnings_of(job: Job) -> list[str]:
    """Every warning and every failed item of a job, with its stage."""
    found = [f"{stage.id}: {text}" for stage in job.stages for text in stage.warnings]
    found += [
        f"{stage.id}: item {failure.item + 1} failed: {failure.error.message}"
        for stage in job.stages
        for failure in stage.item_failures
    ]
    return list(dict.fromkeys(found))


def warnings_section(texts: Iterable[str]) -> str:
    """What was warned of, or that nothing was."""
    listed = "".join(f"<li>{escape(text)}</li>" for text in texts)
    shown = f'<ul class="warnings">{listed}</ul>' if listed else '<p class="calm">No stage had a warning.</p>'
    return f"<h2>Warnings</h2>{shown}"


def safety_note(facts: list[PlanFacts]) -> str:
    """What the operator must know before it burns."""
    settings = dict.fromkeys(setting for plan in facts for setting in plan.required_settings)
    required = f" Required controller settings: {', '.join(settings)}." if settings else ""
    return (
        '<p class="safety"><b>Never leave a running laser unattended.</b> Read the job sheet, check the material, '
        f"frame the job, wear the right goggles.{escape(required)}</p>"
    )


def timing_section(job: Job) -> str:
    """Seconds and attempts of every stage."""
    longest = max((stage.timing.computed_seconds for stage in job.stages), default=0.0)
    rows = []
    for stage in job.stages:
        known = stage.HasField("timing")
        computed = stage.timing.computed_seconds if known else -1.0
        width = 100 * computed / longest if longest > 0 and computed > 0 else 0
        seconds = [_seconds(value if known else -1.0) for value in _timing_values(stage)]
        rows.append(
            (
                escape(stage.id),
                *seconds,
                str(stage.attempts),
                f'<div class="track"><div class="bar" style="width:{width:.0f}%"></div></div>',
            )
        )
    header = ("Stage", "Queued", "Computed", "On the device", "Attempts", "")
    return "<h2>Where the time went</h2>" + table(header, rows, number_columns={1, 2, 3, 4})


def _timing_values(stage: Stage) -> tuple[float, float, float]:
    return stage.timing.queued_seconds, stage.timing.computed_seconds, stage.timing.device_seconds


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0 else "not known"


def receipt_section(job: Job) -> str:
    """All that is needed to do the job again."""
    rows: list[tuple[str, ...]] = []
    for stage in job.stages:
        receipt = stage.receipt
        rows += [
            (escape(stage.id), "model", f"{escape(m.name)} <code>{escape(m.sha256)}</code>") for m in receipt.models
        ]
        if receipt.seeds:
            rows.append((escape(stage.id), "seeds", ", ".join(str(seed) for seed in receipt.seeds)))
        if receipt.numeric_class:
            rows.append((escape(stage.id), "numeric class", f"<code>{escape(receipt.numeric_class)}</code>"))
        if receipt.versions:
            versions = ", ".join(f"{name} {version}" for name, version in sorted(receipt.versions.items()))
            rows.append((escape(stage.id), "versions", escape(versions)))
    if not rows:
        return '<h2>Receipt</h2><p class="dim">The job names nothing that is needed to do it again.</p>'
    return "<h2>Receipt</h2>" + table(("Stage", "What", "Value"), rows)


def files_section(files: Iterable[ReportFile]) -> str:
    """Name, size and SHA-256 of the files that lie beside the page."""
    rows = [
        (
            escape(file.filename),
            escape(size_text(file.artifact)),
            f"{len(file.data):,}",
            f"<code>{hashlib.sha256(file.data).hexdigest()}</code>",
        )
        for file in files
    ]
    return "<h2>Files</h2>" + table(("File", "Size", "Bytes", "SHA-256"), rows, number_columns={2})
