"""The stages of one kind that wait to be dispatched. Choosing among 100,000 costs hardly more than among ten."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from kerf.jobs.v1.job_pb2 import Priority
from kerf_core.jobs.ids import SortedIds
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import Row
from kerf_core.stages import JobId, TenantId

_RANK = {Priority.PRIORITY_HIGH: 1, Priority.PRIORITY_LOW: 3}
_NORMAL = 2
_NEVER_NS = 1 << 62
_SPARE = 64


class _Place(NamedTuple):
    """An entry of a heap; `number` tells entries of equal keys apart."""

    key: tuple[int, ...]
    job: JobId
    number: int
    row: Row


@dataclass
class _Line:
    """One tenant's stages that may go at once."""

    by_order: list[_Place] = field(default_factory=list)
    """HIGH before NORMAL before LOW, the earlier deadline first, then the longer wait."""
    by_age: list[_Place] = field(default_factory=list)
    live: int = 0


class WaitingLine:
    """Stages of one kind that wait, at most one of each job. Not for several threads.

    Rows that leave stay in the heaps until they come to the top, or are too many.
    """

    def __init__(self) -> None:
        self._rows: dict[JobRef, Row] = {}
        self._jobs: SortedIds[tuple[JobId, TenantId]] = SortedIds()
        self._own_jobs: dict[TenantId, SortedIds[JobId]] = {}
        self._lines: dict[TenantId, _Line] = {}
        self._delayed: list[_Place] = []
        self._delayed_refs: set[JobRef] = set()
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, ref: JobRef) -> bool:
        return ref in self._rows

    def add(self, row: Row, now_ns: int) -> None:
        """Let a stage wait, in place of what its job had waiting here."""
        self.discard(row.ref)
        self._rows[row.ref] = row
        self._jobs.add((row.ref.job, row.ref.tenant))
        self._own_jobs.setdefault(row.ref.tenant, SortedIds()).add(row.ref.job)
        retry_ns = row.head.retry_at.ToNanoseconds() if row.head.HasField("retry_at") else 0
        if retry_ns > now_ns:
            self._delayed_refs.add(row.ref)
            heapq.heappush(self._delayed, self._place((retry_ns,), row))
        else:
            self._line_up(row)

    def discard(self, ref: JobRef) -> None:
        """Forget what the job has waiting here, if anything."""
        row = self._rows.pop(ref, None)
        if row is None:
            return
        self._jobs.discard((ref.job, ref.tenant))
        own = self._own_jobs[ref.tenant]
        own.discard(ref.job)
        if not own:
            del self._own_jobs[ref.tenant]
        if ref in self._delayed_refs:
            self._delayed_refs.remove(ref)
        else:
            self._left(ref.tenant)

    def before(self, job: JobId) -> int:
        """How many jobs wait that are older than this one."""
        return self._jobs.count_before((job, TenantId("")))

    def fairly_before(self, ref: JobRef) -> int:
        """How many stages go before this job's if tenants take turns and each tenant's go in the order of their ids."""
        own = self._own_jobs.get(ref.tenant)
        own_before = own.count_before(ref.job) if own is not None else 0
        others = (len(jobs) for tenant, jobs in self._own_jobs.items() if tenant != ref.tenant)
        return own_before + sum(min(waiting, own_before + 1) for waiting in others)

    def next_retry_ns(self) -> int | None:
        """When the first stage that may not go yet may; None if there is none."""
        while self._delayed and not self._waits(self._delayed[0]):
            heapq.heappop(self._delayed)
        return self._delayed[0].key[0] if self._delayed else None

    def admit(self, now_ns: int) -> None:
        """Let stages go whose time has come."""
        while (due_ns := self.next_retry_ns()) is not None and due_ns <= now_ns:
            row = heapq.heappop(self._delayed).row
            self._delayed_refs.remove(row.ref)
            self._line_up(row)

    def tenants(self) -> Collection[TenantId]:
        """Tenants with a stage that may go at once."""
        return self._lines.keys()

    def take(self, tenant: TenantId, late_before_ns: int) -> Row:
        """Take the tenant's next stage out of the line: one that was ready before `late_before_ns`, else by order.

        Raises LookupError if it has none.
        """
        line = self._lines[tenant]
        self._skip_gone(line.by_age)
        oldest = line.by_age[0]
        if oldest.key[0] >= late_before_ns:
            self._skip_gone(line.by_order)
            oldest = line.by_order[0]
        self.discard(oldest.row.ref)
        return oldest.row

    def _place(self, key: tuple[int, ...], row: Row) -> _Place:
        return _Place(key, row.ref.job, next(self._numbers), row)

    def _waits(self, place: _Place) -> bool:
        return self._rows.get(place.row.ref) is place.row

    def _skip_gone(self, heap: list[_Place]) -> None:
        while not self._waits(heap[0]):
            heapq.heappop(heap)

    def _line_up(self, row: Row) -> None:
        line = self._lines.setdefault(row.ref.tenant, _Line())
        head = row.head
        ready_ns = head.stage_ready_time.ToNanoseconds()
        deadline_ns = head.deadline.ToNanoseconds() if head.HasField("deadline") else _NEVER_NS
        rank = _RANK.get(head.priority, _NORMAL)
        heapq.heappush(line.by_order, self._place((rank, deadline_ns, ready_ns), row))
        heapq.heappush(line.by_age, self._place((ready_ns,), row))
        line.live += 1

    def _left(self, tenant: TenantId) -> None:
        line = self._lines[tenant]
        line.live -= 1
        if line.live == 0:
            del self._lines[tenant]
            return
        for heap in (line.by_order, line.by_age):
            if len(heap) > 2 * line.live + _SPARE:
                heap[:] = [place for place in heap if self._waits(place)]
                heapq.heapify(heap)
