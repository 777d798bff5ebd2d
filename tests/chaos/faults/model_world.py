"""The model's logs, queue and store, and its workers and dispatcher."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from chaos.faults.bugs import Bug
from chaos.faults.history import TERMINAL, Entry, Execution, Head, History, Output

Steps = Generator[None, None, None]
ACK_WAIT = 200.0
MAX_ATTEMPTS = 8
_BY_ATTEMPT = frozenset({"progress", "stage_completed", "attempt_lost", "succeeded"})


class Refused(Exception):
    """The log has no place for the entry."""


@dataclass
class Message:
    """A dispatched stage in the queue."""

    hidden_until: float = 0.0


@dataclass
class World:
    """Logs, queue and store, and what is true of them in every process."""

    rng: random.Random
    bug: Bug | None
    history: History
    clock: float = 0.0
    faulty: bool = True
    logs: dict[str, list[Entry]] = field(default_factory=dict)
    queue: dict[tuple[str, int], Message] = field(default_factory=dict)
    store: dict[str, str] = field(default_factory=dict)
    uncommitted: dict[str, Output] = field(default_factory=dict)
    numbers: int = 0

    def number(self) -> int:
        """A new one."""
        self.numbers += 1
        return self.numbers

    def luck(self, chance: float) -> bool:
        """True now and then, while faults are in force."""
        return self.faulty and self.rng.random() < chance

    def append(self, entry: Entry, *, unasked: bool = False, old: Entry | None = None) -> Entry:
        """Store an entry after the tail; `unasked` skips the rules. `old`: a tail that the writer remembers."""
        log = self.logs.setdefault(entry.job, [])
        tail = log[-1] if log else None
        sequence = (tail.sequence if tail else 0) + 1
        if self.bug is Bug.SEQUENCE_REUSE and old is not None:
            sequence = old.sequence + 1
        if self.bug is Bug.SEQUENCE_SKIPPED and self.luck(0.1):
            sequence += 1
        placed = replace(entry, sequence=sequence, at=self.number(), time_s=self.clock)
        if placed.body == "stage_started":
            placed = replace(placed, fence=sequence)
        if not unasked:
            _check(tail, placed)
        forgets = self.bug is Bug.STATE_FROM_MEMORY and len(log) > 1 and self.luck(0.2)
        head = _head(log[-2] if forgets else tail, placed)
        if tail is not None:  # only a bug gets beyond the last stage
            head = replace(head, stage=min(head.stage, len(self.stages(entry.job)) - 1))
        stored = replace(placed, head=head, digest=f"d{placed.at}")
        log.append(stored)
        self.history.entries.append(stored)
        return stored

    def draft(self, job: str, body: str, *, fence: int = 0) -> Entry:
        """An entry without its place."""
        nothing = Head("", 0, 0, 0, cancel_requested=False)
        return Entry(job, 0, 0, 0.0, f"writer-{self.number()}", fence, body, nothing, "")

    def stages(self, job: str) -> tuple[str, ...]:
        """Ids of the job's stages."""
        origin = self.logs[job][0].origin
        return origin.stages if origin else ()

    def dispatch(self, job: str) -> None:
        """Queue the stage that the job is in; twice is once."""
        head = self.logs[job][-1].head
        if head.state not in TERMINAL:
            self.queue.setdefault((job, head.stage), Message())


def _check(tail: Entry | None, entry: Entry) -> None:
    """The rules of appending."""
    if tail is None:
        return
    head = tail.head
    wrong = head.state in TERMINAL or entry.body == "accepted"
    if entry.body == "stage_started":
        wrong |= head.cancel_requested or entry.takes_over != (head.fence != 0)
    else:
        wrong |= entry.fence not in (0, head.fence) or (entry.fence == 0 and entry.body in _BY_ATTEMPT)
    if wrong:
        raise Refused


def _head(tail: Entry | None, entry: Entry) -> Head:
    if tail is None:
        return Head("queued", 0, 0, 0, cancel_requested=False)
    head = tail.head
    if entry.body == "stage_started":
        return replace(head, state="running", fence=entry.sequence, attempts=head.attempts + 1)
    if entry.body == "stage_completed":
        return replace(head, stage=head.stage + 1, fence=0, attempts=0)
    if entry.body == "attempt_lost":
        return replace(head, fence=0)
    if entry.body == "cancel_requested":
        return replace(head, cancel_requested=True)
    return replace(head, state=entry.body, fence=0) if entry.body in TERMINAL else head


