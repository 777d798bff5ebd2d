"""The dispatcher's choice: shares by cost, limits, priority inside a tenant, nobody starves."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead, StageCompleted
from kerf.jobs.v1.job_pb2 import Priority, StageTiming
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.policy import CostMeter, FairShare, Share
from kerf_core.jobs.view import Row
from kerf_core.jobs.waiting import WaitingLine
from kerf_core.stages import JobId, TenantId

KIND = "diffusion"
BIG, SMALL = TenantId("big"), TenantId("small")
SECOND = 1_000_000_000
NUMBERS = itertools.count()


def stamp(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(int(seconds * SECOND))
    return made


def row(
    tenant: TenantId,
    *,
    ready: float = 0,
    priority: Priority.ValueType = Priority.PRIORITY_UNSPECIFIED,
    deadline: float | None = None,
) -> Row:
    head = JobHead(kinds=[KIND], priority=priority, stage_ready_time=stamp(ready))
    if deadline is not None:
        head.deadline.CopyFrom(stamp(deadline))
    return Row(JobRef(tenant, JobId(f"{next(NUMBERS):09d}")), head, 1, False, 0)


def line(rows: Iterable[Row], now: float = 0) -> WaitingLine:
    made = WaitingLine()
    for one in rows:
        made.add(one, int(now * SECOND))
    return made


def serve(policy: FairShare, waiting: list[Row], cost: dict[TenantId, float], rounds: int) -> dict[TenantId, float]:
    """One slot: the stage that is chosen runs alone, then the next is chosen. Seconds served, by tenant."""
    served = dict.fromkeys(cost, 0.0)
    queue = line(waiting)
    for _ in range(rounds):
        (chosen,) = policy.choose(KIND, queue, {}, 1, 0)
        tenant = chosen.ref.tenant
        policy.spent(KIND, tenant, cost[tenant])
        served[tenant] += cost[tenant]
    return served


@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(0.25, 4))
@settings(deadline=None)
def test_two_tenants_with_work_waiting_get_time_by_their_weights(big: float, small: float, weight: float) -> None:
    policy = FairShare()
    policy.shares = {BIG: Share(weight=weight)}
    waiting = [row(BIG) for _ in range(60)] + [row(SMALL) for _ in range(60)]
    served = serve(policy, waiting, {BIG: big, SMALL: small}, 50)
    # Nobody is ahead of his share by more than one stage of each.
    assert abs(served[BIG] / weight - served[SMALL]) <= big / weight + small + 1e-6


def test_a_light_tenant_goes_next_however_long_the_queue_of_another_is() -> None:
    policy = FairShare()
    waiting = [row(BIG) for _ in range(1000)]
    serve(policy, waiting, {BIG: 1.0}, 50)
    light = row(SMALL, ready=99)
    assert policy.choose(KIND, line([*waiting, light]), {BIG: 2}, 1, 0) == [light]


def test_time_that_was_not_used_is_not_saved_up() -> None:
    policy = FairShare()
    serve(policy, [row(BIG) for _ in range(200)], {BIG: 1.0}, 100)
    waiting = [row(BIG) for _ in range(100)] + [row(SMALL) for _ in range(100)]
    served = serve(policy, waiting, {BIG: 1.0, SMALL: 1.0}, 20)
    assert abs(served[BIG] - served[SMALL]) <= 2


def test_what_is_under_way_counts_before_its_cost_is_known() -> None:
    policy = FairShare()
    waiting = [row(tenant) for tenant in (BIG, SMALL) for _ in range(10)]
    chosen = policy.choose(KIND, line(waiting), {BIG: 4}, 6, 0)
    assert Counter(chosen_row.ref.tenant for chosen_row in chosen) == {SMALL: 5, BIG: 1}


def test_no_tenant_has_more_under_way_than_its_limit() -> None:
    policy = FairShare()
    policy.shares = {BIG: Share(max_running=3)}
    chosen = policy.choose(KIND, line(row(BIG) for _ in range(10)), {BIG: 1}, 8, 0)
    assert len(chosen) == 2
    assert policy.allows(BIG, 2)
    assert not policy.allows(BIG, 3)
    assert policy.allows(SMALL, 1000)


def test_inside_a_tenant_priority_then_deadline_then_age() -> None:
    low = row(BIG, priority=Priority.PRIORITY_LOW, ready=1)
    plain, later = row(BIG, ready=5), row(BIG, ready=6)
    due, due_later = row(BIG, ready=7, deadline=50), row(BIG, ready=2, deadline=90)
    high = row(BIG, priority=Priority.PRIORITY_HIGH, ready=9)
    order = [high, due, due_later, plain, later, low]
    assert FairShare().choose(KIND, line(order[::-1]), {}, 10, 10 * SECOND) == order


def test_what_waited_too_long_goes_first_whatever_its_priority() -> None:
    policy = FairShare(starvation_bound=timedelta(seconds=60))
    low = row(BIG, priority=Priority.PRIORITY_LOW, ready=0)
    high = row(BIG, priority=Priority.PRIORITY_HIGH, ready=50)
    assert policy.choose(KIND, line([low, high]), {}, 1, 59 * SECOND) == [high]
    assert policy.choose(KIND, line([low, high]), {}, 1, 61 * SECOND) == [low]


@given(st.lists(st.sampled_from([BIG, SMALL, TenantId("third")]), max_size=40), st.integers(0, 50))
def test_the_choice_is_of_what_waits_each_once_and_as_many_as_fit(tenants: list[TenantId], places: int) -> None:
    waiting = [row(tenant) for tenant in tenants]
    queue = line(waiting)
    chosen = FairShare().choose(KIND, queue, {}, places, 0)
    assert len(chosen) == min(places, len(waiting))
    assert len({one.ref for one in chosen}) == len(chosen)
    assert all(one in waiting for one in chosen)
    assert len(queue) == len(waiting) - len(chosen)
    assert not any(one.ref in queue for one in chosen)


class Ledger(FairShare):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, TenantId, float]] = []

    def spent(self, kind: str, tenant: TenantId, seconds: float) -> None:
        self.heard.append((kind, tenant, seconds))


def entry(seconds: float, **body: object) -> JobEvent:
    event = JobEvent(head=JobHead(kinds=[KIND, "optimizer"]), **body)  # type: ignore[arg-type]  # a body of any kind
    event.time.CopyFrom(stamp(seconds))
    return event


@pytest.mark.parametrize("device, cost", [(2.5, 2.5), (-1.0, 4.0)], ids=["measured", "by the clock"])
def test_a_stage_costs_its_device_time_or_else_the_time_it_took(device: float, cost: float) -> None:
    ledger = Ledger()
    meter, ref = CostMeter(ledger), row(BIG).ref
    meter.entry(ref, entry(10, stage_started={}))
    meter.entry(ref, entry(11, progress={}))
    done = StageCompleted(timing=StageTiming(device_seconds=device))
    meter.entry(ref, entry(14, stage_completed=done))
    meter.entry(ref, entry(15, failed={}))
    assert ledger.heard == [(KIND, BIG, cost)]


def test_an_attempt_that_was_lost_costs_its_tenant_too() -> None:
    ledger = Ledger()
    meter, ref = CostMeter(ledger), row(BIG).ref
    meter.entry(ref, entry(10, stage_started={}))
    meter.entry(ref, entry(13, stage_started={}))
    meter.entry(ref, entry(14, attempt_lost={}))
    assert ledger.heard == [(KIND, BIG, 3.0), (KIND, BIG, 1.0)]
