"""Lists by index against looking at every job, and sorted ids against a sorted list."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf.jobs.v1.event_pb2 import BatchPlace, Failed, JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import JobState
from kerf.jobs.v1.job_service_pb2 import JobFilter
from kerf_core.jobs import ids
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.ids import SortedIds
from kerf_core.jobs.names import JobRef, drawn_at, least_id_at, new_job_id
from kerf_core.jobs.view import JobView, Row
from kerf_core.stages import JobId, TenantId

TENANTS = [TenantId("one"), TenantId("two")]
STATES = [
    JobState.JOB_STATE_QUEUED,
    JobState.JOB_STATE_RUNNING,
    JobState.JOB_STATE_FAILED,
    JobState.JOB_STATE_SUCCEEDED,
]
SECOND = 1_000_000_000


class Feed:
    """Tells what the test says."""

    def listen(self, listener: Callable[[JobRef, JobEvent], None]) -> None:
        self.tell = listener


def stamp(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(int(seconds * SECOND))
    return made


def job_at(second: int, number: int) -> JobId:
    return JobId(f"{least_id_at(1000 * second)}{number:011d}")


@st.composite
def filters(draw: st.DrawFn) -> JobFilter:
    wanted = JobFilter(
        states=draw(st.lists(st.sampled_from(STATES), max_size=2)),
        kind=draw(st.sampled_from(["", "", "a", "b", "nobody"])),
        batch=draw(st.sampled_from(["", "", "batches/x", "batches/y"])),
        labels=draw(st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"), max_size=2)),
    )
    if draw(st.booleans()):
        wanted.created_after.CopyFrom(stamp(draw(st.integers(0, 40)) / 2))
    if draw(st.booleans()):
        wanted.created_before.CopyFrom(stamp(draw(st.integers(0, 40)) / 2))
    return wanted


def matches(row: Row, wanted: JobFilter) -> bool:
    head = row.head
    created = head.create_time.ToNanoseconds()
    return (
        (not wanted.states or head.state in wanted.states)
        and (not wanted.kind or wanted.kind in head.kinds)
        and (not wanted.batch or wanted.batch == head.batch.name)
        and all(head.labels.get(key) == value for key, value in wanted.labels.items())
        and (not wanted.HasField("created_after") or created >= wanted.created_after.ToNanoseconds())
        and (not wanted.HasField("created_before") or created < wanted.created_before.ToNanoseconds())
    )


JOBS = st.tuples(
    st.sampled_from(TENANTS),
    st.integers(0, 20),  # the second that the id names
    st.sampled_from([0.0, 0.0, 0.4, -3.0]),  # how far from it the job was accepted: clocks step
    st.lists(st.sampled_from("ab"), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"), max_size=2),
    st.sampled_from(["", "batches/x", "batches/y"]),
    st.lists(st.sampled_from(STATES), min_size=1, max_size=3),
    st.sampled_from(["stays", "stays", "is forgotten"]),
    st.booleans(),
)


@given(st.lists(JOBS, max_size=25), filters(), st.integers(0, 25))
@settings(deadline=None, max_examples=200)
def test_a_list_by_index_is_what_looking_at_every_job_finds(
    jobs: list[tuple[TenantId, int, float, list[str], dict[str, str], str, list[JobState.ValueType], str, bool]],
    wanted: JobFilter,
    before_second: int,
) -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    known: dict[JobRef, Row] = {}
    for number, (tenant, second, away, kinds, labels, batch, states, fate, drawn) in enumerate(jobs):
        ref = JobRef(tenant, job_at(second, number) if drawn else JobId(f"x{number}"))
        for sequence, state in enumerate(states, start=1):
            head = JobHead(state=state, kinds=kinds, labels=labels, create_time=stamp(max(0, second + away)))
            if batch:
                head.batch.CopyFrom(BatchPlace(name=batch, index=number))
            dead = Failed(attempts_exhausted=state == JobState.JOB_STATE_FAILED)
            body = {"failed": dead} if state == JobState.JOB_STATE_FAILED else {}
            feed.tell(ref, JobEvent(sequence=sequence, head=head, time=stamp(number), **body))  # type: ignore[arg-type]  # one body
            if state in TERMINAL:
                break
        row = view.get(ref)
        assert row is not None
        known[ref] = row
        if fate == "is forgotten" and row.ended:
            view.forget(ref)
            del known[ref]
    newest = sorted(known.values(), key=lambda row: row.ref.job, reverse=True)
    for tenant in TENANTS:
        for before in (None, job_at(before_second, 0)):
            slow = [
                row
                for row in newest
                if row.ref.tenant == tenant and matches(row, wanted) and (before is None or row.ref.job < before)
            ]
            assert list(view.newest_first(tenant, before, wanted)) == slow
    dead_rows = [row for row in newest if row.attempts_exhausted]
    assert list(view.dead_letters()) == dead_rows
    bound = job_at(before_second, 0)
    assert list(view.dead_letters(bound)) == [row for row in dead_rows if row.ref.job < bound]
    ended = {row.ref for row in known.values() if row.ended and row.updated_ns < before_second * SECOND}
    assert set(view.ended_before(before_second * SECOND)) == ended
    for name in ("batches/x", "batches/y"):
        assert {row.ref for row in view.batch(TENANTS[0], name)} == {
            row.ref for row in known.values() if row.ref.tenant == TENANTS[0] and row.head.batch.name == name
        }


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    head = JobHead(state=JobState.JOB_STATE_SUCCEEDED, kinds=["a"], labels={"order": "7"})
    head.batch.name = "batches/x"
    ref = JobRef(TENANTS[0], new_job_id())
    feed.tell(ref, JobEvent(sequence=1, head=head))
    view.forget(ref)
    assert not view._index._postings
    assert not view._index._skew_ms
    assert not view._batches
    assert not len(view._ended)


def test_a_page_that_nothing_matches_looks_at_nothing() -> None:
    feed = Feed()
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    for second in range(300):
        head = JobHead(state=JobState.JOB_STATE_QUEUED, kinds=["a" if second % 2 else "b"], create_time=stamp(second))
        head.labels["half"] = "first" if second < 150 else "second"
        feed.tell(JobRef(TENANTS[0], job_at(second, 0)), JobEvent(sequence=1, head=head))
    asked = 0

    def counted(self: SortedIds[JobId], bound: JobId | None) -> JobId | None:
        nonlocal asked
        asked += 1
        return last_before(self, bound)

    last_before = SortedIds.last_before
    SortedIds.last_before = counted  # type: ignore[assignment,method-assign]  # counts, and does the same
    try:
        assert list(view.newest_first(TENANTS[0], None, JobFilter(states=[JobState.JOB_STATE_FAILED]))) == []
        half = list(view.newest_first(TENANTS[0], None, JobFilter(kind="a", labels={"half": "first"})))
        late = JobFilter(created_after=stamp(290), created_before=stamp(292))
        assert len(list(view.newest_first(TENANTS[0], None, late))) == 2
    finally:
        SortedIds.last_before = last_before  # type: ignore[method-assign]  # as it was
    assert len(half) == 75
    assert asked < 5 * 75


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300))
@settings(deadline=None)
def test_sorted_ids_do_what_a_sorted_list_does(steps: list[tuple[bool, int]]) -> None:
    many: SortedIds[tuple[int, str]] = SortedIds()
    plain: list[tuple[int, str]] = []
    was = ids._CHUNK
    ids._CHUNK = 4  # so that a few make many chunks
    try:
        for add, number in steps:
            one = (number, "")
            (many.add if add else many.discard)(one)
            plain = sorted({*plain, one} if add else {*plain} - {one})
            assert list(many) == plain
            assert len(many) == len(plain)
            for bound in (one, (number, "a"), (number + 1, "")):
                at = bisect_left(plain, bound)
                assert many.count_before(bound) == at
                assert many.last_before(bound) == (plain[at - 1] if at else None)
            assert many.last_before(None) == (plain[-1] if plain else None)
    finally:
        ids._CHUNK = was


def test_an_id_is_not_below_the_least_of_its_millisecond() -> None:
    job = new_job_id()
    drawn_s = drawn_at(job)
    assert drawn_s is not None
    milliseconds = round(1000 * drawn_s)
    assert least_id_at(milliseconds) <= job < least_id_at(milliseconds + 1)
    assert least_id_at(-5) == "0" * 9
    assert least_id_at(10**18) == "z" * 9
