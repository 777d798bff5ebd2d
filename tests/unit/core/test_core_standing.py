"""The dispatcher's books against a walk over all jobs."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf.jobs.v1.event_pb2 import JobHead
from kerf.jobs.v1.job_pb2 import JobState
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.standing import Standing
from kerf_core.jobs.view import Row
from kerf_core.stages import JobId, TenantId

SECOND = 1_000_000_000
SILENCE_NS = 10 * SECOND
KINDS = ["a", "b"]
REFS = [JobRef(TenantId(tenant), JobId(f"{number}")) for tenant in ("one", "two") for number in range(4)]


def stamp(seconds: int) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(seconds * SECOND)
    return made


@dataclass
class Walk:
    """What the books are meant to be, the slow way: every question looks at every job."""

    rows: dict[JobRef, Row] = field(default_factory=dict)
    queued: dict[JobRef, tuple[str, int]] = field(default_factory=dict)
    adrift: set[JobRef] = field(default_factory=set)

    def row(self, row: Row) -> None:
        self.rows[row.ref] = row
        self.adrift.discard(row.ref)
        known = self.queued.get(row.ref)
        if known is not None and (row.ended or row.head.fence or known[1] != row.head.stage):
            del self.queued[row.ref]

    def not_queued(self, ref: JobRef) -> None:
        if self.queued.pop(ref, None) is not None:
            self.adrift.add(ref)

    def waiting(self, kind: str) -> set[JobRef]:
        return {
            ref
            for ref, row in self.rows.items()
            if row.kind == kind
            and not (row.ended or row.head.fence or row.head.cancel_requested)
            and ref not in self.queued
            and ref not in self.adrift
        }

    def sweep(self, found: dict[JobRef, tuple[str, int]], now_ns: int) -> tuple[set[JobRef], set[JobRef], set[JobRef]]:
        """Overdue, unanswered, silent."""
        overdue, unanswered, silent = set(), set(), set()
        for ref in [ref for ref in self.queued if ref not in found]:
            self.not_queued(ref)
        self.adrift &= found.keys()
        for ref, row in self.rows.items():
            head, age_ns = row.head, now_ns - row.updated_ns
            if row.ended:
                continue
            if head.HasField("deadline") and head.deadline.ToNanoseconds() <= now_ns:
                overdue.add(ref)
            elif head.cancel_requested and age_ns > 2 * SILENCE_NS:
                unanswered.add(ref)
            elif ref in found:
                late = head.retry_at.ToNanoseconds() > now_ns
                if not head.fence and found[ref][1] == head.stage and not late and ref not in self.queued:
                    self.queued[ref] = found[ref]
                    self.adrift.discard(ref)
            elif (head.fence or head.cancel_requested) and age_ns > SILENCE_NS:
                silent.add(ref)
        return overdue, unanswered, silent

    def under_way(self, kind: str, tenant: str) -> int:
        runs = [row for row in self.rows.values() if row.head.fence and not row.ended and row.kind == kind]
        queued = [ref for ref, known in self.queued.items() if known[0] == kind]
        return sum(ref.tenant == tenant for ref in [*queued, *(row.ref for row in runs)])


@st.composite
def heads(draw: st.DrawFn) -> JobHead:
    head = JobHead(state=JobState.JOB_STATE_QUEUED, kinds=KINDS, stage=draw(st.integers(0, 1)))
    state = draw(st.sampled_from(["waits", "waits", "runs", "ended", "retried"]))
    if state == "runs":
        head.state, head.fence, head.attempts = JobState.JOB_STATE_RUNNING, draw(st.integers(2, 3)), 1
    elif state == "ended":
        head.state = JobState.JOB_STATE_FAILED
    elif state == "retried":
        head.attempts = 1
        head.retry_at.CopyFrom(stamp(draw(st.integers(1, 60))))
    head.cancel_requested = draw(st.sampled_from([False, False, False, True]))
    return head


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("row"), st.sampled_from(REFS), heads(), st.sampled_from(["w1", "w2"])),
        st.tuples(st.just("queue"), st.sampled_from(REFS)),
        st.tuples(st.just("not queued"), st.sampled_from(REFS)),
        st.tuples(st.just("sweep"), st.dictionaries(st.sampled_from(REFS), st.integers(0, 1), max_size=4)),
        st.tuples(st.just("wait"), st.integers(1, 15)),
    ),
    max_size=60,
)


def assert_same(standing: Standing, walk: Walk) -> None:
    for kind in KINDS:
        assert {ref for ref in REFS if ref in standing.waiting[kind]} == walk.waiting(kind)
        assert standing.queued_count(kind) == sum(known[0] == kind for known in walk.queued.values())
        for tenant in ("one", "two"):
            assert standing.under_way[kind][TenantId(tenant)] == walk.under_way(kind, tenant)
        for worker in ("w1", "w2"):
            runs = [row for row in walk.rows.values() if row.worker == worker and row.kind == kind]
            assert standing.on_workers(kind).get(worker, 0) == sum(not row.ended for row in runs)


@given(STEPS, st.dictionaries(st.sampled_from(REFS), st.integers(5, 60), max_size=3))
@settings(deadline=None, max_examples=200)
def test_the_books_say_what_a_walk_over_all_jobs_says(
    steps: list[tuple[object, ...]], deadlines: dict[JobRef, int]
) -> None:
    walk = Walk()
    standing = Standing(walk.rows.get)
    now = 0
    for action, *details in steps:
        now_ns = now * SECOND
        if action == "wait":
            now += int(str(details[0]))
        elif action == "sweep":
            found = {ref: (KINDS[stage], stage) for ref, stage in details[0].items()}  # type: ignore[attr-defined]  # a dict
            repairs = standing.sweep(found, now_ns, SILENCE_NS)
            said = [{row.ref for row in rows} for rows in (repairs.overdue, repairs.unanswered, repairs.silent)]
            assert said == list(walk.sweep(found, now_ns))
        else:
            ref = details[0]
            assert isinstance(ref, JobRef)
            was = walk.rows.get(ref)
            if action == "row" and (was is None or not was.ended):
                head = details[1]
                assert isinstance(head, JobHead)
                if ref in deadlines:
                    head.deadline.CopyFrom(stamp(deadlines[ref]))
                row = Row(ref, head, now, False, now_ns, worker=str(details[2]) if head.fence else "")
                walk.row(row)
                standing.row(row, now_ns)
            elif action == "queue" and was is not None and ref in walk.waiting(was.kind):
                standing.queue(ref, was.kind, was.head.stage, now_ns)
                walk.queued[ref] = was.kind, was.head.stage
            elif action == "not queued":
                standing.not_queued(ref)
                walk.not_queued(ref)
        assert_same(standing, walk)


def waiting_row(ref: JobRef) -> Row:
    return Row(ref, JobHead(state=JobState.JOB_STATE_QUEUED, kinds=["a"]), 1, False, 0)


def running_row(ref: JobRef) -> Row:
    return Row(ref, JobHead(state=JobState.JOB_STATE_RUNNING, kinds=["a"], fence=2, attempts=1), 2, False, 0, "w")


def ended_row(ref: JobRef) -> Row:
    return Row(ref, JobHead(state=JobState.JOB_STATE_SUCCEEDED, kinds=["a"]), 3, False, 0)


def test_it_says_who_came_and_who_left_a_slot() -> None:
    standing = Standing(lambda ref: None)
    assert standing.row(waiting_row(REFS[0]), 0).came == "a"
    assert standing.row(waiting_row(REFS[0]), 0).came is None  # it waits already
    assert standing.row(running_row(REFS[0]), 0).left is None
    assert standing.row(ended_row(REFS[0]), 0).left == "a"
    standing.row(waiting_row(REFS[1]), 0)
    assert standing.row(ended_row(REFS[1]), 0).left is None  # it never had a slot


def test_what_is_not_taken_soon_holds_no_place() -> None:
    standing = Standing(lambda ref: None)
    for number, ref in enumerate(REFS[:4]):
        standing.queue(ref, "a", 0, number * SECOND)
    assert standing.queued_count("a") == 4
    assert standing.queued_count("a", since_ns=2 * SECOND) == 2
    standing.queue(REFS[0], "a", 0, 9 * SECOND)  # queued anew
    assert standing.queued_count("a", since_ns=3 * SECOND) == 2


def test_a_sweep_costs_nothing_for_jobs_that_merely_wait() -> None:
    asked: list[JobRef] = []

    def get(ref: JobRef) -> Row:
        asked.append(ref)
        return waiting_row(ref)

    standing = Standing(get)
    for number in range(2000):
        standing.row(waiting_row(JobRef(TenantId("many"), JobId(f"{number:06d}"))), 0)
    standing.queue(JobRef(TenantId("many"), JobId("000000")), "a", 0, 0)
    repairs = standing.sweep({REFS[0]: ("a", 0)}, SECOND, SILENCE_NS)
    assert not repairs.overdue + repairs.unanswered + repairs.silent
    assert len(asked) <= 2
    assert len(standing.waiting["a"]) == 2000  # the one whose message is gone waits again


def test_jobs_that_end_long_before_their_deadline_are_not_kept_until_then() -> None:
    standing = Standing(lambda ref: None)
    open_refs = [JobRef(TenantId("one"), JobId(f"open-{number}")) for number in range(3)]
    for number, ref in enumerate(open_refs):
        row = waiting_row(ref)
        row.head.deadline.CopyFrom(stamp(100_000 + number))
        standing.row(row, 0)
    for number in range(2_000):
        row = waiting_row(JobRef(TenantId("one"), JobId(f"short-{number}")))
        row.head.deadline.CopyFrom(stamp(90_000 - number))
        standing.row(row, 0)
        standing.row(ended_row(row.ref), 0)
        assert len(standing.deadlines.due) <= 3 * len(open_refs) + 100
    assert standing.deadlines.take(100_001 * SECOND) == open_refs[:2]
    assert standing.deadlines.next_ns() == 100_002 * SECOND
