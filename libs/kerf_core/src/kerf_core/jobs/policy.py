"""Which waiting stage goes next: fair between tenants by what stages cost, then by priority inside a tenant. Pure.

Start-time fair queueing (Goyal, Vin and Cheng 1996), charged after the fact: what a stage costs is known only once it
ended, so that what is under way counts with the mean of its kind until then.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from kerf.jobs.v1.event_pb2 import JobEvent
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


@dataclass
class _KindBook:
    """What one kind of worker did for whom."""

    used: dict[TenantId, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds by weight. Only differences count."""
    mean_seconds: float = _FIRST_GUESS_SECONDS
    active: frozenset[TenantId] = frozenset()


class FairShare:
    """Lets every tenant that has work waiting have its share of each kind of worker.

    Time that a tenant did not use is not saved up for it. Inside a tenant: HIGH before NORMAL before LOW, the earlier
    deadline first, then the longer wait; what waited longer than `starvation_bound` goes before all of them.
    """

    def __init__(self, starvation_bound: timedelta = timedelta(minutes=5)) -> None:
        self.shares: Mapping[TenantId, Share] = {}
        """By tenant; who is not in it has the default."""
        self.default = Share()
        self._bound_ns = int(starvation_bound.total_seconds() * 1e9)
        self._books: dict[str, _KindBook] = defaultdict(_KindBook)

    def choose(
        self, kind: str, waiting: WaitingLine, under_way: Mapping[TenantId, int], places: int, now_ns: int
    ) -> Sequence[Row]:
        """See Policy."""
        book = self._books[kind]
        waiting.admit(now_ns)
        tenants = frozenset(waiting.tenants())
        self._welcome(book, tenants | {tenant for tenant, count in under_way.items() if count})
        counts = dict(under_way)
        line = [(self._virtual(book, tenant, counts.get(tenant, 0)), tenant) for tenant in tenants]
        heapq.heapify(line)
        chosen: list[Row] = []
        while line and len(chosen) < places:
            _, tenant = heapq.heappop(line)
            if not self.allows(tenant, counts.get(tenant, 0)):
                continue
            chosen.append(waiting.take(tenant, now_ns - self._bound_ns))
            counts[tenant] = counts.get(tenant, 0) + 1
            if tenant in waiting.tenants():
                heapq.heappush(line, (self._virtual(book, tenant, counts[tenant]), tenant))
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
