"""A light tenant beside a flood: its slot is kept for it, at a bounded price. Simulated time, the real choice."""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from kerf.jobs.v1.event_pb2 import JobHead
from kerf_core.jobs.kept import KeptSlots
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.policy import FairShare
from kerf_core.jobs.view import Row
from kerf_core.jobs.waiting import WaitingLine
from kerf_core.stages import JobId, TenantId

KIND = "noop"
LIGHT, FLOOD = TenantId("light"), TenantId("flood")
SLOTS, STAGE_SECONDS = 4, 0.1
SECOND = 1_000_000_000


@dataclass
class World:
    """Four slots, tenants who each keep some jobs open, and the dispatcher's choice between them."""

    policy: FairShare
    open_jobs: dict[TenantId, int]
    think_seconds: float = 0.006
    """From the end of a job until its tenant's next one waits."""
    seconds: float = 20.0
    latencies: dict[TenantId, list[float]] = field(default_factory=dict)
    waiting: WaitingLine = field(default_factory=WaitingLine)
    under_way: Counter[TenantId] = field(default_factory=Counter)
    free: int = SLOTS
    now: float = 0.0

    def __post_init__(self) -> None:
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.chance = random.Random(7)
        self.accepted: dict[JobRef, float] = {}

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds * self.chance.uniform(0.7, 1.5), next(self.numbers), act))

    def run(self) -> World:
        for tenant, jobs in self.open_jobs.items():
            self.latencies[tenant] = []
            for _ in range(jobs):
                self.later(0.05, lambda tenant=tenant: self.arrive(tenant))  # type: ignore[misc]  # bound early
        while self.now < self.seconds:
            self.now, _, act = heapq.heappop(self.events)
            act()
        return self

    def arrive(self, tenant: TenantId) -> None:
        ref = JobRef(tenant, JobId(f"{next(self.numbers):09d}"))
        self.accepted[ref] = self.now
        head = JobHead(kinds=[KIND])
        head.stage_ready_time.FromNanoseconds(self.now_ns)
        self.waiting.add(Row(ref, head, 1, False, self.now_ns), self.now_ns)
        self.policy.came(KIND, tenant, self.now_ns)
        self.later(0.002, self.look)

    @property
    def now_ns(self) -> int:
        return int(self.now * SECOND)

    def look(self) -> None:
        for row in self.policy.choose(KIND, self.waiting, self.under_way, self.free, self.now_ns):
            self.free -= 1
            self.under_way[row.ref.tenant] += 1
            starting = self.chance.uniform(0.003, 0.006)
            heapq.heappush(
                self.events,
                (self.now + starting + STAGE_SECONDS, next(self.numbers), lambda ref=row.ref: self.end(ref)),  # type: ignore[misc]  # bound early
            )
        given_up_ns = self.policy.next_given_up_ns(KIND, self.now_ns)
        if given_up_ns is not None:
            heapq.heappush(self.events, (max(self.now, given_up_ns / SECOND) + 1e-6, next(self.numbers), self.look))

    def end(self, ref: JobRef) -> None:
        tenant = ref.tenant
        self.latencies[tenant].append(self.now - self.accepted.pop(ref))
        self.under_way[tenant] -= 1
        self.policy.spent(KIND, tenant, STAGE_SECONDS)
        if tenant not in self.waiting.tenants():
            self.policy.left(KIND, tenant, self.now_ns)
        self.later(0.002, self.freed)
        self.later(self.think_seconds, lambda: self.arrive(tenant))

    def freed(self) -> None:
        self.free += 1
        self.look()

    def p95(self, tenant: TenantId) -> float:
        return statistics.quantiles(self.latencies[tenant], n=20, method="inclusive")[-1]

    @property
    def jobs_per_second(self) -> float:
        return sum(len(latencies) for latencies in self.latencies.values()) / self.seconds


def test_a_light_tenant_beside_a_flood_is_as_quick_as_alone_and_costs_little() -> None:
    alone = World(FairShare(), {LIGHT: 2}).run().p95(LIGHT)
    flood_alone = World(FairShare(), {FLOOD: 20}).run().jobs_per_second
    both = World(FairShare(), {LIGHT: 2, FLOOD: 20}).run()
    assert both.p95(LIGHT) <= 1.5 * alone
    assert both.jobs_per_second >= 0.95 * flood_alone


