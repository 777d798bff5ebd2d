"""The page that shows how a LoRA was trained: curves, pictures before and after, and what is needed to repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf_client.facts import as_duration
from kerf_client.page import figure, heading, html_page
from kerf_client.plot import Curve, line_plot
from kerf_client.report import (
    DEFAULT_MAX_EMBEDDED_BYTES,
    ReportFile,
    files_section,
    note_text,
    receipt_section,
    size_text,
    timing_section,
    warnings_of,
    warnings_section,
)

RAW_COLOR, SMOOTHED_COLOR, RATE_COLOR = "#d8b9a3", "#c2410c", "#166534"


@dataclass(frozen=True)
class LossCurve:
    """A training over its steps; all lists are as long as `steps`. None = was not told."""

    steps: list[int] = field(default_factory=list)
    loss: list[float | None] = field(default_factory=list)
    smoothed_loss: list[float | None] = field(default_factory=list)
    learning_rate: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingReport:
    """All that the page shows."""

    job: Job
    files: list[ReportFile]
    curve: LossCurve
    settings: dict[str, str]
    new_prompt: str = ""
    """Words of the pictures `new-before` and `new-after`."""
    max_embedded_bytes: int = DEFAULT_MAX_EMBEDDED_BYTES


def render_training_report(report: TrainingReport) -> bytes:
    """The page as UTF-8."""
    title = f"LoRA {report.job.stages[0].train.name}"
    body = "\n".join(
        [
            heading(title, _subtitle(report.job), _facts(report)),
            _stopped(report.job),
            "<h2>Loss</h2>" + loss_plot(report.curve),
            "<h2>Learning rate</h2>" + rate_plot(report.curve),
            _samples(report),
            _new_pictures(report),
            warnings_section(warnings_of(report.job)),
            timing_section(report.job),
            receipt_section(report.job),
            files_section(report.files),
            f"<footer>{escape(report.job.name)} &middot; made with kerf.</footer>",
        ]
    )
    return html_page(title, body)


def loss_plot(curve: LossCurve) -> str:
    """Raw and smoothed loss over the steps, as SVG."""
    raw = Curve("loss of the step", curve.steps, curve.loss, RAW_COLOR, 1.0)
    smoothed = Curve("smoothed", curve.steps, curve.smoothed_loss, SMOOTHED_COLOR, 2.0)
    label = "loss (mean squared error, no unit)"
    return line_plot([raw, smoothed], title="Loss over the steps", x_label="optimiser step", y_label=label)


def rate_plot(curve: LossCurve) -> str:
    """The learning rate over the steps, as SVG."""
    rate = Curve("learning rate", curve.steps, curve.learning_rate, RATE_COLOR)
    return line_plot(
        [rate],
        title="Learning rate over the steps",
        x_label="optimiser step",
        y_label="learning rate (no unit)",
        from_zero=True,
    )


def last_known(values: list[float | None]) -> float | None:
    """The newest value that is known."""
    return next((value for value in reversed(values) if value is not None), None)


def _subtitle(job: Job) -> str:
    sample = job.stages[0].train.sample_prompt
    return f"Sample pictures show “{sample}”" if sample else "Trained without sample pictures"


def _facts(report: TrainingReport) -> dict[str, str]:
    stage = report.job.stages[0]
    loss = last_known(report.curve.smoothed_loss)
    known = stage.HasField("timing") and stage.timing.computed_seconds >= 0
    return {
        **report.settings,
        "Steps done": str(report.curve.steps[-1]) if report.curve.steps else "not known",
        "Smoothed loss at the end": f"{loss:.4g}" if loss is not None else "not known",
        "Time": as_duration(stage.timing.computed_seconds if known else None),
    }


def _stopped(job: Job) -> str:
    if job.state != JobState.JOB_STATE_CANCELLED:
        return ""
    text = "This training was stopped before its end; the file holds what it had learnt until then."
    return f'<p class="bad">{text}</p>'


def _samples(report: TrainingReport) -> str:
    before = [file for file in report.files if file.role == "sample-before"]
    after = [file for file in report.files if file.role == "sample-after"]
    if not before and not after:
        return '<h2>Before and after</h2><p class="dim">No sample pictures were drawn.</p>'
    pairs = [(file, f"Before the training{_number(file)}") for file in before]
    pairs += [(file, f"After the training{_number(file)}") for file in after]
    pairs.sort(key=lambda pair: (pair[0].item, pair[0].role == "sample-after"))
    return f"<h2>Before and after</h2>{_row(pairs, report.max_embedded_bytes)}"


def _number(file: ReportFile) -> str:
    return f", {file.item + 1}" if file.item else ""


def _new_pictures(report: TrainingReport) -> str:
    titles = {"new-before": "Without the LoRA", "new-after": "With the LoRA"}
    pairs = [(file, titles[file.role]) for file in report.files if file.role in titles]
    if not pairs:
        return ""
    words = f'<p class="dim">“{escape(report.new_prompt)}”, from the same noise</p>' if report.new_prompt else ""
    return f"<h2>A picture that it was not trained on</h2>{words}{_row(pairs, report.max_embedded_bytes)}"


def _row(pairs: list[tuple[ReportFile, str]], max_bytes: int) -> str:
    shown = []
    for file, title in pairs:
        details = " · ".join(each for each in (size_text(file.artifact), note_text(file.artifact)) if each)
        shown.append(figure(title, details, file.artifact, file.data, role=file.role, max_bytes=max_bytes))
    return f'<div class="pictures pair">{"".join(shown)}</div>'
