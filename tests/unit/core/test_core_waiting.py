"""The waiting line against a plain list that is sorted anew each time."""

from __future__ import annotations

import time

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf.jobs.v1.event_pb2 import JobHead
from kerf.jobs.v1.job_pb2 import Priority
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import Row
from kerf_core.jobs.waiting import WaitingLine
from kerf_core.stages import JobId, TenantId

SECOND = 1_000_000_000
TENANTS = [TenantId("one"), TenantId("two")]
RANK = {
    Priority.PRIORITY_HIGH: 1,
    Priority.PRIORITY_UNSPECIFIED: 2,
    Priority.PRIORITY_NORMAL: 2,
    Priority.PRIORITY_LOW: 3,
}
BOUND_NS = 30 * SECOND


def stamp(seconds: int) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(seconds * SECOND)
    return made


def row(number: int, tenant: TenantId, ready: int, priority: int, deadline: int, retry: int) -> Row:
    head = JobHead(kinds=["noop"], priority=priority, stage_ready_time=stamp(ready))  # type: ignore[arg-type]  # an enum value
    if deadline:
        head.deadline.CopyFrom(stamp(deadline))
    if retry:
        head.retry_at.CopyFrom(stamp(retry))
    return Row(JobRef(tenant, JobId(f"{number:06d}")), head, 1, False, 0)


class PlainLine:
    """What the line is meant to do, the slow way."""

    def __init__(self) -> None:
        self.rows: dict[JobRef, Row] = {}

    def ready(self, tenant: TenantId, now_ns: int) -> list[Row]:
        rows = [row for row in self.rows.values() if row.ref.tenant == tenant]
        return [row for row in rows if row.head.retry_at.ToNanoseconds() <= now_ns]

    def take(self, tenant: TenantId, now_ns: int) -> Row:
        def order(row: Row) -> tuple[int, int, int, str]:
            ready_ns = row.head.stage_ready_time.ToNanoseconds()
            if ready_ns < now_ns - BOUND_NS:
                return 0, 0, ready_ns, row.ref.job
            deadline_ns = row.head.deadline.ToNanoseconds() if row.head.HasField("deadline") else 1 << 62
            return RANK[row.head.priority], deadline_ns, ready_ns, row.ref.job

        return self.rows.pop(min(self.ready(tenant, now_ns), key=order).ref)


ADD = st.tuples(
    st.just("add"),
    st.integers(0, 12),
    st.sampled_from(TENANTS),
    st.integers(0, 60),
    st.sampled_from(sorted(RANK)),
    st.sampled_from([0, 40, 90]),
    st.sampled_from([0, 0, 20, 70]),
)
STEPS = st.lists(
    st.one_of(
        ADD,
        st.tuples(st.just("discard"), st.integers(0, 12), st.sampled_from(TENANTS)),
        st.tuples(st.just("take"), st.sampled_from(TENANTS)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
    ),
    max_size=80,
)


@given(STEPS)
@settings(deadline=None, max_examples=200)
def test_the_line_does_what_sorting_anew_does(steps: list[tuple[object, ...]]) -> None:
    line, plain, now = WaitingLine(), PlainLine(), 0
    for action, *details in steps:
        now_ns = now * SECOND
        if action == "add":
            added = row(*details)  # type: ignore[arg-type]  # the strategy's own tuple
            line.add(added, now_ns)
            plain.rows[added.ref] = added
        elif action == "discard":
            ref = JobRef(details[1], JobId(f"{details[0]:06d}"))  # type: ignore[arg-type]  # the strategy's own tuple
            line.discard(ref)
            plain.rows.pop(ref, None)
        elif action == "wait":
            now += int(str(details[0]))
        else:
            line.admit(now_ns)
            ready = [tenant for tenant in TENANTS if plain.ready(tenant, now_ns)]
            assert sorted(line.tenants()) == sorted(ready)
            if details[0] in ready:
                assert line.take(details[0], now_ns - BOUND_NS) is plain.take(details[0], now_ns)  # type: ignore[arg-type]  # see above
        assert len(line) == len(plain.rows)
        assert all(ref in line for ref in plain.rows)
        assert line.before(JobId("000006")) == sum(ref.job < "000006" for ref in plain.rows)
        retries = [r.head.retry_at.ToNanoseconds() for r in plain.rows.values()]
        line.admit(now * SECOND)
        assert line.next_retry_ns() == min((ns for ns in retries if ns > now * SECOND), default=None)


@given(st.lists(st.sampled_from([*TENANTS, TenantId("three")]), min_size=1, max_size=30), st.data())
@settings(deadline=None)
def test_what_goes_before_a_job_is_what_taking_turns_says(tenants: list[TenantId], data: st.DataObject) -> None:
    line = WaitingLine()
    refs = [JobRef(tenant, JobId(f"{number:06d}")) for number, tenant in enumerate(tenants)]
    for number, tenant in enumerate(tenants):
        line.add(row(number, tenant, number, 0, 0, 0), 0)
    wanted = data.draw(st.sampled_from(refs))
    order = [*sorted(set(tenants) - {wanted.tenant}), wanted.tenant]  # its own tenant's turn comes last
    queues = {tenant: [ref for ref in refs if ref.tenant == tenant] for tenant in order}
    served: list[JobRef] = []
    while wanted not in served:
        served += [queues[tenant].pop(0) for tenant in order if queues[tenant]]
    assert line.fairly_before(wanted) == len(served) - 1


def test_rows_that_come_and_go_do_not_pile_up() -> None:
    line = WaitingLine()
    staying = row(1, TENANTS[0], 1, 0, 0, 0)
    line.add(staying, 0)
    for number in range(2, 5000):
        passing = row(number, TENANTS[0], number, 0, 0, 0)
        line.add(passing, 0)
        line.discard(passing.ref)
    assert len(line._lines[TENANTS[0]].by_order) < 100
    assert line.take(TENANTS[0], 0) is staying
    assert not line


def test_taking_from_a_hundred_thousand_is_quick() -> None:
    """No figure: thousands of choices among so many end at all within the time of a test."""
    line = WaitingLine()
    for number in range(100_000):
        line.add(row(number, TENANTS[number % 2], number, 0, 0, 0), 0)
    began = time.process_time()
    taken = [line.take(TENANTS[number % 2], 0).ref.job for number in range(4000)]
    assert taken == sorted(taken)
    assert time.process_time() - began < 20  # one pass over all rows for each would take minutes
