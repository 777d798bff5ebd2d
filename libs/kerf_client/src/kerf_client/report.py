"""The page that shows what a job made: one self-contained HTML file.

Everything in it that came from elsewhere (prompts, warnings, labels) is escaped; drawings are embedded as pictures,
in which scripts do not run; a content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from importlib import resources

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf_client.facts import PlanFacts, as_duration

DEFAULT_MAX_EMBEDDED_BYTES = 16 * 1024 * 1024
_SHOWN_ROLES = (
    ("picture", "Picture"),
    ("raster", "Burnable picture"),
    ("vector", "Drawing"),
    ("preview", "Burn preview"),
)
_IMAGE_TYPES = {"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/svg+xml"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


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
    style = resources.files("kerf_client").joinpath("report.css").read_text(encoding="utf-8")
    body = "\n".join(
        [
            _head(report),
            _pictures(report),
            _warnings(report),
            _checks(report.facts),
            _timing(report.job),
            _receipt(report.job),
            _files(report.written),
            f"<footer>{escape(report.job.name)} &middot; made with kerf. Sizes are what the files say; times are "
            "estimates until a machine has run them.</footer>",
        ]
    )
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)} &middot; kerf</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    # A lone surrogate (a file name that is no UTF-8) must not cost the person the report.
    return page.encode("utf-8", errors="replace")


def _head(report: Report) -> str:
    times = ", ".join(as_duration(plan.estimated_seconds) for plan in report.facts)
    facts = {**report.settings, "Burn time (estimate)": times}
    cells = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return (
        f'<p class="kicker">kerf</p><h1>{escape(report.title)}</h1>'
        f'<p class="dim">{escape(report.subtitle)}</p><dl class="facts">{cells}</dl>'
    )


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
        heading = f"<h2>Picture {item + 1}</h2>" if len(items) > 1 else "<h2>From picture to burn</h2>"
        rows.append(f'{heading}<div class="pictures">{"".join(figures)}</div>')
    return "\n".join(rows)


def _figure(file: ReportFile, title: str, max_bytes: int) -> str:
    if file.artifact.media_type in _IMAGE_TYPES and len(file.data) <= max_bytes:
        data = base64.b64encode(file.data).decode("ascii")
        content = f'<img alt="{escape(title)}" src="data:{file.artifact.media_type};base64,{data}">'
    else:
        content = '<span class="dim">Too large or of a kind that a browser cannot show; open the file.</span>'
    details = [size_text(file.artifact), note_text(file.artifact)]
    text = " &middot; ".join(escape(each) for each in details if each)
    return (
        f'<figure class="{file.role}"><div class="frame">{content}</div>'
        f'<figcaption><b>{escape(title)}</b><span class="dim">{text}</span></figcaption></figure>'
    )


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


def _warnings(report: Report) -> str:
    found = warnings_of(report.job)
    listed = "".join(f"<li>{escape(text)}</li>" for text in found)
    shown = f'<ul class="warnings">{listed}</ul>' if found else '<p class="calm">No stage had a warning.</p>'
    settings = dict.fromkeys(setting for plan in report.facts for setting in plan.required_settings)
    required = f" Required controller settings: {', '.join(settings)}." if settings else ""
    return (
        f"<h2>Warnings</h2>{shown}"
        '<p class="safety"><b>Never leave a running laser unattended.</b> Read the job sheet, check the material, '
        f"frame the job, wear the right goggles.{escape(required)}</p>"
    )


def _checks(facts: list[PlanFacts]) -> str:
    checks = [check for plan in facts for check in plan.checks]
    if not checks:
        text = "The checks' verdicts are not in the job's answer; the planner hands out no file that fails one."
        return f'<h2>Checks</h2><p class="dim">{text}</p>'
    rows = [(escape(check.name), escape(check.verdict), escape(check.detail)) for check in checks]
    return "<h2>Checks</h2>" + _table(("Check", "Verdict", "What was compared"), rows)


def _timing(job: Job) -> str:
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
    return "<h2>Where the time went</h2>" + _table(header, rows, number_columns={1, 2, 3, 4})


def _timing_values(stage: Stage) -> tuple[float, float, float]:
    return stage.timing.queued_seconds, stage.timing.computed_seconds, stage.timing.device_seconds


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0 else "not known"


def _receipt(job: Job) -> str:
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
    return "<h2>Receipt</h2>" + _table(("Stage", "What", "Value"), rows)


def _files(files: Iterable[ReportFile]) -> str:
    rows = [
        (
            escape(file.filename),
            escape(size_text(file.artifact)),
            f"{len(file.data):,}",
            f"<code>{hashlib.sha256(file.data).hexdigest()}</code>",
        )
        for file in files
    ]
    return "<h2>Files</h2>" + _table(("File", "Size", "Bytes", "SHA-256"), rows, number_columns={2})


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], number_columns: Iterable[int] = ()) -> str:
    """`rows` are HTML already."""
    numbers = set(number_columns)

    def cells(tag: str, row: tuple[str, ...]) -> str:
        return "".join(
            f"<{tag}{' class=number' if column in numbers else ''}>{text}</{tag}>" for column, text in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", header)}</tr></thead><tbody>{body}</tbody></table></div>'
    )
