"""The heads of all jobs in memory: lists, counts, and what waits. Derived from the logs and rebuilt at every start."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.names import JobRef
from kerf_core.stages import JobId, TenantId


@dataclass(frozen=True)
class Row:
    """What the view keeps of a job: its last entry's head, and where the log stood."""

    ref: JobRef
    head: JobHead
    sequence: int
    attempts_exhausted: bool
    updated_ns: int

    @property
    def kind(self) -> str:
        """Kind of worker that the current stage needs."""
        return str(self.head.kinds[self.head.stage])

    @property
    def ended(self) -> bool:
        """True after the terminal entry."""
        return self.head.state in TERMINAL


class JobView:
    """Follows the feed."""

    def __init__(self, feed: EventFeed) -> None:
        self._rows: dict[JobRef, Row] = {}
        self._open: dict[JobRef, Row] = {}
        self._ids: dict[TenantId, list[JobId]] = defaultdict(list)
        self._dead: list[tuple[JobId, TenantId]] = []
        self._open_counts: Counter[TenantId] = Counter()
        self._batches: dict[tuple[TenantId, str], set[JobRef]] = defaultdict(set)
        self._changed: list[Callable[[Row], None]] = []
        feed.listen(self._entry)

    def on_change(self, listener: Callable[[Row], None]) -> None:
        """Call `listener` with every new row."""
        self._changed.append(listener)

    def get(self, ref: JobRef) -> Row | None:
        """The job's row."""
        return self._rows.get(ref)

    def open_rows(self) -> Iterator[Row]:
        """Jobs without a terminal entry, oldest acceptance first."""
        return iter(sorted(self._open.values(), key=lambda row: row.ref.job))

    def open_count(self, tenant: TenantId) -> int:
        """The tenant's jobs without a terminal entry."""
        return self._open_counts[tenant]

    def ended_before(self, time_ns: int) -> list[JobRef]:
        """Jobs whose terminal entry is older than that."""
        return [ref for ref, row in self._rows.items() if row.ended and row.updated_ns < time_ns]

    def forget(self, ref: JobRef) -> None:
        """Drop an ended job, whose log is gone."""
        row = self._rows.pop(ref)
        self._ids[ref.tenant].remove(ref.job)
        self._batches.get((ref.tenant, row.head.batch.name), set()).discard(ref)
        if row.attempts_exhausted:
            self._dead.remove((ref.job, ref.tenant))

    def batch(self, tenant: TenantId, name: str) -> list[Row]:
        """The jobs of a batch that are known here, in their order."""
        rows = [self._rows[ref] for ref in self._batches.get((tenant, name), ())]
        return sorted(rows, key=lambda row: row.head.batch.index)

    def newest_first(self, tenant: TenantId, before: JobId | None = None) -> Iterator[Row]:
        """The tenant's jobs, newest first, those older than `before` only."""
        ids = self._ids.get(tenant, [])
        position = len(ids) if before is None else bisect_left(ids, before)
        for index in range(position - 1, -1, -1):
            yield self._rows[JobRef(tenant, ids[index])]

    def dead_letters(self, before: JobId | None = None) -> Iterator[Row]:
        """Jobs of all tenants whose attempts were used up, newest first."""
        for job, tenant in reversed(self._dead):
            if before is None or job < before:
                yield self._rows[JobRef(tenant, job)]

    def _entry(self, ref: JobRef, event: JobEvent) -> None:
        known = self._rows.get(ref)
        if known is not None and known.sequence >= event.sequence:
            return
        row = Row(
            ref,
            event.head,
            event.sequence,
            event.WhichOneof("body") == "failed" and event.failed.attempts_exhausted,
            event.time.ToNanoseconds(),
        )
        if known is None:
            insort(self._ids[ref.tenant], ref.job)
            if row.head.HasField("batch"):
                self._batches[ref.tenant, row.head.batch.name].add(ref)
        self._rows[ref] = row
        was_open = ref in self._open
        self._open_counts[ref.tenant] += (not row.ended) - was_open
        if row.ended:
            self._open.pop(ref, None)
            if row.attempts_exhausted:
                insort(self._dead, (ref.job, ref.tenant))
        else:
            self._open[ref] = row
        for listener in self._changed:
            listener(row)
