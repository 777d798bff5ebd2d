"""When the dispatcher looks again."""

from __future__ import annotations

import time
from collections.abc import Callable

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead, StageStarted
from kerf.jobs.v1.job_pb2 import JobState
from kerf.runtime.v1.runtime_pb2 import Slots
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


def announced(dispatcher: Dispatcher, **workers: tuple[int, int]) -> None:
    """Workers of kind noop with (capacity, free) slots."""
    for worker, (capacity, free) in workers.items():
        dispatcher.board._heard["noop"][worker] = Slots(capacity=capacity, free=free), time.monotonic()


def started(worker: str) -> JobEvent:
    head = JobHead(state=JobState.JOB_STATE_RUNNING, kinds=["noop"], fence=2, attempts=1)
    return JobEvent(sequence=2, fence=2, stage_started=StageStarted(worker=worker), head=head)


def test_a_slot_is_free_if_the_worker_and_the_logs_say_so() -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    dispatcher = Dispatcher(None, view, ServiceSettings(), "test", FairShare())  # type: ignore[arg-type]  # nothing is sent
    announced(dispatcher, one=(4, 3), two=(2, 2))
    assert dispatcher._places("noop") == 5
    refs = [JobRef(TenantId("local"), new_job_id()) for _ in range(2)]
    feed.tell(refs[0], started("two"))  # its worker has not said so yet
    assert dispatcher._places("noop") == 4
    feed.tell(refs[1], started("one"))  # its worker has
    assert dispatcher._places("noop") == 4
    assert dispatcher.eta_seconds(JobRef(TenantId("local"), new_job_id()), "noop", 12.0) == 2.0  # 6 slots
    for _ in range(60):
        dispatcher._policy.spent("noop", TenantId("local"), 0.001)
    assert dispatcher._places("noop") == 10  # stages are short: as announced, twice


def test_nobody_knows_when_a_job_starts_while_nobody_works() -> None:
    view = JobView(Feed())  # type: ignore[arg-type]  # all of a feed that a view uses
    dispatcher = Dispatcher(None, view, ServiceSettings(), "test", FairShare())  # type: ignore[arg-type]  # nothing is sent
    assert dispatcher.eta_seconds(JobRef(TenantId("local"), new_job_id()), "noop", 12.0) is None


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
