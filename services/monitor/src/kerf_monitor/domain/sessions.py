"""Sessions: attempts at stages that ran on this node, and what the node did meanwhile.

Pure bookkeeping: the job feed tells when attempts begin and end, announcements tell which node a worker is on, and the
node tells its readings. An attempt counts only once its worker is known to be on this node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from kerf_monitor.domain.snapshot import GpuPresence, Reading, Snapshot, measured, unknown, unsupported

Key = tuple[str, int]
"""Job id and fence."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RUNS = unknown("it still runs")


@dataclass(frozen=True, slots=True)
class Session:
    """One attempt. `end` and `outcome` are unset while it runs; `device_seconds` is as the worker reported it."""

    tenant: str
    job: str
    fence: int
    stage: str
    kind: str
    worker: str
    start: datetime
    end: datetime | None = None
    outcome: str = ""
    device_seconds: Reading = _RUNS
    concurrent: int = 1

    @property
    def key(self) -> Key:
        """What names it."""
        return (self.job, self.fence)

    @property
    def order(self) -> tuple[int, str, int]:
        """Sorts by start, in microseconds since 1970, then by name."""
        return ((self.start - _EPOCH) // timedelta(microseconds=1), self.job, self.fence)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the node did during a session: of all that ran, not of the session alone."""

    host_cpu_utilization: Reading
    peak_host_memory_bytes: Reading
    peak_gpu_memory_bytes: Reading
    gpu_energy_joules: Reading


@dataclass(slots=True)
class _Meter:
    """Gathers usage, one snapshot after the other; only what was measured counts."""

    cpu_sum: float = 0.0
    cpu_count: int = 0
    peak_memory: float | None = None
    peak_gpu_memory: float | None = None
    energy: float | None = None
    last_energy: dict[str, float] = field(default_factory=dict)
    gpus: GpuPresence = GpuPresence.UNKNOWN

    def observe(self, snapshot: Snapshot) -> None:
        if snapshot.host.cpu_utilization.measured:
            self.cpu_sum += snapshot.host.cpu_utilization.value
            self.cpu_count += 1
        if snapshot.host.memory_used_bytes.measured:
            self.peak_memory = max(self.peak_memory or 0.0, snapshot.host.memory_used_bytes.value)
        self.gpus = snapshot.gpu.presence
        gpus = snapshot.gpu.gpus
        if gpus and all(gpu.memory_used_bytes.measured for gpu in gpus):
            used = sum(gpu.memory_used_bytes.value for gpu in gpus)
            self.peak_gpu_memory = max(self.peak_gpu_memory or 0.0, used)
        if gpus and all(gpu.energy_joules.measured for gpu in gpus):
            now = {gpu.uuid: gpu.energy_joules.value for gpu in gpus}
            if now.keys() == self.last_energy.keys():
                # A counter that fell belongs to a driver that was loaded anew: that piece is not known.
                grown = sum(max(0.0, value - self.last_energy[uuid]) for uuid, value in now.items())
                self.energy = (self.energy or 0.0) + grown
            self.last_energy = now

    def usage(self) -> Usage:
        nothing = "no reading was taken while it ran: it was shorter than the monitor's interval"
        gpu = unsupported("no GPU") if self.gpus is GpuPresence.ABSENT else unknown(nothing)
        few = unknown("it takes two readings while the session runs")
        return Usage(
            host_cpu_utilization=measured(self.cpu_sum / self.cpu_count) if self.cpu_count else unknown(nothing),
            peak_host_memory_bytes=unknown(nothing) if self.peak_memory is None else measured(self.peak_memory),
            peak_gpu_memory_bytes=gpu if self.peak_gpu_memory is None else measured(self.peak_gpu_memory),
            gpu_energy_joules=(few if self.last_energy else gpu) if self.energy is None else measured(self.energy),
        )


@dataclass(slots=True)
class _Entry:
    session: Session
    meter: _Meter
    noted: datetime
    """When the monitor heard of it, by its own clock."""


class SessionBook:
    """All attempts that are known, those of this node and those whose worker's node is not known yet; bounded."""

    def __init__(
        self,
        node: str,
        *,
        max_sessions: int,
        max_workers: int,
        placement_wait: timedelta,
        readings_since: Callable[[datetime], list[Snapshot]],
    ) -> None:
        """`readings_since`: the kept readings from a time on, for attempts that are heard of late."""
        self._node = node
        self._max_sessions = max_sessions
        self._max_workers = max_workers
        self._placement_wait = placement_wait
        self._readings_since = readings_since
        self._nodes: OrderedDict[str, str] = OrderedDict()
        self._here: dict[Key, _Entry] = {}
        self._undecided: dict[Key, _Entry] = {}
        self._open: dict[str, Key] = {}
        """Running attempt of each job: a job has one at a time."""

    def place_worker(self, worker: str, node: str) -> None:
        """A worker said where it runs; an empty node says nothing."""
        if not node:
            return
        known = self._nodes.get(worker)
        self._nodes[worker] = node
        self._nodes.move_to_end(worker)
        while len(self._nodes) > self._max_workers:
            self._nodes.popitem(last=False)
        if known == node:
            return
        for key in [key for key, entry in self._undecided.items() if entry.session.worker == worker]:
            entry = self._undecided.pop(key)
            if node == self._node:
                self._admit(entry)
            else:
                self._forget_open(key)

    def begin(self, session: Session, now: datetime) -> None:
        """An attempt began. What ran before for the same job is over: it never reported its end."""
        self.end(session.job, session.start, "lost")
        node = self._nodes.get(session.worker)
        if node is not None and node != self._node:
            return
        meter = _Meter()
        for snapshot in self._readings_since(session.start):
            meter.observe(snapshot)
        entry = _Entry(session, meter, now)
        self._open[session.job] = session.key
        if node is None:
            self._undecided[session.key] = entry
            _drop_first(self._undecided, self._max_sessions, self._forget_open)
        else:
            self._admit(entry)

    def end(self, job: str, when: datetime, outcome: str, device_seconds: float | None = None) -> None:
        """The job's running attempt ended, if one is known; `device_seconds` is None where nobody reported it."""
        key = self._open.pop(job, None)
        entry = self._here.get(key) or self._undecided.get(key) if key else None
        if entry is None:
            return
        device = unknown("the worker did not report it") if device_seconds is None else measured(device_seconds)
        session = entry.session
        entry.session = replace(session, end=max(when, session.start), outcome=outcome, device_seconds=device)

    def running_fence(self, job: str) -> int | None:
        """Fence of the job's attempt that is known to run."""
        key = self._open.get(job)
        return key[1] if key else None

    def observe(self, snapshot: Snapshot) -> None:
        """Take a reading into account, for all that runs; and forget attempts that nobody placed."""
        for entries in (self._here, self._undecided):
            for entry in entries.values():
                if entry.session.end is None:
                    entry.meter.observe(snapshot)
        horizon = snapshot.time - self._placement_wait
        for key in [key for key, entry in self._undecided.items() if entry.noted < horizon]:
            del self._undecided[key]
            self._forget_open(key)

    @property
    def running(self) -> int:
        """Sessions that run on this node now."""
        # A copy: the metrics server asks from a thread of its own.
        return sum(1 for entry in list(self._here.values()) if entry.session.end is None)

    def ran_since(self, begin: datetime, kinds: frozenset[str]) -> int:
        """Sessions of these kinds of worker that run, or ended after `begin`."""
        sessions = (entry.session for entry in self._here.values())
        return sum(1 for each in sessions if each.kind in kinds and (each.end is None or each.end >= begin))

    def usage(self, session: Session) -> Usage:
        """What the node did during a session that this book gave out; nothing measured if it was dropped since."""
        entry = self._here.get(session.key)
        return (entry.meter if entry else _Meter()).usage()

    def get(self, job: str, fence: int) -> Session | None:
        """One session."""
        entry = self._here.get((job, fence))
        return entry.session if entry else None

    def newest_first(self, tenant: str | None, job: str = "") -> Iterator[Session]:
        """Sessions of a tenant (None = all), of a job id if one is given."""
        sessions = (entry.session for entry in self._here.values())
        wanted = [each for each in sessions if tenant in (None, each.tenant) and job in ("", each.job)]
        return iter(sorted(wanted, key=lambda session: session.order, reverse=True))

    def _admit(self, entry: _Entry) -> None:
        self._here[entry.session.key] = entry
        if entry.session.end is None:
            alive = [each for each in self._here.values() if each.session.end is None]
            for each in alive:
                each.session = replace(each.session, concurrent=max(each.session.concurrent, len(alive)))
        while len(self._here) > self._max_sessions:
            ended = (key for key, each in self._here.items() if each.session.end is not None)
            key = next(ended, None) or next(iter(self._here))
            del self._here[key]
            self._forget_open(key)

    def _forget_open(self, key: Key) -> None:
        if self._open.get(key[0]) == key:
            del self._open[key[0]]


def _drop_first(entries: dict[Key, _Entry], most: int, forget: Callable[[Key], None]) -> None:
    while len(entries) > most:
        key = next(iter(entries))
        del entries[key]
        forget(key)
