"""The heads of all jobs in memory: lists, counts, and what waits. Derived from the logs and rebuilt at every start."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf.jobs.v1.job_service_pb2 import JobFilter
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.ids import SortedIds
from kerf_core.jobs.index import JobIndex
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
    worker: str = ""
    """Who runs the attempt that is open, where its start was heard of."""

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
        self._index = JobIndex()
        self._dead: SortedIds[tuple[JobId, TenantId]] = SortedIds()
        self._ended: SortedIds[tuple[int, JobRef]] = SortedIds()
        """By the time of the terminal entry."""
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

    def open_count(self, tenant: TenantId) -> int:
        """The tenant's jobs without a terminal entry."""
        return self._open_counts[tenant]

    def ended_before(self, time_ns: int) -> list[JobRef]:
        """Jobs whose terminal entry is older than that, the oldest first."""
        return [ref for _, ref in takewhile(lambda ended: ended[0] < time_ns, self._ended)]

    def forget(self, ref: JobRef) -> None:
        """Drop an ended job, whose log is gone."""
        row = self._rows.pop(ref)
        self._index.remove(ref, row.head)
        self._ended.discard((row.updated_ns, ref))
        self._dead.discard((ref.job, ref.tenant))
        if row.head.HasField("batch"):
            place = ref.tenant, row.head.batch.name
            self._batches[place].discard(ref)
            if not self._batches[place]:
                del self._batches[place]

    def batch(self, tenant: TenantId, name: str) -> list[Row]:
        """The jobs of a batch that are known here, in their order."""
        rows = [self._rows[ref] for ref in self._batches.get((tenant, name), ())]
        return sorted(rows, key=lambda row: row.head.batch.index)

    def newest_first(
        self, tenant: TenantId, before: JobId | None = None, wanted: JobFilter | None = None
    ) -> Iterator[Row]:
        """The tenant's jobs that the filter lets through, newest first, those older than `before` only."""
        wanted = wanted or JobFilter()
        for job in self._index.newest_first(tenant, wanted, before):
            row = self._rows[JobRef(tenant, job)]
            if _is_in_time(row.head, wanted):
                yield row

    def dead_letters(self, before: JobId | None = None) -> Iterator[Row]:
        """Jobs of all tenants whose attempts were used up, newest first."""
        found = self._dead.last_before(None if before is None else (before, TenantId("")))
        while found is not None:
            yield self._rows[JobRef(found[1], found[0])]
            found = self._dead.last_before(found)

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
            _worker(known, event),
        )
        if known is None and row.head.HasField("batch"):
            self._batches[ref.tenant, row.head.batch.name].add(ref)
        self._index.put(ref, known.head if known else None, row.head)
        self._rows[ref] = row
        was_open = known is not None and not known.ended
        self._open_counts[ref.tenant] += (not row.ended) - was_open
        if row.ended:
            self._ended.add((row.updated_ns, ref))
            if row.attempts_exhausted:
                self._dead.add((ref.job, ref.tenant))
        for listener in self._changed:
            listener(row)


def _worker(known: Row | None, event: JobEvent) -> str:
    if event.HasField("stage_started"):
        return event.stage_started.worker
    return known.worker if known is not None and known.head.fence == event.head.fence else ""


def _is_in_time(head: JobHead, wanted: JobFilter) -> bool:
    created_ns = head.create_time.ToNanoseconds()
    return (not wanted.HasField("created_after") or created_ns >= wanted.created_after.ToNanoseconds()) and (
        not wanted.HasField("created_before") or created_ns < wanted.created_before.ToNanoseconds()
    )
