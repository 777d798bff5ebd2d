"""What a job would take, by what such stages took lately. Nothing is guessed: what was never measured is not known."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

from kerf.jobs.v1.estimate_pb2 import EstimateInterval, JobEstimate, StageEstimate
from kerf.jobs.v1.event_pb2 import JobEvent, StageCompleted
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.names import JobRef
from kerf_gateway.queue_stats import QueueBook
from kerf_gateway.spec import kinds_of

_KEPT = 200
_LEAST_SAMPLES = 3
_MOST_ALIKE = 1000
"""Kinds of stage that are remembered; what callers choose freely, such as a dpi, makes ever new ones."""


class Estimator:
    """Remembers how long stages took, by what they were asked to do."""

    def __init__(self, feed: EventFeed, queue: QueueBook) -> None:
        self._queue = queue
        self._specs: dict[JobRef, Job] = {}
        self._seconds_per_unit: dict[tuple[str, ...], deque[float]] = {}
        """The one that was learnt of last at the end."""
        feed.listen(self._entry)

    def estimate(self, job: Job) -> JobEstimate:
        """Estimate a checked job. Memory and cost are left unset: nothing here measures them."""
        stages = [self._stage(stage) for stage in job.stages]
        wait = self._wait(kinds_of(job)[0])
        estimate = JobEstimate(stages=stages)
        if wait is not None:
            estimate.wait_seconds.CopyFrom(wait)
        if wait is not None and all(stage.HasField("computed_seconds") for stage in stages):
            estimate.total_seconds.CopyFrom(_sum([wait, *(stage.computed_seconds for stage in stages)]))
        return estimate

    def _stage(self, stage: Stage) -> StageEstimate:
        measured = self._seconds_per_unit.get(_alike(stage), ())
        estimate = StageEstimate(stage=stage.id, samples=len(measured))
        if len(measured) >= _LEAST_SAMPLES:
            estimate.computed_seconds.CopyFrom(_deciles([one * _units(stage) for one in measured]))
        return estimate

    def _wait(self, kind: str) -> EstimateInterval | None:
        """The wait for a worker of a kind: none while one is free; else what those who started lately have waited."""
        waiting, free, waits = self._queue.pressure(kind)
        if free > 0 and waiting == 0:
            return EstimateInterval(low=0, expected=0, high=0)
        return _deciles(waits) if len(waits) >= _LEAST_SAMPLES else None

    def _entry(self, ref: JobRef, event: JobEvent) -> None:
        body = event.WhichOneof("body")
        if body == "accepted":
            self._specs[ref] = event.accepted.job
        elif body == "stage_completed":
            self._learn(ref, event.stage_completed)
        elif body == "succeeded":
            self._learn(ref, event.succeeded.last_stage)
        if event.head.state in TERMINAL:
            self._specs.pop(ref, None)

    def _learn(self, ref: JobRef, completed: StageCompleted) -> None:
        for stage in self._specs.get(ref, Job()).stages:
            if stage.id == completed.stage and completed.timing.computed_seconds >= 0:
                alike = _alike(stage)
                measured = self._seconds_per_unit.pop(alike, None) or deque(maxlen=_KEPT)
                measured.append(completed.timing.computed_seconds / _units(stage))
                self._seconds_per_unit[alike] = measured
        while len(self._seconds_per_unit) > _MOST_ALIKE:
            del self._seconds_per_unit[next(iter(self._seconds_per_unit))]


def _alike(stage: Stage) -> tuple[str, ...]:
    """What makes stages comparable: the task and the choices that its time hangs on, sizes aside."""
    task = str(stage.WhichOneof("task"))
    if task == "generate":
        request = stage.generate
        # A default is the model's own: it is comparable with itself only.
        return task, request.model, str(request.steps == 0), str(request.width_px == 0), str(request.height_px == 0)
    if task == "optimize":
        return task, str(stage.optimize.mode), str(stage.optimize.size.dpi)
    if task == "caption":
        return task, stage.caption.options.model, str(stage.caption.options.beams)
    if task == "train":
        return task, stage.train.base_model, stage.train.preset, str(stage.train.parameters.steps)
    return (task,)


def _units(stage: Stage) -> float:
    """How much of it there is to do, beside others that are alike."""
    if not stage.HasField("generate"):
        return 1.0
    request = stage.generate
    return float((request.images or 1) * (request.steps or 1) * (request.width_px or 1) * (request.height_px or 1))


def _deciles(values: Sequence[float]) -> EstimateInterval:
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return EstimateInterval(low=cuts[0], expected=cuts[4], high=cuts[8])


def _sum(parts: Sequence[EstimateInterval]) -> EstimateInterval:
    """Added up as if all were low, or all high, together: wider than the truth rather than narrower."""
    return EstimateInterval(
        low=sum(part.low for part in parts),
        expected=sum(part.expected for part in parts),
        high=sum(part.high for part in parts),
    )
