"""How the queue stands: depth and age from the view, throughput and waits from what the feed told lately."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import Priority
from kerf.jobs.v1.queue_pb2 import QueueGroup, QueueStats
from kerf_core.jobs.dispatch import SlotBoard
from kerf_core.jobs.feed import EventFeed
from kerf_core.jobs.log import now
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.view import JobView, Row
from kerf_core.stages import TenantId

_WINDOW_SECONDS = 60.0
_SPARE = 64
_NEW_WEIGHT = 0.1
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


class _Place(NamedTuple):
    """What an open job is counted as; `ready_ns` is None while its stage runs."""

    stage: _Stage
    ready_ns: int | None


@dataclass
class _Standing:
    """Stages that are counted by the same, now."""

    stage: _Stage
    running: int = 0
    waiting: int = 0
    by_age: list[tuple[int, JobRef]] = field(default_factory=list)
    """A heap of those that wait; who left stays in it until it comes to the top, or there are too many."""

    def add(self, ref: JobRef, place: _Place) -> None:
        if place.ready_ns is None:
            self.running += 1
        else:
            self.waiting += 1
            heapq.heappush(self.by_age, (place.ready_ns, ref))

    def remove(self, place: _Place, places: Mapping[JobRef, _Place]) -> None:
        """`places`: those that are still counted."""
        if place.ready_ns is None:
            self.running -= 1
            return
        self.waiting -= 1
        if len(self.by_age) > 2 * self.waiting + _SPARE:
            self.by_age = list({entry for entry in self.by_age if self._waits(entry, places)})
            heapq.heapify(self.by_age)

    def oldest_ready_ns(self, places: Mapping[JobRef, _Place]) -> int:
        """When the one that waits longest became ready; one must wait."""
        while not self._waits(self.by_age[0], places):
            heapq.heappop(self.by_age)
        return self.by_age[0][0]

    def is_empty(self) -> bool:
        return not self.running and not self.waiting

    def _waits(self, entry: tuple[int, JobRef], places: Mapping[JobRef, _Place]) -> bool:
        ready_ns, ref = entry
        return places.get(ref) == _Place(self.stage, ready_ns)


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
        self._board = board
        self._clock = clock
        self._lately: deque[_Happened] = deque()
        self._standing: dict[_Stage, _Standing] = {}
        self._places: dict[JobRef, _Place] = {}
        self._mean_seconds: dict[str, float] = {}
        feed.listen(self._entry)
        view.on_change(self._row)

    def mean_seconds(self, kind: str) -> float | None:
        """From start to end of the stages of a kind that completed lately; None if none was heard of."""
        return self._mean_seconds.get(kind)

    def pressure(self, kind: str) -> tuple[int, int, list[float]]:
        """For one kind: stages that wait, free slots, and the waits in seconds of those that started lately."""
        self._forget()
        waiting = sum(standing.waiting for stage, standing in self._standing.items() if stage.kind == kind)
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
        for stage, standing in self._standing.items():
            if tenant in (None, stage.tenant):
                for one in _groups(sums, stage):
                    one.running += standing.running
                    one.waiting += standing.waiting
                    if standing.waiting:
                        waited_seconds = now_seconds - standing.oldest_ready_ns(self._places) / 1e9
                        one.oldest_wait_seconds = max(one.oldest_wait_seconds, waited_seconds)
        self._forget()
        for happened in self._lately:
            if tenant in (None, happened.stage.tenant):
                for one in _groups(sums, happened.stage):
                    if happened.waited_seconds is None:
                        one.completed += 1
                    else:
                        one.waits.append(happened.waited_seconds)
        return self._message(sums)

    def _row(self, row: Row) -> None:
        was = self._places.pop(row.ref, None)
        if was is not None:
            self._standing[was.stage].remove(was, self._places)
            if self._standing[was.stage].is_empty():
                del self._standing[was.stage]
        if not row.ended:
            head = row.head
            ready_ns = None if head.fence else head.stage_ready_time.ToNanoseconds()
            place = self._places[row.ref] = _Place(_stage_of(row.ref, head, head.stage), ready_ns)
            self._standing.setdefault(place.stage, _Standing(place.stage)).add(row.ref, place)

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
            stage = _stage_of(ref, event.head, index)
            self._lately.append(_Happened(at, stage, None))
            completed = event.stage_completed if body == "stage_completed" else event.succeeded.last_stage
            self._learn(stage.kind, completed.timing.computed_seconds)
        self._forget()

    def _learn(self, kind: str, seconds: float) -> None:
        if seconds >= 0:
            mean = self._mean_seconds.get(kind, seconds)
            self._mean_seconds[kind] = mean + _NEW_WEIGHT * (seconds - mean)

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
