"""What an estimate remembers: bounded, whatever callers choose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from kerf.jobs.v1.event_pb2 import Accepted, JobEvent, JobHead, StageCompleted, Succeeded
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage, StageTiming
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize
from kerf_core.jobs.dispatch import SlotBoard
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import JobView
from kerf_core.stages import JobId, TenantId
from kerf_gateway import estimates
from kerf_gateway.estimates import Estimator
from kerf_gateway.queue_stats import QueueBook

LISTENERS = list[Callable[[JobRef, JobEvent], None]]


class Feed:
    """Tells what the test says to all who listen."""

    def __init__(self) -> None:
        self.listeners: LISTENERS = []

    def listen(self, listener: Callable[[JobRef, JobEvent], None]) -> None:
        self.listeners.append(listener)

    def tell(self, ref: JobRef, event: JobEvent) -> None:
        for listener in self.listeners:
            listener(ref, event)


def job_at(dpi: float) -> Job:
    return Job(stages=[Stage(id="burn", optimize=OptimizeRequest(size=PhysicalSize(dpi=dpi)))])


def ran(feed: Feed, number: int, job: Job, took: timedelta) -> None:
    """Tell of a job from its first entry to its last."""
    ref = JobRef(TenantId("one"), JobId(f"job-{number}"))
    head = JobHead(kinds=["optimizer"], state=JobState.JOB_STATE_QUEUED)
    feed.tell(ref, JobEvent(sequence=1, accepted=Accepted(job=job), head=head))
    timing = StageTiming(computed_seconds=took.total_seconds())
    ended = Succeeded(last_stage=StageCompleted(stage="burn", timing=timing))
    done = JobHead(kinds=["optimizer"], state=JobState.JOB_STATE_SUCCEEDED)
    feed.tell(ref, JobEvent(sequence=2, succeeded=ended, head=done))


def test_kinds_of_stage_that_nobody_asks_for_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_MOST_ALIKE", 10)
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # only `listen` of the feed is used
    queue = QueueBook(feed, view, SlotBoard())  # type: ignore[arg-type]  # as above
    estimator = Estimator(feed, queue)  # type: ignore[arg-type]  # as above
    for number in range(90):
        ran(feed, 2 * number, job_at(254), timedelta(seconds=2))
        ran(feed, 2 * number + 1, job_at(1000 + number // 3), timedelta(seconds=5))

    def samples(dpi: float) -> int:
        return int(estimator.estimate(job_at(dpi)).stages[0].samples)

    assert samples(254) == 90, "what is asked for again and again stays"
    assert estimator.estimate(job_at(254)).stages[0].computed_seconds.expected == pytest.approx(2)
    assert [samples(1000 + number) for number in (0, 10, 20)] == [0, 0, 0]
    assert [samples(1000 + number) for number in (21, 29)] == [3, 3]