def deliver(world: World, worker: str, job: str, stage: int) -> Steps:
    """One delivery of a stage to a worker, from the log's answer to the ack."""
    message = world.queue[job, stage]
    message.hidden_until = world.clock + ACK_WAIT
    yield
    tail = world.logs[job][-1]
    head = tail.head
    if head.state in TERMINAL or head.stage != stage:
        world.dispatch(job)
    elif head.cancel_requested and world.bug is not Bug.START_AFTER_CANCEL:
        world.append(world.draft(job, "cancelled"))
    elif head.attempts >= _allowed(world, head):
        world.append(world.draft(job, "failed"))
    else:
        yield from _attempt(world, worker, job, stage, message)
        return
    yield
    world.queue.pop((job, stage), None)


def _allowed(world: World, head: Head) -> int:
    if world.bug is Bug.ENDLESS_ATTEMPTS:
        return head.attempts + 1
    return 1 if world.bug is Bug.GIVES_UP and head.fence else MAX_ATTEMPTS


def _attempt(world: World, worker: str, job: str, stage: int, message: Message) -> Steps:
    bug, name = world.bug, world.stages(job)[stage]
    if bug is Bug.ACK_BEFORE_COMMIT:
        world.queue.pop((job, stage), None)
    before = world.logs[job][-1]
    start = world.draft(job, "stage_started")
    start = replace(start, stage=name, worker=worker, takes_over=before.head.fence != 0)
    start = world.append(start, unasked=bug is Bug.START_AFTER_CANCEL)
    execution = f"x{world.number()}"
    world.history.executions.append(Execution(worker, execution, job, name))
    mark = len(world.history.executions) - 1
    for _ in range(world.rng.randint(1, 12)):
        yield
        message.hidden_until = max(message.hidden_until, world.clock + ACK_WAIT)
        head = world.logs[job][-1].head
        if head.fence != start.sequence and bug is not Bug.NO_FENCE:
            if bug is Bug.STALE_NAK:
                message.hidden_until = world.clock
            return
        if head.cancel_requested and bug is not Bug.START_AFTER_CANCEL:
            world.append(world.draft(job, "cancelled", fence=start.sequence))
            break
        if world.rng.random() < 0.4:
            progress = replace(world.draft(job, "progress", fence=start.sequence), stage=name)
            world.append(progress, unasked=bug is Bug.NO_FENCE, old=start)
    else:
        output = Output(name, _bytes_of(world, worker, job, name), execution)
        yield from _finish(world, start, output, mark)
        if world.logs[job][-1].body == "attempt_lost":
            message.hidden_until = world.clock
            return
    yield
    world.queue.pop((job, stage), None)


def _bytes_of(world: World, worker: str, job: str, stage: str) -> str:
    origin = world.logs[job][0].origin
    return f"bytes-{origin.recipe if origin else ''}-{stage}" + (
        f"-{worker}" if world.bug is Bug.DEPENDS_ON_WORKER else ""
    )


def _finish(world: World, start: Entry, output: Output, mark: int) -> Steps:
    """Store, commit, dispatch."""
    job, bug = start.job, world.bug
    origin = world.logs[job][0].origin
    if origin is not None and origin.recipe.startswith("fails"):
        world.append(world.draft(job, "attempt_lost", fence=start.sequence))
        return
    made = world.history.executions[mark]
    world.history.executions[mark] = replace(made, made=(output.sha256,))
    if bug is not Bug.COMMIT_BEFORE_STORE:
        _store(world, output)
    world.uncommitted[job] = output
    yield
    if bug is Bug.COMMITS_WHAT_IT_FINDS:
        other = [each for each in world.history.executions if each.made == (output.sha256,)]
        output = replace(output, execution=other[0].execution)
    last = world.stages(job)[-1] == start.stage
    commit = world.draft(job, "succeeded" if last else "stage_completed", fence=start.sequence)
    commit = replace(commit, stage=start.stage, outputs=(output,))
    stored = world.append(commit, unasked=bug is Bug.NO_FENCE, old=start)
    if bug is Bug.REFUSAL_IS_LOSS and world.luck(0.3):
        world.append(replace(commit, writer=stored.writer), unasked=True)
    world.uncommitted.pop(job, None)
    yield
    if bug is Bug.COMMIT_BEFORE_STORE:
        _store(world, output)
    world.dispatch(job)


def _store(world: World, output: Output) -> None:
    torn = world.bug is Bug.TORN_WRITE and world.luck(0.2)
    world.store[output.sha256] = f"half of {output.sha256}" if torn else output.sha256


def sweep(world: World) -> Steps:
    """The dispatcher: queues what has no message, an open attempt only after a while."""
    while True:
        yield
        for job, log in world.logs.items():
            silent = world.clock - log[-1].time_s > ACK_WAIT and world.bug is not Bug.ACK_BEFORE_COMMIT
            if log[-1].head.fence == 0 or silent:
                world.dispatch(job)
