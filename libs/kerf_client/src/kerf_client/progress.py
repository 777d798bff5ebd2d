"""How far a job is, folded from its events. Pure; drawing it is the command line's business."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kerf.jobs.v1.event_pb2 import JobEvent, StageCompleted
from kerf.jobs.v1.job_pb2 import JobState
from kerf_client.facts import as_duration

_FIGURES = (("loss", "loss {:.4g}"), ("smoothed_loss", "smoothed {:.4g}"), ("learning_rate", "learning rate {:.2g}"))
"""Figures of `Progress.metrics` that people watch, in the order in which they are told."""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


@dataclass
class JobProgress:
    """State of a job as its events tell it. `eta_seconds` and `total` are None where nobody knows."""

    name: str = ""
    state: JobState.ValueType = JobState.JOB_STATE_QUEUED
    stages: list[str] = field(default_factory=list)
    stage: str = ""
    done_stages: int = 0
    step: int = 0
    total: int | None = None
    eta_seconds: float | None = None
    fraction: float = 0.0
    """Share of the whole job, counting its stages alike, 0-1; never goes back."""
    attempt: int = 0
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures of the newest step, such as `loss`; what is not in it is not known."""

    def apply(self, event: JobEvent) -> str:
        """Take an event in. Returns a line worth telling, or "" (every step is too much for a log)."""
        self.name = event.job or self.name
        if event.HasField("head"):
            self.state = event.head.state
        body = event.WhichOneof("body")
        handler = getattr(self, f"_on_{body}", None)
        line: str = handler(event) if handler is not None else ""
        return line

    @property
    def stage_label(self) -> str:
        """`generate (1/4)`."""
        if not self.stage:
            return "queued"
        position = f" ({min(self.done_stages + 1, len(self.stages))}/{len(self.stages)})" if self.stages else ""
        return f"{self.stage}{position}"

    @property
    def step_label(self) -> str:
        """`step 3/20, loss 0.12, 4 s left`, and what the worker says; "" while there is nothing to tell."""
        return _joined(self._count, self.figures_label, self._rest, self.message)

    @property
    def count_label(self) -> str:
        """The same without the figures, for a line that has little room."""
        return _joined(self._count, self._rest, self.message)

    @property
    def figures_label(self) -> str:
        """`loss 0.12, smoothed 0.13, learning rate 0.0001`; "" where the stage tells none."""
        return _joined(*(text.format(self.metrics[name]) for name, text in _FIGURES if name in self.metrics))

    @property
    def _count(self) -> str:
        return f"step {self.step}/{self.total}" if self.total else ""

    @property
    def _rest(self) -> str:
        return f"{as_duration(self.eta_seconds)} left" if self.eta_seconds is not None else ""

    def _advance(self, share_of_stage: float) -> None:
        if self.stages:
            share = (self.done_stages + min(max(share_of_stage, 0.0), 1.0)) / len(self.stages)
            self.fraction = min(1.0, max(self.fraction, share))

    def _begin_step_count(self) -> None:
        self.step, self.total, self.eta_seconds, self.message = 0, None, None, ""
        self.metrics = {}

    def _on_accepted(self, event: JobEvent) -> str:
        self.stages = [stage.id for stage in event.accepted.job.stages]
        return f"accepted as {event.job}: {' -> '.join(self.stages)}"

    def _on_queued(self, event: JobEvent) -> str:
        return f"waiting for a worker; {event.queued.position} before it" if event.queued.position else ""

    def _on_stage_started(self, event: JobEvent) -> str:
        self.stage, self.attempt = event.stage_started.stage, event.attempt
        if self.stage in self.stages:
            self.done_stages = self.stages.index(self.stage)
        self._begin_step_count()
        again = f", attempt {event.attempt}" if event.attempt > 1 else ""
        return f"{self.stage_label} started{again}"

    def _on_progress(self, event: JobEvent) -> str:
        progress = event.progress
        self.step, self.total = progress.step, progress.total or None
        self.eta_seconds = progress.eta_seconds if 0 <= progress.eta_seconds < math.inf else None
        self.message = progress.message
        self.metrics = dict(progress.metrics)
        counted = progress.step / progress.total if progress.total else 0.0
        self._advance(max(progress.fraction, counted))
        return f"{self.stage_label} {self.step_label}" if event.sequence and self.step_label else ""

    def _on_log(self, event: JobEvent) -> str:
        return f"{event.log.level}: {event.log.message}"

    def _on_checkpointed(self, event: JobEvent) -> str:
        return f"{self.stage_label} saved at step {event.checkpointed.step}"

    def _on_stage_completed(self, event: JobEvent) -> str:
        return self._complete(event.stage_completed)

    def _complete(self, completed: StageCompleted) -> str:
        label = self.stage_label
        self.done_stages = self.stages.index(completed.stage) + 1 if completed.stage in self.stages else 0
        self._advance(0.0)
        self._begin_step_count()
        seconds = completed.timing.computed_seconds
        took = f" in {seconds:.1f} s" if completed.HasField("timing") and seconds >= 0 else ""
        return f"{label} done{took}"

    def _on_attempt_lost(self, event: JobEvent) -> str:
        self._begin_step_count()
        lost = event.attempt_lost
        return f"{self.stage_label} will be tried again: {lost.message or lost.reason}"

    def _on_cancel_requested(self, event: JobEvent) -> str:
        return f"asked to stop: {event.cancel_requested.reason}".rstrip(": ")

    def _on_succeeded(self, event: JobEvent) -> str:
        self.state = JobState.JOB_STATE_SUCCEEDED
        line = self._complete(event.succeeded.last_stage)
        self.fraction = 1.0
        return line

    def _on_failed(self, event: JobEvent) -> str:
        self.state = JobState.JOB_STATE_FAILED
        return f"failed: {event.failed.error.message}"

    def _on_cancelled(self, event: JobEvent) -> str:
        self.state = JobState.JOB_STATE_CANCELLED
        return f"cancelled: {event.cancelled.reason}".rstrip(": ")
