"""Which waiting stage goes next: fair between tenants by what stages cost, then by priority inside a tenant. Pure.

Start-time fair queueing (Goyal, Vin and Cheng 1996), charged after the fact: what a stage costs is known only once it
ended, so that what is under way counts with the mean of its kind until then.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.jobs.kept import KeptSlots
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import Row
from kerf_core.jobs.waiting import WaitingLine
from kerf_core.stages import TenantId

_ENDS_STAGE = frozenset({"stage_completed", "succeeded"})
_ENDS_ATTEMPT = _ENDS_STAGE | {"stage_started", "attempt_lost", "failed", "cancelled"}
_NEW_WEIGHT = 0.1
_FIRST_GUESS_SECONDS = 1.0


@dataclass(frozen=True)
class Share:
    """What a tenant may have of the workers."""

    weight: float = 1.0
    """Seconds of work beside a tenant of weight 1, while both have work waiting; above 0."""
    max_running: int = 0
    """Stages dispatched or running at once; 0 = no limit."""


class Policy(Protocol):
    """Chooses among waiting stages of one kind, and hears what stages cost."""

    def choose(
        self, kind: str, waiting: WaitingLine, under_way: Mapping[TenantId, int], places: int, now_ns: int
    ) -> Sequence[Row]:
        """Take at most `places` rows out of the line, the first to go first.

        `under_way`: stages of the kind dispatched or running.
        """
        ...

    def allows(self, tenant: TenantId, under_way: int) -> bool:
        """Whether a tenant with so many stages dispatched or running may have one more."""
        ...

    def spent(self, kind: str, tenant: TenantId, seconds: float) -> None:
        """A stage of the tenant took so long."""
        ...

    def queues_ahead(self, kind: str) -> bool:
        """Whether a worker should find a second stage queued for each of its free slots.

        It never idles for a round trip then, but what is queued ahead goes before whoever has more right to the slot.
        """
        ...

    def left(self, kind: str, tenant: TenantId, now_ns: int) -> None:
        """A stage of the tenant left its slot, and none of the tenant's waits."""
        ...

    def came(self, kind: str, tenant: TenantId, now_ns: int) -> None:
        """A stage of the tenant has just begun to wait."""
        ...

    def kept(self, kind: str, now_ns: int) -> Mapping[TenantId, int]:
        """Slots that are kept free for a moment, for whom."""
        ...

    def next_given_up_ns(self, kind: str, now_ns: int) -> int | None:
        """When `choose` may find a place that it has left empty for somebody; None if it has left none."""
        ...


