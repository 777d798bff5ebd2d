"""How the queue stands: depth and age from the view, throughput and waits from what the feed told lately."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import Priority
from kerf.jobs.v1.queue_pb2 import QueueGroup, QueueStats
from kerf_core.jobs.dispatch import SlotBoard
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.log import now
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import JobView
from kerf_core.stages import TenantId

_WINDOW_SECONDS = 60.0
_PRIORITIES = {Priority.PRIORITY_HIGH: "high", Priority.PRIORITY_LOW: "low"}


@dataclass(frozen=True)
class _Stage:
    """What a stage is counted by."""

    tenant: TenantId
    kind: str
    priority: str


@dataclass(frozen=True)
class _Happened:
    """A stage that started (with its wait) or completed (None)."""

    at: float
    stage: _Stage
    waited_seconds: float | None


@dataclass
class _Sum:
    """Figures of one group."""

    waiting: int = 0
    running: int = 0
    oldest_wait_seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    completed: int = 0

    def message(self, key: str) -> QueueGroup:
        return QueueGroup(
            key=key,
            waiting=self.waiting,
            running=self.running,
            oldest_wait_seconds=self.oldest_wait_seconds,
            started_last_minute=len(self.waits),
            completed_last_minute=self.completed,
            mean_wait_seconds=sum(self.waits) / len(self.waits) if self.waits else -1.0,
        )


class QueueBook:
    """Counts what all logs tell."""

    def __init__(
        self, feed: EventFeed, view: JobView, board: SlotBoard, clock: Callable[[], float] = time.time
    ) -> None:
        self._view = view
        self._board = board
        self._clock = clock
        self._lately: deque[_Happened] = deque()
        feed.listen(self._entry)

    def pressure(self, kind: str) -> tuple[int, int, list[float]]:
        """For one kind: stages that wait, free slots, and the waits in seconds of those that started lately."""
        self._forget()
        waiting = sum(1 for row in self._view.open_rows() if row.head.fence == 0 and row.kind == kind)
        waits = [
            happened.waited_seconds
            for happened in self._lately
            if happened.stage.kind == kind and happened.waited_seconds is not None
        ]
        return waiting, self._board.free(kind), waits

    def stats(self, tenant: TenantId | None) -> QueueStats:
        """The figures of one tenant, or of all (None)."""
        sums: dict[tuple[str, str], _Sum] = defaultdict(_Sum)
        sums["total", ""]  # there even if nothing is
        now_seconds = self._clock()
        for row in self._view.open_rows():
            if tenant in (None, row.ref.tenant):
                for one in _groups(sums, _stage_of(row.ref, row.head, row.head.stage)):
                    one.running += row.head.fence != 0
                    if row.head.fence == 0:
                        one.waiting += 1
                        waited = now_seconds - row.head.stage_ready_time.ToNanoseconds() / 1e9
                        one.oldest_wait_seconds = max(one.oldest_wait_seconds, waited)
        self._forget()
        for happened in self._lately:
            if tenant in (None, happened.stage.tenant):
                for one in _groups(sums, happened.stage):
                    if happened.waited_seconds is None:
                        one.completed += 1
                    else:
                        one.waits.append(happened.waited_seconds)
        return self._message(sums)

    def _entry(self, ref: JobRef, event: JobEvent) -> None:
        at = event.time.ToNanoseconds() / 1e9
        if at < self._clock() - _WINDOW_SECONDS:
            return  # of before this gateway started
        body = event.WhichOneof("body")
        if body == "stage_started" and event.attempt == 1:
            waited = at - event.head.stage_ready_time.ToNanoseconds() / 1e9
            self._lately.append(_Happened(at, _stage_of(ref, event.head, event.head.stage), max(0.0, waited)))
        elif body in ("stage_completed", "succeeded"):
            index = event.head.stage - (body == "stage_completed")  # the head is one stage further then
            self._lately.append(_Happened(at, _stage_of(ref, event.head, index), None))
        self._forget()

    def _message(self, sums: dict[tuple[str, str], _Sum]) -> QueueStats:
        def listed(by: str) -> list[QueueGroup]:
            return [one.message(key) for (group, key), one in sorted(sums.items()) if group == by]

        return QueueStats(
            time=now(),
            total=sums["total", ""].message(""),
            kinds=listed("kind"),
            priorities=listed("priority"),
            tenants=listed("tenant"),
            free_slots={kind: self._board.free(kind) for kind in self._board.kinds()},
        )

    def _forget(self) -> None:
        horizon = self._clock() - _WINDOW_SECONDS
        while self._lately and self._lately[0].at < horizon:
            self._lately.popleft()


def _stage_of(ref: JobRef, head: JobHead, index: int) -> _Stage:
    return _Stage(ref.tenant, head.kinds[index], _PRIORITIES.get(head.priority, "normal"))


def _groups(sums: dict[tuple[str, str], _Sum], stage: _Stage) -> Iterable[_Sum]:
    yield sums["total", ""]
    yield sums["kind", stage.kind]
    yield sums["priority", stage.priority]
    yield sums["tenant", stage.tenant]
