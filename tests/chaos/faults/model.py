"""A small model of the job protocol in memory, in which one bug can be switched on. It proves the checker.

Every party is a generator that yields wherever another one may come between, a process may die, or stop for long. One
seed gives one history.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from chaos.faults.bugs import Bug
from chaos.faults.history import TERMINAL, Bounds, FaultRecord, History
from chaos.faults.model_clients import client
from chaos.faults.model_world import ACK_WAIT, MAX_ATTEMPTS, Refused, Steps, World, deliver, sweep

WORKERS = ("w1", "w2", "w3", "w4")


@dataclass
class Model:
    """Runs parties against a world until all is done."""

    seed: int
    bug: Bug | None = None
    clients: int = 4
    jobs_each: int = 3
    faulty_until: float = 2500.0
    ends_within: float = 12_000.0

    def run(self) -> History:
        """The history of one run."""
        bounds = Bounds(self.faulty_until, self.ends_within, ACK_WAIT, MAX_ATTEMPTS)
        world = World(random.Random(self.seed), self.bug, History(bounds))
        parties: list[Steps] = [client(world, f"c{number}", self.jobs_each) for number in range(self.clients)]
        working: dict[str, Steps] = {}
        paused: dict[str, float] = {}
        sweeper = sweep(world)
        while world.clock < self.faulty_until + self.ends_within:
            world.clock += 1
            world.faulty = world.clock < self.faulty_until
            choice = world.rng.randrange(len(WORKERS) * 2 + len(parties) + 1)
            if choice < len(WORKERS) * 2:
                self._work(world, WORKERS[choice // 2], working, paused)
            elif choice == len(WORKERS) * 2:
                next(sweeper)
            elif next(parties[choice - len(WORKERS) * 2 - 1], self) is self:
                del parties[choice - len(WORKERS) * 2 - 1]
            if not parties and not world.queue and all(log[-1].head.state in TERMINAL for log in world.logs.values()):
                break
        return world.history

    def _work(self, world: World, worker: str, working: dict[str, Steps], paused: dict[str, float]) -> None:
        if paused.get(worker, 0.0) > world.clock:
            return
        if worker not in working:
            ready = [place for place, message in world.queue.items() if message.hidden_until <= world.clock]
            if ready:
                working[worker] = deliver(world, worker, *world.rng.choice(ready))
                next(working[worker])  # now it is hidden from the others
            return
        if world.luck(0.01):
            del working[worker]
            world.history.faults.append(FaultRecord("kill", worker, world.clock, world.clock))
        elif world.luck(0.01):
            paused[worker] = world.clock + world.rng.uniform(1.0, 2.0) * ACK_WAIT
            world.history.faults.append(FaultRecord("stop", worker, world.clock, paused[worker]))
        else:
            try:
                next(working[worker])
            except (StopIteration, Refused):
                del working[worker]
