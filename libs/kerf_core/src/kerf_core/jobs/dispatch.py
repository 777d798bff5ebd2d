"""Dispatch: which waiting stage goes to the workers next. Priority, fairness and deadlines are decided here only.

Every act is conditional on what is stored, so that any number of dispatchers may act at once; a lease merely keeps
them from doing the same work twice.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from nats.aio.msg import Msg

from kerf.jobs.v1.event_pb2 import Cancelled, Failed, JobEvent
from kerf.runtime.v1.runtime_pb2 import Slots
from kerf_core.bus import Bus, Conflict, OutcomeUnknown
from kerf_core.errors import Code, KerfError, ResourceExhausted
from kerf_core.jobs.fold import IllegalEntry
from kerf_core.jobs.log import JobLog
from kerf_core.jobs.names import JobRef, parse_work
from kerf_core.jobs.policy import Policy
from kerf_core.jobs.view import JobView, Row
from kerf_core.jobs.waiting import WaitingLine
from kerf_core.lease import RoleLease
from kerf_core.metrics import JOBS_ENDED, JOBS_WAITING
from kerf_core.settings import ServiceSettings
from kerf_core.stages import TenantId
from kerf_core.streams import WORK

LOG = logging.getLogger(__name__)
SLOTS_EXPIRE_SECONDS = 6.0
_COALESCE_SECONDS = 0.002
_SWEEP_RUN = 500


async def dispatch_stage(bus: Bus, ref: JobRef, kind: str, stage: int, *, timeout: float = 2.0) -> bool:
    """Queue a stage. A refusal means that it is queued or in flight already, which is as good.

    Returns False where the outcome is unknown; the sweep repairs it.
    """
    try:
        await bus.append(ref.work(kind, stage), b"", expected=0, timeout=timeout)
    except Conflict:
        return True
    except (OutcomeUnknown, ResourceExhausted) as error:
        LOG.warning("could not dispatch %s stage %d, the sweep will: %s", ref.name, stage, error)
        return False
    return True


@dataclass
class SlotBoard:
    """Free slots of the workers, as they announce them on `kerf.v1.slots.<kind>.<worker>`."""

    _heard: dict[str, dict[str, tuple[Slots, float]]] = field(default_factory=lambda: defaultdict(dict))

    async def start(self, bus: Bus, wake: asyncio.Event) -> None:
        """Listen; set `wake` at every announcement."""

        async def received(message: Msg) -> None:
            _, _, _, kind, worker = message.subject.split(".")
            self._heard[kind][worker] = (Slots.FromString(message.data), time.monotonic())
            wake.set()

        await bus.client.subscribe("kerf.v1.slots.*.*", cb=received)

    def free(self, kind: str) -> int:
        """Free slots of all live workers of a kind."""
        return sum(slots.free for slots in self._live(kind))

    def kinds(self) -> list[str]:
        """Kinds that have a live worker."""
        return sorted(kind for kind in list(self._heard) if self._live(kind))

    def _live(self, kind: str) -> list[Slots]:
        horizon = time.monotonic() - SLOTS_EXPIRE_SECONDS
        return [slots for slots, heard_at in self._heard[kind].values() if heard_at > horizon]


class Dispatcher:
    """Keeps at most twice the free slots of each kind queued, and repairs what was left half-done."""

    def __init__(self, bus: Bus, view: JobView, settings: ServiceSettings, holder: str, policy: Policy) -> None:
        self._bus = bus
        self._view = view
        self._settings = settings
        self._lease = RoleLease(bus, "dispatcher", holder)
        self._policy = policy
        self.board = SlotBoard()
        self._wake = asyncio.Event()
        self._waiting: dict[str, WaitingLine] = defaultdict(WaitingLine)
        self._queued: dict[JobRef, tuple[str, int]] = {}
        self._queued_count: dict[str, int] = defaultdict(int)
        self._running: dict[JobRef, str] = {}
        self._under_way: dict[str, Counter[TenantId]] = defaultdict(Counter)
        """Stages dispatched or running, by kind and tenant."""
        self._deadlines: list[tuple[int, JobRef]] = []
        """A heap of (deadline in ns, job); jobs that ended before theirs are dropped when it comes."""
        self._timed: set[JobRef] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._leads = False
        view.on_change(self._changed)

    async def start(self) -> None:
        """Begin to listen for free slots."""
        await self.board.start(self._bus, self._wake)

    async def offer(self, ref: JobRef, kind: str) -> None:
        """The first stage of a job that was just accepted: dispatched at once while nothing of its kind waits."""
        waiting = self._waiting[kind]
        others_wait = len(waiting) > (ref in waiting)  # the feed may have told of this job already
        allowed = self._policy.allows(ref.tenant, self._under_way[kind][ref.tenant])
        if ref not in self._queued and not others_wait and allowed and self._places(kind) > 0:
            self._mark_queued(ref, kind, 0)
            await self._send(ref, kind, 0)

    def position(self, ref: JobRef, kind: str) -> int:
        """How many of the kind wait before this job."""
        return self._waiting[kind].before(ref.job)

    async def run(self) -> None:
        """Dispatch until cancelled."""
        next_sweep = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_next_due(next_sweep)):
                    await self._wake.wait()
            await asyncio.sleep(_COALESCE_SECONDS)
            self._wake.clear()
            try:
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + self._settings.sweep_interval.total_seconds()
                    self._leads = await self._lease.hold()
                    if self._leads:
                        await self._sweep()
                    else:
                        JOBS_WAITING.clear()  # what a former leader last saw is nobody's figure
                overdue = self._take_overdue()  # by whoever does not lead too: he would remember them for ever
                if self._leads:
                    await self._end_overdue(overdue)
                    self._serve_waiting()
            except KerfError as error:
                LOG.warning("dispatcher: %s", error)

    def _until_next_due(self, next_sweep: float) -> float:
        due = [next_sweep - time.monotonic()]
        wall = time.time()
        for line in self._waiting.values():
            line.admit(time.time_ns())  # here, or what is due would keep waking a gateway that does not lead
            if (retry_ns := line.next_retry_ns()) is not None:
                due.append(retry_ns / 1e9 - wall)
        if self._leads and self._deadlines:
            due.append(self._deadlines[0][0] / 1e9 - wall)
        return max(0.01, min(due))

    def _note_deadline(self, row: Row) -> None:
        if row.ended:
            self._timed.discard(row.ref)
        elif row.head.HasField("deadline") and row.ref not in self._timed:
            self._timed.add(row.ref)
            heapq.heappush(self._deadlines, (row.head.deadline.ToNanoseconds(), row.ref))
            self._wake.set()

    def _take_overdue(self) -> list[JobRef]:
        """The jobs whose deadline has come since this was last asked."""
        overdue = []
        while self._deadlines and self._deadlines[0][0] <= time.time_ns():
            overdue.append(heapq.heappop(self._deadlines)[1])
        return overdue

    async def _end_overdue(self, overdue: list[JobRef]) -> None:
        """Fail those that have not ended; workers hear of it on the feed. What fails here the sweep repairs."""
        for ref in overdue:
            row = self._view.get(ref)
            if row is not None and not row.ended:
                await self._end(row, JobEvent(failed=Failed(error=_deadline_passed())))

    def _serve_waiting(self) -> None:
        now_ns = time.time_ns()
        for kind, line in self._waiting.items():
            JOBS_WAITING.labels(kind).set(len(line))
            places = self._places(kind)
            if places <= 0 or not line:
                continue
            for row in self._policy.choose(kind, line, self._under_way[kind], places, now_ns):
                self._mark_queued(row.ref, kind, row.head.stage)
                sending = asyncio.create_task(self._send(row.ref, kind, row.head.stage))
                self._sending.add(sending)
                sending.add_done_callback(self._sending.discard)

    async def _send(self, ref: JobRef, kind: str, stage: int) -> None:
        if not await dispatch_stage(self._bus, ref, kind, stage):
            self._unmark(ref)

    def _places(self, kind: str) -> int:
        return 2 * self.board.free(kind) - self._queued_count[kind]

    def _mark_queued(self, ref: JobRef, kind: str, stage: int) -> None:
        self._unmark(ref)
        self._waiting[kind].discard(ref)
        self._queued[ref] = (kind, stage)
        self._queued_count[kind] += 1
        self._under_way[kind][ref.tenant] += 1

    def _unmark(self, ref: JobRef) -> None:
        known = self._queued.pop(ref, None)
        if known is not None:
            self._queued_count[known[0]] -= 1
            self._under_way[known[0]][ref.tenant] -= 1

    def _mark_running(self, row: Row) -> None:
        was, now = self._running.pop(row.ref, None), row.kind if row.head.fence and not row.ended else None
        if was is not None:
            self._under_way[was][row.ref.tenant] -= 1
        if now is not None:
            self._running[row.ref] = now
            self._under_way[now][row.ref.tenant] += 1

    def _changed(self, row: Row) -> None:
        ref, head = row.ref, row.head
        self._mark_running(row)
        self._note_deadline(row)
        known = self._queued.get(ref)
        if known is not None and (row.ended or head.fence != 0 or known[1] != head.stage):
            self._unmark(ref)
            known = None
        for line in self._waiting.values():
            line.discard(ref)
        if row.ended:
            self._wake.set()  # a slot is about to be free
        elif head.fence == 0 and not head.cancel_requested and known is None:
            self._waiting[row.kind].add(row, time.time_ns())
            self._wake.set()

    async def _sweep(self) -> None:
        """Compare what should be queued with what is; end what is overdue."""
        queued = {}
        for subject in await self._bus.subjects(WORK, "kerf.v1.work.>"):
            work = parse_work(subject)
            queued[work.ref] = (work.kind, work.stage)
        for ref in list(self._queued):
            if ref not in queued:
                self._unmark(ref)
        for number, ref in enumerate([row.ref for row in self._view.open_rows()]):
            row = self._view.get(ref)
            if row is not None and not row.ended:
                await self._sweep_row(row, queued.get(ref))
            if number % _SWEEP_RUN == 0:
                await asyncio.sleep(0)  # a sweep over 100,000 jobs must not hold up those who call

    async def _sweep_row(self, row: Row, queued: tuple[str, int] | None) -> None:
        head = row.head
        age = time.time() - row.updated_ns / 1e9
        if head.HasField("deadline") and head.deadline.ToNanoseconds() <= time.time_ns():
            await self._end(row, JobEvent(failed=Failed(error=_deadline_passed())))
        elif head.cancel_requested and age > 2 * self._settings.ack_wait.total_seconds():
            await self._end(row, JobEvent(cancelled=Cancelled(reason="the worker did not answer the request in time")))
        elif queued is not None:
            if head.fence == 0 and queued[1] == head.stage and row.ref not in self._queued:
                self._mark_queued(row.ref, *queued)
        elif head.fence == 0 and not head.cancel_requested:
            if row.ref not in self._queued and row.ref not in self._waiting[row.kind]:
                self._waiting[row.kind].add(row, time.time_ns())
        elif age > self._settings.ack_wait.total_seconds():
            # An attempt is open, but its message is gone (a stale ack can delete it): let the queue prove it lost.
            await dispatch_stage(self._bus, row.ref, row.kind, head.stage)

    async def _end(self, row: Row, event: JobEvent) -> None:
        log = JobLog(
            self._bus,
            row.ref,
            append_timeout=self._settings.append_timeout,
            retry_for=self._settings.append_timeout * 2,
        )
        try:
            await log.refresh()
            stored = await log.append(event)
        except IllegalEntry:
            return
        JOBS_ENDED.labels(stored.WhichOneof("body"), stored.head.reason).inc()


def _deadline_passed() -> Status:
    status = Status(code=Code.DEADLINE_EXCEEDED.value, message="the job's deadline passed before it ended")
    status.details.add().Pack(ErrorInfo(reason="JOB_DEADLINE_EXCEEDED", domain="kerf"))
    return status
