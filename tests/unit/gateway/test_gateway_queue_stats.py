"""The queue's figures against a count over all jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead, StageCompleted, Succeeded
from kerf.jobs.v1.job_pb2 import JobState, Priority, StageTiming
from kerf.jobs.v1.queue_pb2 import QueueStats
from kerf_core.jobs.dispatch import SlotBoard
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import JobView
from kerf_core.stages import JobId, TenantId
from kerf_gateway import queue_stats
from kerf_gateway.queue_stats import QueueBook

SECOND = 1_000_000_000
NOW = 10_000.0
REFS = [JobRef(TenantId(tenant), JobId(f"{number}")) for tenant in ("one", "two") for number in range(3)]
Counted = dict[tuple[str, str], list[float]]


class Feed:
    """Tells what the test says to all who listen."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[JobRef, JobEvent], None]] = []

    def listen(self, listener: Callable[[JobRef, JobEvent], None]) -> None:
        self.listeners.append(listener)

    def tell(self, ref: JobRef, event: JobEvent) -> None:
        for listener in self.listeners:
            listener(ref, event)


def stamp(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(int(seconds * SECOND))
    return made


@st.composite
def heads(draw: st.DrawFn) -> JobHead:
    head = JobHead(kinds=["a", "b"], stage=draw(st.integers(0, 1)), state=JobState.JOB_STATE_QUEUED)
    head.priority = draw(st.sampled_from([Priority.PRIORITY_UNSPECIFIED, Priority.PRIORITY_HIGH]))
    head.stage_ready_time.CopyFrom(stamp(draw(st.integers(9_000, 9_010))))
    state = draw(st.sampled_from(["waits", "waits", "runs", "ended"]))
    if state == "runs":
        head.fence = 2
    elif state == "ended":
        head.state = JobState.JOB_STATE_CANCELLED
    return head


def counted(heads: dict[JobRef, JobHead], tenant: TenantId | None) -> Counted:
    """(waiting, running, oldest wait) by group, the slow way."""
    groups: Counted = defaultdict(lambda: [0, 0, 0.0])
    groups["total", ""] = [0, 0, 0.0]
    for ref, head in heads.items():
        if head.state == JobState.JOB_STATE_CANCELLED or tenant not in (None, ref.tenant):
            continue
        priority = "high" if head.priority == Priority.PRIORITY_HIGH else "normal"
        for key in (("total", ""), ("kind", head.kinds[head.stage]), ("priority", priority), ("tenant", ref.tenant)):
            group = groups[key]
            group[1 if head.fence else 0] += 1
            if not head.fence:
                group[2] = max(group[2], NOW - head.stage_ready_time.ToNanoseconds() / SECOND)
    return groups


def shown(stats: QueueStats) -> Counted:
    lists = {"kind": stats.kinds, "priority": stats.priorities, "tenant": stats.tenants}
    groups = {("total", ""): stats.total} | {(by, group.key): group for by, all_ in lists.items() for group in all_}
    return {key: [group.waiting, group.running, group.oldest_wait_seconds] for key, group in groups.items()}


@given(st.lists(st.tuples(st.sampled_from(REFS), heads()), max_size=60))
@settings(deadline=None)
def test_the_figures_are_what_a_count_over_all_jobs_says(steps: list[tuple[JobRef, JobHead]]) -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    book = QueueBook(feed, view, SlotBoard(), clock=lambda: NOW)  # type: ignore[arg-type]  # all of a feed that it uses
    heads: dict[JobRef, JobHead] = {}
    for sequence, (ref, head) in enumerate(steps, start=1):
        if ref in heads and heads[ref].state == JobState.JOB_STATE_CANCELLED:
            continue
        heads[ref] = head
        feed.tell(ref, JobEvent(sequence=sequence, head=head, time=stamp(1)))
        assert shown(book.stats(None)) == counted(heads, None)
        assert shown(book.stats(TenantId("one"))) == counted(heads, TenantId("one"))
        waiting = counted(heads, None).get(("kind", "a"), [0])[0]
        assert book.pressure("a")[0] == waiting


def test_the_mean_time_of_a_stage_is_of_what_was_measured() -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    book = QueueBook(feed, view, SlotBoard(), clock=lambda: NOW)  # type: ignore[arg-type]  # all of a feed that it uses
    assert book.mean_seconds("a") is None
    head = JobHead(kinds=["a", "b"], stage=1, state=JobState.JOB_STATE_SUCCEEDED)
    for ref, seconds in zip(REFS, (4.0, -1.0, 6.0), strict=False):
        done = Succeeded(last_stage=StageCompleted(timing=StageTiming(computed_seconds=seconds)))
        feed.tell(ref, JobEvent(sequence=1, head=head, succeeded=done, time=stamp(NOW)))
    mean_seconds = book.mean_seconds("b")
    assert mean_seconds is not None
    assert 4 < mean_seconds < 5  # what was not measured does not count as nothing
    assert book.mean_seconds("a") is None


def test_jobs_that_come_and_go_do_not_pile_up() -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    book = QueueBook(feed, view, SlotBoard(), clock=lambda: NOW)  # type: ignore[arg-type]  # all of a feed that it uses
    head = JobHead(kinds=["a"], state=JobState.JOB_STATE_QUEUED)
    feed.tell(REFS[0], JobEvent(sequence=1, head=head))
    for number in range(500):
        ref = JobRef(TenantId("one"), JobId(f"p{number}"))
        feed.tell(ref, JobEvent(sequence=1, head=head))
        feed.tell(ref, JobEvent(sequence=2, head=JobHead(kinds=["a"], state=JobState.JOB_STATE_CANCELLED)))
    (standing,) = book._standing.values()
    assert len(standing.by_age) <= 2 + queue_stats._SPARE
    assert book.stats(None).total.waiting == 1
    feed.tell(REFS[0], JobEvent(sequence=2, head=JobHead(kinds=["a"], state=JobState.JOB_STATE_CANCELLED)))
    assert not book._standing
    assert not book._places