@dataclass
class _KindBook:
    """What one kind of worker did for whom."""

    kept: KeptSlots
    used: dict[TenantId, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds by weight. Only differences count."""
    mean_seconds: float = _FIRST_GUESS_SECONDS
    active: frozenset[TenantId] = frozenset()


class FairShare:
    """Lets every tenant that has work waiting have its share of each kind of worker.

    Time that a tenant did not use is not saved up for it, but a slot that it left is kept for a moment (see KeptSlots).
    Inside a tenant: HIGH before NORMAL before LOW, the earlier deadline first, then the longer wait; what waited longer
    than `starvation_bound` goes before all of them.
    """

    def __init__(
        self,
        starvation_bound: timedelta = timedelta(minutes=5),
        queue_ahead_below: timedelta = timedelta(seconds=0.08),
        kept_idle_share: float = 0.04,
    ) -> None:
        """`queue_ahead_below`: mean time of a stage; `kept_idle_share`: see KeptSlots."""
        self.shares: Mapping[TenantId, Share] = {}
        """By tenant; who is not in it has the default."""
        self.default = Share()
        self._bound_ns = int(starvation_bound.total_seconds() * 1e9)
        self._ahead_below_seconds = queue_ahead_below.total_seconds()
        self._books: dict[str, _KindBook] = defaultdict(lambda: _KindBook(KeptSlots(kept_idle_share)))

    def choose(
        self, kind: str, waiting: WaitingLine, under_way: Mapping[TenantId, int], places: int, now_ns: int
    ) -> Sequence[Row]:
        """See Policy. A place that is kept for a tenant which has more right to it than those who wait stays empty."""
        book = self._books[kind]
        waiting.admit(now_ns)
        kept = {tenant: slots for tenant, slots in self.kept(kind, now_ns).items() if tenant not in waiting.tenants()}
        tenants = frozenset(waiting.tenants())
        self._welcome(book, tenants | kept.keys() | {tenant for tenant, count in under_way.items() if count})
        counts = Counter(under_way)
        line = [(self._virtual(book, tenant, counts[tenant]), tenant) for tenant in tenants | kept.keys()]
        heapq.heapify(line)
        chosen: list[Row] = []
        held: Counter[TenantId] = Counter()
        while tenants and line and len(chosen) + held.total() < places:
            _, tenant = heapq.heappop(line)
            if not self.allows(tenant, counts[tenant]):
                continue
            if tenant in kept:
                held[tenant] += 1
                more = held[tenant] < kept[tenant]
            else:
                chosen.append(waiting.take(tenant, now_ns - self._bound_ns))
                more = tenant in waiting.tenants()
            counts[tenant] += 1
            if more:
                heapq.heappush(line, (self._virtual(book, tenant, counts[tenant]), tenant))
        if waiting.tenants():  # else those places would be empty anyway
            for tenant, slots in held.items():
                book.kept.hold(tenant, slots)
        return chosen

    def allows(self, tenant: TenantId, under_way: int) -> bool:
        """See Policy."""
        limit = self._share(tenant).max_running
        return limit == 0 or under_way < limit

    def spent(self, kind: str, tenant: TenantId, seconds: float) -> None:
        """See Policy."""
        book = self._books[kind]
        book.used[tenant] += seconds / self._share(tenant).weight
        book.mean_seconds += _NEW_WEIGHT * (seconds - book.mean_seconds)
        book.kept.worked(seconds)

    def queues_ahead(self, kind: str) -> bool:
        """See Policy: where stages are so short that the round trip counts."""
        return self._books[kind].mean_seconds < self._ahead_below_seconds

    def left(self, kind: str, tenant: TenantId, now_ns: int) -> None:
        """See Policy."""
        book = self._books[kind]
        book.kept.left(tenant, book.mean_seconds, now_ns)

    def came(self, kind: str, tenant: TenantId, now_ns: int) -> None:
        """See Policy."""
        self._books[kind].kept.came(tenant, now_ns)

    def kept(self, kind: str, now_ns: int) -> Mapping[TenantId, int]:
        """See Policy."""
        return {} if self.queues_ahead(kind) else self._books[kind].kept.kept(now_ns)

    def next_given_up_ns(self, kind: str, now_ns: int) -> int | None:
        """See Policy."""
        return self._books[kind].kept.next_given_up_ns(now_ns)

    def _share(self, tenant: TenantId) -> Share:
        return self.shares.get(tenant, self.default)

    def _virtual(self, book: _KindBook, tenant: TenantId, under_way: int) -> float:
        return book.used[tenant] + under_way * book.mean_seconds / self._share(tenant).weight

    def _welcome(self, book: _KindBook, active: frozenset[TenantId]) -> None:
        """Whoever comes back from idleness begins where those who stayed are; who is gone is forgotten in time."""
        stayed = active & book.active
        if stayed:
            level = min(book.used[tenant] for tenant in stayed)
            for tenant in active - stayed:
                book.used[tenant] = max(book.used[tenant], level)
            # A tenant below the level would be lifted to it on its return: it need not be remembered.
            for tenant in [tenant for tenant, used in book.used.items() if used <= level and tenant not in active]:
                del book.used[tenant]
        book.active = active


class CostMeter:
    """Tells a policy what stages cost, from the entries of all logs."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._started: dict[JobRef, tuple[str, int]] = {}

    def entry(self, ref: JobRef, event: JobEvent) -> None:
        """Hear one entry. Device seconds count where the worker measured them, else the time that it took."""
        body = event.WhichOneof("body")
        if body in _ENDS_ATTEMPT and ref in self._started:
            kind, began_ns = self._started.pop(ref)
            seconds = max(0.0, (event.time.ToNanoseconds() - began_ns) / 1e9)
            timing = (event.stage_completed if body == "stage_completed" else event.succeeded.last_stage).timing
            if body in _ENDS_STAGE and timing.device_seconds >= 0:
                seconds = timing.device_seconds
            self._policy.spent(kind, ref.tenant, seconds)
        if body == "stage_started":
            self._started[ref] = event.head.kinds[event.head.stage], event.time.ToNanoseconds()
