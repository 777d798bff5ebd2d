"""Dispatch: which waiting stage goes to the workers next. Priority, fairness and deadlines are decided here only.

Every act is conditional on what is stored, so that any number of dispatchers may act at once; a lease merely keeps
them from doing the same work twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
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
from kerf_core.jobs.standing import Standing
from kerf_core.jobs.view import JobView, Row
from kerf_core.lease import RoleLease
from kerf_core.metrics import JOBS_ENDED, JOBS_WAITING
from kerf_core.settings import ServiceSettings
from kerf_core.streams import WORK

LOG = logging.getLogger(__name__)
SLOTS_EXPIRE_SECONDS = 6.0
_COALESCE_SECONDS = 0.002
_LEAST_WAIT_SECONDS = 0.005
_TAKEN_WITHIN_NS = 1_000_000_000


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

    def free(self, kind: str, running: Mapping[str, int] | None = None) -> int:
        """Free slots of all live workers of a kind.

        `running`: stages that run by the logs, by worker. An announcement is a little old: where the logs leave fewer
        slots free than it says, they are right.
        """
        by_log = running or {}
        return sum(
            max(0, min(slots.free, slots.capacity - by_log.get(worker, 0))) for worker, slots in self._live(kind)
        )

    def capacity(self, kind: str) -> int:
        """Slots of all live workers of a kind."""
        return sum(slots.capacity for _, slots in self._live(kind))

    def kinds(self) -> list[str]:
        """Kinds that have a live worker."""
        return sorted(kind for kind in list(self._heard) if self._live(kind))

    def _live(self, kind: str) -> list[tuple[str, Slots]]:
        horizon = time.monotonic() - SLOTS_EXPIRE_SECONDS
        return [(worker, slots) for worker, (slots, heard_at) in self._heard[kind].items() if heard_at > horizon]


class Dispatcher:
    """Keeps the free slots of each kind supplied, and repairs what was left half-done.

    Where stages are short, twice the free slots are queued, so that no worker idles for a round trip; elsewhere no more
    than are free, because what is queued cannot be overtaken by whoever has more right to the next slot.
    """

    def __init__(self, bus: Bus, view: JobView, settings: ServiceSettings, holder: str, policy: Policy) -> None:
        self._bus = bus
        self._settings = settings
        self._lease = RoleLease(bus, "dispatcher", holder)
        self._policy = policy
        self.board = SlotBoard()
        self._wake = asyncio.Event()
        self._get = view.get
        self._standing = Standing(view.get)
        self._sending: set[asyncio.Task[None]] = set()
        self._leads = False
        view.on_change(self._changed)

    async def start(self) -> None:
        """Begin to listen for free slots."""
        await self.board.start(self._bus, self._wake)

    async def offer(self, ref: JobRef, kind: str) -> None:
        """The first stage of a job that was just accepted: dispatched at once if nobody has more right to the slot."""
        if not self._standing.is_queued(ref) and self._may_go_at_once(ref, kind):
            if ref not in self._standing.waiting[kind]:
                self._policy.came(kind, ref.tenant, time.time_ns())
            self._standing.queue(ref, kind, 0, time.time_ns())
            await self._send(ref, kind, 0)

    def _may_go_at_once(self, ref: JobRef, kind: str) -> bool:
        waiting = self._standing.waiting[kind]
        kept = self._policy.kept(kind, time.time_ns())
        others_wait = len(waiting) > (ref in waiting)  # the feed may have told of this job already
        if others_wait and ref.tenant not in kept:
            return False
        kept_from_it = sum(kept.values()) - kept.get(ref.tenant, 0)
        allowed = self._policy.allows(ref.tenant, self._standing.under_way[kind][ref.tenant])
        return allowed and self._places(kind) > kept_from_it

    def position(self, ref: JobRef, kind: str) -> int:
        """How many of the kind wait before this job."""
        return self._standing.waiting[kind].before(ref.job)

    def eta_seconds(self, ref: JobRef, kind: str, mean_seconds: float) -> float | None:
        """Expected time until a waiting stage of the job starts, if tenants have equal shares; None while nobody works.

        `mean_seconds`: from start to end of such a stage.
        """
        capacity = self.board.capacity(kind)
        return (self._standing.waiting[kind].fairly_before(ref) + 1) * mean_seconds / capacity if capacity else None

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
                overdue = self._standing.deadlines.take(time.time_ns())  # by whoever does not lead, too
                if self._leads:
                    for row in [self._get(ref) for ref in overdue]:
                        await self._fail_overdue(row)  # what fails here the sweep repairs
                    self._serve_waiting()
            except KerfError as error:
                LOG.warning("dispatcher: %s", error)

    def _until_next_due(self, next_sweep: float) -> float:
        now_ns = time.time_ns()
        due_ns = []
        for kind, line in self._standing.waiting.items():
            line.admit(now_ns)  # here, or what is due would keep waking a gateway that does not lead
            due_ns.append(line.next_retry_ns())
            if self._leads and line:
                due_ns.append(self._policy.next_given_up_ns(kind, now_ns))
        if self._leads:
            due_ns.append(self._standing.deadlines.next_ns())
        due = [(ns - now_ns) / 1e9 for ns in due_ns if ns is not None]
        return max(_LEAST_WAIT_SECONDS, min([next_sweep - time.monotonic(), *due]))

    def _serve_waiting(self) -> None:
        now_ns = time.time_ns()
        for kind, line in self._standing.waiting.items():
            JOBS_WAITING.labels(kind).set(len(line))
            places = self._places(kind)
            if places <= 0 or not line:
                continue
            for row in self._policy.choose(kind, line, self._standing.under_way[kind], places, now_ns):
                self._standing.queue(row.ref, kind, row.head.stage, now_ns)
                sending = asyncio.create_task(self._send(row.ref, kind, row.head.stage))
                self._sending.add(sending)
                sending.add_done_callback(self._sending.discard)

    async def _send(self, ref: JobRef, kind: str, stage: int) -> None:
        if not await dispatch_stage(self._bus, ref, kind, stage):
            self._standing.not_queued(ref)

    def _places(self, kind: str) -> int:
        if self._policy.queues_ahead(kind):
            return 2 * self.board.free(kind) - self._standing.queued_count(kind)
        # A free slot takes what is queued at once. What is not taken waits for something else, and holds no place.
        queued = self._standing.queued_count(kind, since_ns=time.time_ns() - _TAKEN_WITHIN_NS)
        return self.board.free(kind, self._standing.on_workers(kind)) - queued

    def _changed(self, row: Row) -> None:
        now_ns = time.time_ns()
        change = self._standing.row(row, now_ns)
        tenant = row.ref.tenant
        if change.left is not None and tenant not in self._standing.waiting[change.left].tenants():
            self._policy.left(change.left, tenant, now_ns)
        if change.came is not None:
            self._policy.came(change.came, tenant, now_ns)
        if change.look:
            self._wake.set()

    async def _sweep(self) -> None:
        """Compare what should be queued with what is; end what is overdue."""
        found = {}
        for subject in await self._bus.subjects(WORK, "kerf.v1.work.>"):
            work = parse_work(subject)
            found[work.ref] = (work.kind, work.stage)
        silence_ns = int(self._settings.ack_wait.total_seconds() * 1e9)
        repairs = self._standing.sweep(found, time.time_ns(), silence_ns)
        for row in repairs.overdue:
            await self._fail_overdue(self._get(row.ref))
        for row in repairs.unanswered:
            await self._end(row, JobEvent(cancelled=Cancelled(reason="the worker did not answer the request in time")))
        for row in repairs.silent:
            if self._get(row.ref) is row:  # it took a while to come here
                await dispatch_stage(self._bus, row.ref, row.kind, row.head.stage)

    async def _fail_overdue(self, row: Row | None) -> None:
        """Fail a job that has not ended yet; its worker hears of it on the feed."""
        if row is not None and not row.ended:
            await self._end(row, JobEvent(failed=Failed(error=_deadline_passed())))

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
