"""When the dispatcher looks again."""

from __future__ import annotations

import time
from collections.abc import Callable

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import JobState
from kerf_core.jobs.dispatch import Dispatcher
from kerf_core.jobs.names import JobRef, new_job_id
from kerf_core.jobs.policy import FairShare
from kerf_core.jobs.view import JobView
from kerf_core.settings import ServiceSettings
from kerf_core.stages import TenantId


class Feed:
    """Tells what the test says."""

    def listen(self, listener: Callable[[JobRef, JobEvent], None]) -> None:
        self.tell = listener


def retried(after_seconds: float) -> JobEvent:
    head = JobHead(state=JobState.JOB_STATE_QUEUED, kinds=["noop"])
    head.retry_at.FromNanoseconds(time.time_ns() + int(after_seconds * 1e9))
    return JobEvent(sequence=1, head=head)


def test_a_stage_whose_time_has_come_does_not_keep_waking_a_gateway_that_does_not_lead() -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    dispatcher = Dispatcher(None, view, ServiceSettings(), "test", FairShare())  # type: ignore[arg-type]  # nothing is sent
    next_sweep = time.monotonic() + 5
    ref = JobRef(TenantId("local"), new_job_id())
    feed.tell(ref, retried(0.2))
    assert 0.05 < dispatcher._until_next_due(next_sweep) <= 0.2
    give_up_at = time.monotonic() + 2
    while dispatcher._until_next_due(next_sweep) <= 1:
        assert time.monotonic() < give_up_at, "it would look again at once, for ever"
    assert dispatcher.position(JobRef(TenantId("local"), new_job_id()), "noop") == 1
