"""One run: a stack, a schedule of faults, clients; afterwards everything is read back and judged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from chaos.faults.checker import violations
from chaos.faults.disk import Disk
from chaos.faults.history import TERMINAL, Bounds, Delivery, Entry, History
from chaos.faults.injector import Injector
from chaos.faults.load import Client
from chaos.faults.originals import UPLOADS, upload_originals
from chaos.faults.power import Mains
from chaos.faults.readback import read_journals, read_logs
from chaos.faults.schedule import draw_schedule
from chaos.faults.stack import ACK_WAIT_S, MAX_ATTEMPTS, FaultyStack, faulty_stack
from chaos.faults.violations import Violation
from chaos.faults.wishes import draw_wishes
from e2e_calls import Caller
from kerf_core.tasks import end_tasks
from kerf_embedded.state import StackInfo

_POLL_S = 0.5


@dataclass(frozen=True)
class Plan:
    """A run, wholly told by its seed and sizes. `patience` multiplies every bound: more than 1 on a busy machine."""

    seed: int
    jobs: int = 340
    faults: int = 100
    seconds: float = 300.0
    patience: float = 1.0
    full_disks: int = 0
    power_cuts: int = 0
    roll_outs: int = 0
    """Workers that are told to stop in the middle of a stage."""
    cluster: bool = False
    """On three NATS servers with three copies of every stream. Neither disks nor power fail there."""
    workers: Mapping[str, str] = field(default_factory=dict)
    """Settings of the workers in place of the usual ones, without their prefix."""

    @property
    def ends_within_s(self) -> float:
        """When all is quiet, a job ends within this."""
        return 60.0 * self.patience

    @property
    def call_s(self) -> float:
        """A client's patience with one call or one silence."""
        return 8.0 * self.patience

    @property
    def ready_within(self) -> timedelta:
        """For a process that was ended, until its successor answers."""
        return timedelta(seconds=60.0 * self.patience)


@dataclass
class Report:
    """What a run found."""

    plan: Plan
    history: History
    violations: list[Violation]
    surprises: list[str]
    """What no promise speaks of, and nobody planned: an error without a type, a process that died by itself."""
    faults: Counter[str]
    missed: list[str]
    phases: dict[str, float]
    """Seconds that each part of the run took."""
    bodies: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = Counter(entry.body for entry in self.history.entries)

    @property
    def clean(self) -> bool:
        """Nothing was found."""
        return not self.violations and not self.surprises

    def __str__(self) -> str:
        plan, history = self.plan, self.history
        cut = sum(not sitting.closed for sitting in history.sittings)
        lines = [
            f"seed {plan.seed}{' on three NATS servers' if plan.cluster else ''}: {self.bodies['accepted']} jobs,"
            f" {sum(self.faults.values())} faults"
            f" ({len(self.missed)} found their process down); "
            + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.phases.items()),
            "  faults: " + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
            "  entries: " + ", ".join(f"{name} {count}" for name, count in sorted(self.bodies.items())),
            f"  takeovers: {sum(entry.takes_over for entry in history.entries)}, rebuilds:"
            f" {sum(entry.origin is not None and entry.origin.derived for entry in history.entries)}, hand-backs:"
            f" {sum(entry.handed_back for entry in history.entries)}, calls: {len(history.asked)} for jobs,"
            f" {len(history.told)} answers; streams: {len(history.sittings)}, {cut} of them cut;"
            f" downloads: {len(history.deliveries)}",
        ]
        lines += [f"  VIOLATION {violation}" for violation in self.violations]
        lines += [f"  SURPRISE {surprise}" for surprise in self.surprises]
        return "\n".join(lines)


async def run_plan(plan: Plan, root: Path, disk: Disk | None = None, power: Mains | None = None) -> Report:
    """Run it in an empty folder (on `disk`, if there is one; with its stack on `power`) and judge it.

    Every wait has a bound.
    """
    clock = _Clock()
    async with faulty_stack(root, cluster=plan.cluster, workers=plan.workers) as stack:
        clock.end("start")
        return await _Run(plan, stack, disk, power).run(clock)


