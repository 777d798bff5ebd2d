"""Does to a stack what a schedule says, and undoes it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from chaos.faults.disk import Disk
from chaos.faults.history import FaultRecord
from chaos.faults.power import Mains
from chaos.faults.proxy import Link
from chaos.faults.readback import is_amid
from chaos.faults.schedule import DISK, MACHINE, NODE_FAULTS, SERVERS, WORKERS, Fault, PlannedFault
from chaos.faults.stack import FaultyStack
from chaos.faults.wires import Meddling, Piece
from kerf_core.errors import FailedPrecondition

_SIGNALS = {
    Fault.KILL_WORKER: signal.SIGKILL,
    Fault.KILL_GATEWAY: signal.SIGKILL,
    Fault.KILL_SERVER: signal.SIGKILL,
    Fault.END_SERVICE: signal.SIGTERM,
    Fault.ROLL_OUT: signal.SIGTERM,
}
_STOPS = frozenset({Fault.STOP_WORKER, Fault.STOP_GATEWAY, Fault.STOP_SERVER})
_MEDDLINGS: dict[Fault, Callable[[], Meddling]] = {
    Fault.DROP_ACKS: lambda: Meddling(Piece.ACK, every=2, copies=0),
    Fault.REPEAT_ACKS: lambda: Meddling(Piece.ACK, every=1, copies=2),
    Fault.LOSE_ANSWERS: lambda: Meddling(Piece.ANSWER, every=3, copies=0),
    Fault.LOSE_FEED: lambda: Meddling(Piece.FEED, every=2, copies=0),
}
_DELAY_S = 0.15
_LOOK_S = 0.1
_LOOK_CLOSELY_S = 0.02
"""For moments that pass."""


class Injector:
    """Runs schedules."""

    def __init__(
        self, stack: FaultyStack, *, ready_within: timedelta, disk: Disk | None = None, power: Mains | None = None
    ) -> None:
        self.records: list[FaultRecord] = []
        self.done: Counter[Fault] = Counter()
        self.missed: list[str] = []
        """Faults that found their process down already."""
        self.deaths: Counter[str] = Counter()
        """How often a process was ended on purpose."""
        self._anew: Counter[str] = Counter()
        """How often the servers have been started anew after a full disk."""
        self._stack = stack
        self._ready_within = ready_within
        self._disk = disk
        self._power = power
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """A process is not ended again before its successor serves, nor the disk filled twice at once."""

    async def run(self, schedule: Sequence[PlannedFault]) -> None:
        """Everything at its time; returns when every fault is undone and all processes answer."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for planned in schedule:
                await asyncio.sleep(max(0.0, began + planned.at_s - time.monotonic()))
                group.create_task(self._inject(planned))
        for name in self._stack.stack.names:
            await self._stack.stack.wait_ready(name, self._ready_within)

    async def _inject(self, planned: PlannedFault) -> None:
        began = time.time()
        try:
            await self._act(planned)
        except FailedPrecondition as error:
            self.missed.append(f"{planned}: {error.message}")
            return
        self.done[planned.fault] += 1
        target = planned.process if planned.process in WORKERS else "*"
        self.records.append(FaultRecord(planned.fault.name, target, began, time.time()))

    async def _act(self, planned: PlannedFault) -> None:
        fault = planned.fault
        if fault in NODE_FAULTS:
            await self._befall_node(planned)
        elif fault in _SIGNALS:
            if fault is Fault.ROLL_OUT:
                await self._until_amid(planned.target)
            await self._end(planned.target, _SIGNALS[fault])
        elif fault in _STOPS:
            await self._stop(planned)
        elif fault is Fault.FILL_DISK:
            await self._fill(planned.lasts_s)
        elif fault is Fault.POWER_CUT:
            await self._cut_power(planned.target)
        else:
            link = self._stack.link_of(planned.target)
            undo = _disturb(link, fault)
            try:
                await asyncio.sleep(planned.lasts_s)
            finally:
                undo()

    async def _end(self, name: str, number: signal.Signals) -> None:
        async with self._turns[name]:
            self._stack.stack.kill(name, number)
            self.deaths[name] += 1
            await self._stack.stack.wait_ready(name, self._ready_within)

    async def _stop(self, planned: PlannedFault) -> None:
        self._stack.stack.kill(planned.target, signal.SIGSTOP)
        await asyncio.sleep(planned.lasts_s)
        with suppress(FailedPrecondition):
            self._stack.stack.kill(planned.target, signal.SIGCONT)

    async def _until_amid(self, worker: str) -> None:
        """Until it is in the middle of a stage."""
        give_up_at = time.monotonic() + self._ready_within.total_seconds() / 2
        while not is_amid(self._stack.journals, worker, self._stack.stack.pid(worker) or 0):
            if time.monotonic() > give_up_at:
                raise FailedPrecondition("IDLE", f"{worker} has nothing to do")
            await asyncio.sleep(_LOOK_CLOSELY_S)

    async def _befall_node(self, planned: PlannedFault) -> None:
        """One server of the cluster at a time; over when the three have the same again, whoever leads them."""
        async with self._turns["nodes"]:
            if planned.fault is Fault.KILL_NODE:
                await self._end(planned.target, signal.SIGKILL)
            elif planned.fault is Fault.STOP_NODE:
                await self._stop(planned)
            else:
                with _held(self._stack.routes_of(planned.target)):
                    await asyncio.sleep(planned.lasts_s)
            await self._stack.nodes_agree(self._ready_within)

    async def _fill(self, lasts_s: float) -> None:
        """The stack helps itself once space was made: its servers are started anew."""
        if self._disk is None:
            raise FailedPrecondition("NO_DISK", "there is no disk that may be filled")
        async with self._turns[DISK]:
            try:
                await asyncio.to_thread(self._disk.fill)
                await asyncio.sleep(lasts_s)
            finally:
                self._disk.free()
            await self._until_started_anew()

    async def _until_started_anew(self) -> None:
        stack = self._stack.stack
        async with asyncio.timeout(self._ready_within.total_seconds()):
            while any(stack.started_anew[server] == self._anew[server] for server in SERVERS):
                await asyncio.sleep(_LOOK_S)
        self._anew.update(SERVERS)
        self.deaths.update(SERVERS)
        for server in SERVERS:
            await stack.wait_ready(server, self._ready_within)

    async def _cut_power(self, target: str) -> None:
        """Of a server's volume while the services go on, or of the machine. Over when everything serves again."""
        power, stack = self._power, self._stack
        if power is None:
            raise FailedPrecondition("NO_MAINS", "there are no volumes whose power may be cut")
        async with self._turns[MACHINE]:
            if target == MACHINE:
                await stack.lose_power(power)
                return
            stack.stack.kill(target, signal.SIGSTOP)
            await asyncio.to_thread(power.fail, [target])
            await self._end(target, signal.SIGKILL)


@contextmanager
def _held(links: Sequence[Link]) -> Iterator[None]:
    for link in links:
        link.hold()
    try:
        yield
    finally:
        for link in links:
            link.let_go()


def _disturb(link: Link, fault: Fault) -> Callable[[], None]:
    """Begin a fault of a link; returns what ends it."""
    if fault is Fault.CUT:
        link.refuses = True
        link.cut()
        return lambda: setattr(link, "refuses", False)
    if fault is Fault.HOLD:
        link.hold()
        return link.let_go
    if fault is Fault.DELAY:
        link.delay_s = _DELAY_S
        return lambda: setattr(link, "delay_s", 0.0)
    if fault in _MEDDLINGS:
        link.meddling = _MEDDLINGS[fault]()
        return lambda: setattr(link, "meddling", Meddling())
    names = {
        Fault.S3_REFUSES: "answers_503",
        Fault.TEAR_UPLOADS: "tears_uploads",
        Fault.TEAR_DOWNLOADS: "tears_downloads",
    }
    setattr(link, names[fault], True)
    return lambda: setattr(link, names[fault], False)
