"""Where the current stage of every open job stands: it waits, is queued, or runs. Pure; nothing walks over all jobs.

Derived from the rows of the view. What the work queue holds is told by whoever looks at it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import Row
from kerf_core.jobs.waiting import WaitingLine
from kerf_core.stages import TenantId

_Key = TypeVar("_Key")
_SPARE = 64


@dataclass(frozen=True)
class Change:
    """What a new row meant for the dispatcher."""

    look: bool = False
    """There may be something to do now."""
    left: str | None = None
    """Kind of worker whose slot the job has just left for good."""
    came: str | None = None
    """Kind of worker that a stage of the job has just begun to wait for."""


@dataclass(frozen=True)
class Repairs:
    """What a sweep found that the dispatcher must put right."""

    overdue: list[Row]
    """Their deadline has come."""
    unanswered: list[Row]
    """Their worker was asked to stop and did not answer."""
    silent: list[Row]
    """An attempt is open, but its message is gone (a stale ack can delete it): let the queue prove it lost."""


class _Queued(NamedTuple):
    kind: str
    stage: int


@dataclass
class _Deadlines:
    """Open jobs by their deadline."""

    due: list[tuple[int, JobRef]] = field(default_factory=list)
    """A heap of (deadline in ns, job); jobs that ended before theirs stay until it comes, or they are too many."""
    timed: set[JobRef] = field(default_factory=set)
    overdue: set[JobRef] = field(default_factory=set)

    def note(self, row: Row) -> bool:
        """Hear a row; True if it brought a new deadline."""
        if row.ended:
            self.timed.discard(row.ref)
            self.overdue.discard(row.ref)
            if len(self.due) > 2 * len(self.timed) + _SPARE:
                self.due = [entry for entry in self.due if entry[1] in self.timed]
                heapq.heapify(self.due)
            return False
        if not row.head.HasField("deadline") or row.ref in self.timed:
            return False
        self.timed.add(row.ref)
        heapq.heappush(self.due, (row.head.deadline.ToNanoseconds(), row.ref))
        return True

    def next_ns(self) -> int | None:
        """When the next one comes."""
        return self.due[0][0] if self.due else None

    def take(self, now_ns: int) -> list[JobRef]:
        """Open jobs whose deadline has come since this was last asked."""
        came = []
        while self.due and self.due[0][0] <= now_ns:
            _, ref = heapq.heappop(self.due)
            if ref in self.timed:
                self.overdue.add(ref)
                came.append(ref)
        return came


class Standing:
    """The dispatcher's books. Not for several threads."""

    def __init__(self, get: Callable[[JobRef], Row | None]) -> None:
        """`get`: the last row of a job."""
        self._get = get
        self.waiting: dict[str, WaitingLine] = defaultdict(WaitingLine)
        """Stages that nobody has queued, by kind."""
        self.under_way: dict[str, Counter[TenantId]] = defaultdict(Counter)
        """Stages queued or running, by kind and tenant."""
        self.deadlines = _Deadlines()
        self._queued: dict[JobRef, _Queued] = {}
        self._queued_at: dict[str, dict[JobRef, int]] = defaultdict(dict)
        self._running: dict[JobRef, Row] = {}
        self._on_workers: dict[str, Counter[str]] = defaultdict(Counter)
        self._cancelling: dict[JobRef, Row] = {}
        self._adrift: set[JobRef] = set()
        """Jobs whose stage was not queued after all, until a sweep lets it wait again."""

    def is_queued(self, ref: JobRef) -> bool:
        """Whether the job's stage is queued, as far as is known here."""
        return ref in self._queued

    def queued_count(self, kind: str, since_ns: int = 0) -> int:
        """Stages of the kind that were queued and have not started; those queued at or after `since_ns`."""
        if not since_ns:
            return len(self._queued_at[kind])
        count = 0
        for at_ns in reversed(self._queued_at[kind].values()):
            if at_ns < since_ns:
                break
            count += 1
        return count

    def on_workers(self, kind: str) -> Mapping[str, int]:
        """Stages that run, by worker, where it is known which runs them."""
        return self._on_workers[kind]

    def row(self, row: Row, now_ns: int) -> Change:
        """Hear of a job's new last entry."""
        ref, head = row.ref, row.head
        look = self.deadlines.note(row)
        ran = self._note_running(row)
        if head.cancel_requested and not row.ended:
            self._cancelling[ref] = row
        else:
            self._cancelling.pop(ref, None)
        known = self._queued.get(ref)
        if known is not None and (row.ended or head.fence != 0 or known.stage != head.stage):
            self._drop(ref)
            known = None
        self._adrift.discard(ref)
        waited = [kind for kind, line in self.waiting.items() if ref in line]
        for kind in waited:
            self.waiting[kind].discard(ref)
        left = ran.kind if ran is not None and (row.ended or head.attempts == 0) and not head.fence else None
        if row.ended:
            return Change(look=True, left=left)  # a slot is about to be free
        if head.fence or head.cancel_requested or known is not None:
            return Change(look, left)
        self.waiting[row.kind].add(row, now_ns)
        return Change(look=True, left=left, came=row.kind if row.kind not in waited else None)

    def queue(self, ref: JobRef, kind: str, stage: int, now_ns: int) -> None:
        """The stage is being queued, or was found queued."""
        self._drop(ref)
        self._adrift.discard(ref)
        self.waiting[kind].discard(ref)
        self._queued[ref] = _Queued(kind, stage)
        self._queued_at[kind][ref] = now_ns
        self.under_way[kind][ref.tenant] += 1

    def not_queued(self, ref: JobRef) -> None:
        """The stage could not be queued, or is no longer; the next sweep lets it wait again if it still has to."""
        if self._drop(ref):
            self._adrift.add(ref)

    def sweep(self, found: Mapping[JobRef, tuple[str, int]], now_ns: int, silence_ns: int) -> Repairs:
        """Compare with what the work queue holds (kind and stage by job); say what must be done about the rest.

        An attempt without a message whose log was silent for `silence_ns` has lost it; a worker that was asked to stop
        has twice as long to answer.
        """
        self.deadlines.take(now_ns)
        for ref in [ref for ref in self._queued if ref not in found]:
            self.not_queued(ref)
        for ref in [ref for ref in self._adrift if ref not in found]:
            self._adrift.discard(ref)
            if (row := self._open(ref)) is not None and not row.head.fence and not row.head.cancel_requested:
                self.waiting[row.kind].add(row, now_ns)
        overdue = [row for ref in self.deadlines.overdue if (row := self._open(ref)) is not None]
        asked = [row for row in self._cancelling.values() if row.updated_ns < now_ns - 2 * silence_ns]
        unanswered = [row for row in asked if row.ref not in self.deadlines.overdue]
        ending = {row.ref for row in (*overdue, *unanswered)}
        for ref, (kind, stage) in found.items():
            if ref not in ending and self._is_unknown_work(ref, stage, now_ns):
                self.queue(ref, kind, stage, now_ns)
        silent = [
            row
            for row in (self._running | self._cancelling).values()
            if row.ref not in found and row.ref not in ending and row.updated_ns < now_ns - silence_ns
        ]
        return Repairs(overdue, unanswered, silent)

    def _is_unknown_work(self, ref: JobRef, stage: int, now_ns: int) -> bool:
        row = self._open(ref)
        if row is None or ref in self._queued or row.head.fence or row.head.stage != stage:
            return False
        # A message that comes again at `retry_at` takes no place until then.
        return row.head.retry_at.ToNanoseconds() <= now_ns

    def _open(self, ref: JobRef) -> Row | None:
        row = self._get(ref)
        return None if row is None or row.ended else row

    def _drop(self, ref: JobRef) -> bool:
        known = self._queued.pop(ref, None)
        if known is None:
            return False
        del self._queued_at[known.kind][ref]
        _take_one(self.under_way[known.kind], ref.tenant)
        return True

    def _note_running(self, row: Row) -> Row | None:
        """Returns the row of the attempt that ran before, if one did."""
        was = self._running.pop(row.ref, None)
        if was is not None:
            _take_one(self.under_way[was.kind], was.ref.tenant)
            _take_one(self._on_workers[was.kind], was.worker)
        if row.head.fence and not row.ended:
            self._running[row.ref] = row
            self.under_way[row.kind][row.ref.tenant] += 1
            self._on_workers[row.kind][row.worker] += 1
        return was


def _take_one(counter: Counter[_Key], key: _Key) -> None:
    """One less; who has none is not remembered."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