class _Clock:
    """Tells how long the parts of a run took."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self._at = time.monotonic()

    def end(self, phase: str) -> None:
        now = time.monotonic()
        self.phases[phase], self._at = now - self._at, now


class _Run:
    def __init__(self, plan: Plan, stack: FaultyStack, disk: Disk | None, power: Mains | None) -> None:
        self._plan = plan
        self._stack = stack
        self._disk = disk
        self._power = power
        self._history = History(Bounds(time.time() + plan.seconds, plan.ends_within_s, ACK_WAIT_S, MAX_ATTEMPTS))
        self._surprises: list[str] = []
        self._quiet_at: float | None = None
        self._originals: set[str] = set()
        """What was uploaded and answered for."""

    async def run(self, clock: _Clock) -> Report:
        plan, stack, history = self._plan, self._stack, self._history
        injector = Injector(stack, ready_within=plan.ready_within, disk=self._disk, power=self._power)
        schedule = draw_schedule(
            plan.seed,
            plan.faults,
            plan.seconds,
            full_disks=plan.full_disks if self._disk else 0,
            power_cuts=plan.power_cuts if self._power else 0,
            roll_outs=plan.roll_outs,
            cluster=plan.cluster,
        )
        doors = [Caller(target, stack.info.api_key) for target in stack.doors]
        clients = asyncio.create_task(self._clients(doors))
        uploads = asyncio.create_task(self._upload(doors))
        try:
            await injector.run(schedule)
            self._quiet_at = time.time()
            clock.end("faults")
            await self._settle(clients)
            clock.end("clients")
        finally:
            await end_tasks(clients, uploads)
            for door in doors:
                await door.channel.close()
        history.bounds = Bounds(self._quiet_at, plan.ends_within_s, ACK_WAIT_S, MAX_ATTEMPTS)
        history.faults = injector.records
        history.entries = await self._final_logs(stack.info)
        history.executions = read_journals(stack.journals)
        await self._fetch_everything()
        clock.end("reading back")
        self._count_deaths(injector)
        faults = Counter({fault.name: count for fault, count in injector.done.items()})
        return Report(plan, history, violations(history), self._surprises, faults, injector.missed, clock.phases)

    def _give_up_at(self) -> float:
        quiet_at = self._quiet_at
        return time.time() + 60.0 if quiet_at is None else quiet_at + self._plan.ends_within_s

    async def _clients(self, doors: list[Caller]) -> None:
        plan, began = self._plan, time.monotonic()
        async with asyncio.TaskGroup() as group:
            for wish in draw_wishes(plan.seed, plan.jobs, plan.seconds):
                await asyncio.sleep(max(0.0, began + wish.at_s - time.monotonic()))
                client = Client(wish, doors, self._history, self._surprises, plan.call_s, self._give_up_at)
                group.create_task(client.run())

    async def _upload(self, doors: list[Caller]) -> None:
        """Originals, where their durability is at stake."""
        if self._power is not None:
            await upload_originals(self._client(doors), self._plan.seed, self._originals)

    def _client(self, doors: list[Caller]) -> Client:
        """Of nobody in particular."""
        wish = draw_wishes(self._plan.seed, 1, 1.0)[0]
        return Client(wish, doors, self._history, self._surprises, self._plan.call_s, self._give_up_at)

    async def _settle(self, clients: asyncio.Task[None]) -> None:
        """Wait for the clients, who stop by themselves at the bound."""
        done, _ = await asyncio.wait({clients}, timeout=self._plan.ends_within_s + 2 * self._plan.call_s)
        if done:
            clients.result()
        else:
            self._surprises.append("clients did not come to an end within their bound")

    async def _final_logs(self, info: StackInfo) -> list[Entry]:
        """The logs, once every job has ended or its time is over."""
        give_up_at = self._give_up_at()
        while True:
            entries = await read_logs(info)
            ended = {entry.job for entry in entries if entry.body in TERMINAL}
            if {entry.job for entry in entries} == ended or time.time() > give_up_at:
                return entries
            await asyncio.sleep(_POLL_S)

    async def _fetch_everything(self) -> None:
        """Every output that any job committed, whether its client lived to fetch it or not."""
        outputs = {(UPLOADS, sha256) for sha256 in self._originals}
        outputs |= {(entry.job, output.sha256) for entry in self._history.entries for output in entry.outputs}
        fetched: dict[str, str] = {}
        door = Caller(self._stack.info.gateway_target, self._stack.info.api_key)
        client = self._client([door])
        give_up_at = time.time() + self._plan.ends_within_s
        client.give_up_at = lambda: give_up_at
        try:
            for job, sha256 in sorted(outputs):
                if sha256 not in fetched:
                    download = partial(client.download, sha256, "" if job == UPLOADS else job)
                    fetched[sha256] = await client.until_answered(download) or ""
                self._history.deliveries.append(Delivery("reader", job, sha256, fetched[sha256]))
        finally:
            await door.channel.close()

    def _count_deaths(self, injector: Injector) -> None:
        for name in self._stack.stack.names:
            by_itself = self._stack.restarts(name) - injector.deaths[name]
            if by_itself:
                self._surprises.append(f"{name} was started again {by_itself} times more often than it was ended")