def test_without_kept_slots_it_waits_for_the_stages_of_the_flood() -> None:
    alone = World(FairShare(kept_idle_share=0), {LIGHT: 2}).run().p95(LIGHT)
    both = World(FairShare(kept_idle_share=0), {LIGHT: 2, FLOOD: 20}).run()
    assert both.p95(LIGHT) > 1.5 * alone  # else the world above shows nothing


@pytest.mark.parametrize("think_seconds", [0.012, 0.016, 0.1], ids=["slow", "on the edge", "too slow"])
def test_keeping_slots_never_costs_more_than_is_allowed(think_seconds: float) -> None:
    flood_alone = World(FairShare(), {FLOOD: 20}).run().jobs_per_second
    both = World(FairShare(), {LIGHT: 2, FLOOD: 20}, think_seconds).run()
    assert both.jobs_per_second >= 0.94 * flood_alone


def test_a_slot_is_kept_for_who_comes_back_and_not_for_who_does_not() -> None:
    slots = KeptSlots(idle_share=1.0)
    slots.worked(100)
    for moment in range(8):  # LIGHT comes back after 10 ms, FLOOD after 300
        slots.left(LIGHT, 1.0, moment * SECOND)
        slots.left(FLOOD, 1.0, moment * SECOND)
        slots.came(LIGHT, moment * SECOND + SECOND // 100)
        slots.came(FLOOD, moment * SECOND + 3 * SECOND // 10)
    slots.left(LIGHT, 1.0, 8 * SECOND)
    slots.left(LIGHT, 1.0, 8 * SECOND)
    slots.left(FLOOD, 1.0, 8 * SECOND)
    assert slots.kept(8 * SECOND) == {LIGHT: 2}
    slots.came(LIGHT, 8 * SECOND + 1)
    assert slots.kept(8 * SECOND + 1) == {LIGHT: 1}
    assert slots.kept(8 * SECOND + SECOND // 5) == {}  # it did not come: nobody waits for it for ever


def test_a_place_is_left_empty_only_while_others_wait_and_is_given_up_in_time() -> None:
    policy = FairShare(kept_idle_share=1.0)
    for moment in range(8):
        policy.spent(KIND, LIGHT, 1.0)
        policy.left(KIND, LIGHT, moment * SECOND)
        policy.came(KIND, LIGHT, moment * SECOND + 1)
    policy.left(KIND, LIGHT, 9 * SECOND)
    waiting = WaitingLine()
    assert policy.choose(KIND, waiting, {}, 1, 9 * SECOND) == []
    assert policy.next_given_up_ns(KIND, 9 * SECOND) is None  # nobody else wants it
    flooding = Row(JobRef(FLOOD, JobId("1")), JobHead(kinds=[KIND]), 1, False, 0)
    policy.spent(KIND, FLOOD, 20.0)
    waiting.add(flooding, 0)
    assert policy.choose(KIND, waiting, {FLOOD: 1}, 1, 9 * SECOND) == []
    given_up_ns = policy.next_given_up_ns(KIND, 9 * SECOND)
    assert given_up_ns is not None
    assert 9 * SECOND < given_up_ns < 10 * SECOND
    assert policy.choose(KIND, waiting, {FLOOD: 1}, 1, given_up_ns) == [flooding]


def test_two_places_are_enough_for_both() -> None:
    policy = FairShare(kept_idle_share=1.0)
    for moment in range(8):
        policy.spent(KIND, LIGHT, 1.0)
        policy.left(KIND, LIGHT, moment * SECOND)
        policy.came(KIND, LIGHT, moment * SECOND + 1)
    policy.left(KIND, LIGHT, 9 * SECOND)
    waiting = WaitingLine()
    flooding = Row(JobRef(FLOOD, JobId("1")), JobHead(kinds=[KIND]), 1, False, 0)
    waiting.add(flooding, 0)
    assert policy.choose(KIND, waiting, {}, 2, 9 * SECOND) == [flooding]
    assert policy.next_given_up_ns(KIND, 9 * SECOND) is None  # the second place idles because nobody wants it


def test_stages_are_queued_ahead_where_they_are_short() -> None:
    policy = FairShare(queue_ahead_below=timedelta(seconds=0.05))
    assert not policy.queues_ahead(KIND)  # not measured yet
    for _ in range(60):
        policy.spent(KIND, LIGHT, 0.01)
    assert policy.queues_ahead(KIND)
    for _ in range(60):
        policy.spent(KIND, LIGHT, 0.1)
    assert not policy.queues_ahead(KIND)
