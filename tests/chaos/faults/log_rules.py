"""What must be true of one job's log. Its own account of the protocol: it shares no code with `kerf_core.jobs.fold`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.faults.history import TERMINAL, Bounds, Entry, Execution, FaultRecord, Head
from chaos.faults.violations import Kind, Violation

_BY_ATTEMPT = frozenset({"progress", "log", "checkpointed", "stage_completed", "attempt_lost", "succeeded"})
_BY_NOBODY = frozenset({"accepted", "queued", "cancel_requested"})
_STATES = {"accepted": "queued", "stage_started": "running"} | {body: body for body in TERMINAL}


@dataclass
class _State:
    """A job, as the entries so far leave it."""

    entry: Entry
    stages: tuple[str, ...]
    state: str = "queued"
    stage: int = 0
    fence: int = 0
    attempts: int = 0
    saved: int = 0
    cancel_requested: bool = False
    started: Entry | None = None
    ended: bool = False
    writers: set[str] = field(default_factory=set)

    @property
    def head(self) -> Head:
        return Head(self.state, self.stage, self.fence, self.attempts, self.cancel_requested)

    @property
    def stage_id(self) -> str:
        return self.stages[self.stage]


def check_log(
    log: Sequence[Entry], bounds: Bounds, executions: Mapping[str, Execution], faults: Sequence[FaultRecord]
) -> Iterator[Violation]:
    """Violations of one log. `executions` by their name."""
    first = log[0]
    if first.body != "accepted" or first.sequence != 1 or first.origin is None:
        yield _found(Kind.SEQUENCE_GAP, first, "the log does not begin with Accepted")
        return
    state = _State(first, first.origin.stages, writers={first.writer})
    if first.head != state.head:
        yield _found(Kind.HEAD_WRONG, first, f"{first.head}, expected {state.head}")
    for entry in log[1:]:
        yield from _order(state, entry)
        yield from _authority(state, entry)
        yield from _place(state, entry, bounds)
        yield from _takeover(state, entry, bounds, faults)
        yield from _result(state, entry, executions)
        _apply(state, entry)
        if entry.head != state.head:
            yield _found(Kind.HEAD_WRONG, entry, f"{entry.head}, expected {state.head}")
            state.stage = min(max(0, entry.head.stage), len(state.stages) - 1)
            state.fence, state.attempts = entry.head.fence, entry.head.attempts
    yield from _end(state, first, bounds)


def _found(kind: Kind, entry: Entry, detail: str) -> Violation:
    return Violation(kind, entry.job, f"entry {entry.sequence} ({entry.body}, stream {entry.at}): {detail}")


def _order(state: _State, entry: Entry) -> Iterator[Violation]:
    last = state.entry.sequence
    if entry.sequence <= last:
        yield _found(Kind.SEQUENCE_REUSE, entry, f"follows sequence {last}")
    elif entry.sequence > last + 1:
        yield _found(Kind.SEQUENCE_GAP, entry, f"follows sequence {last}")
    if entry.writer in state.writers:
        yield _found(Kind.ENTRY_TWICE, entry, f"writer {entry.writer}")
    if state.ended:
        yield _found(Kind.TWO_TERMINALS if entry.body in TERMINAL else Kind.AFTER_TERMINAL, entry, "the job had ended")


def _authority(state: _State, entry: Entry) -> Iterator[Violation]:
    """Who may write: the attempt whose fence stands, or somebody without a fence where that is allowed."""
    if state.ended:
        return
    if entry.body == "stage_started":
        if entry.fence != entry.sequence:
            yield _found(Kind.ZOMBIE_WRITE, entry, f"its fence is {entry.fence}")
        if state.cancel_requested:
            yield _found(Kind.START_AFTER_CANCEL, entry, "CancelRequested stands before it")
        if entry.takes_over != (state.fence != 0):
            yield _found(Kind.ZOMBIE_WRITE, entry, f"takes over: {entry.takes_over}, open attempt: {state.fence}")
    elif entry.fence not in (0, state.fence) or (entry.fence == 0 and entry.body in _BY_ATTEMPT):
        yield _found(Kind.ZOMBIE_WRITE, entry, f"its fence is {entry.fence}, the attempt's is {state.fence}")
    elif entry.fence != 0 and entry.body in _BY_NOBODY:
        yield _found(Kind.ZOMBIE_WRITE, entry, f"a worker wrote it, with fence {entry.fence}")


def _place(state: _State, entry: Entry, bounds: Bounds) -> Iterator[Violation]:
    if entry.stage and entry.stage != state.stage_id:
        yield _found(Kind.WRONG_STAGE, entry, f"speaks of {entry.stage!r}, the job is in {state.stage_id!r}")
    last = state.stage + 1 == len(state.stages)
    if (entry.body == "succeeded" and not last) or (entry.body == "stage_completed" and last):
        yield _found(Kind.WRONG_STAGE, entry, f"the job is in stage {state.stage} of {len(state.stages)}")
    if entry.body == "stage_started" and state.attempts + 1 > bounds.max_attempts:
        yield _found(Kind.TOO_MANY_ATTEMPTS, entry, f"attempt {state.attempts + 1} of {bounds.max_attempts}")


def _takeover(state: _State, entry: Entry, bounds: Bounds, faults: Sequence[FaultRecord]) -> Iterator[Violation]:
    """Half of ack_wait is allowed for the time between a delivery and its StageStarted.

    Two races cost an attempt and break no promise; they are left out. Who takes over may have been stopped between his
    delivery and now: he cannot know that it is an old one. And an attempt whose message had come to somebody else
    already may end by its own word, while its fence still stands: its nak hands on the other one's delivery.
    """
    if not entry.takes_over or state.started is None or not state.started.takes_over:
        return
    lived = entry.time_s - state.started.time_s
    since = state.started.time_s - bounds.ack_wait_s
    disturbed = any(
        fault.target in (state.started.worker, entry.worker, "*")
        and fault.began_s <= entry.time_s
        and fault.ended_s >= since
        for fault in faults
    )
    if lived < bounds.ack_wait_s / 2 and not disturbed:
        yield _found(Kind.EARLY_TAKEOVER, entry, f"{lived:.2f} s after the start of the attempt before")


def _result(state: _State, entry: Entry, executions: Mapping[str, Execution]) -> Iterator[Violation]:
    if entry.body not in ("stage_completed", "succeeded") or state.started is None:
        return
    for output in entry.outputs:
        made = executions.get(output.execution)
        if made is None:
            yield _found(Kind.FOREIGN_RESULT, entry, f"no execution {output.execution!r} is known")
        elif (made.job, made.stage, made.worker) != (entry.job, state.stage_id, state.started.worker):
            whose = f"{made.worker} for {made.job} {made.stage}"
            yield _found(Kind.FOREIGN_RESULT, entry, f"made by {whose}, the attempt is {state.started.worker}'s")
        elif output.sha256 not in made.made:
            yield _found(Kind.FOREIGN_RESULT, entry, f"{output.sha256} is not what {output.execution} made")


def _apply(state: _State, entry: Entry) -> None:
    state.entry = entry
    state.writers.add(entry.writer)
    state.state = _STATES.get(entry.body, state.state)
    if entry.body == "stage_started":
        state.started, state.fence = entry, entry.sequence
        state.attempts += 1
    elif entry.body == "stage_completed":
        state.stage = min(state.stage + 1, len(state.stages) - 1)
        state.fence = state.attempts = state.saved = 0
    elif entry.body == "attempt_lost":
        state.fence = 0
        state.attempts -= entry.handed_back
    elif entry.body == "checkpointed" and entry.saves > state.saved:
        state.saved, state.attempts = entry.saves, 1
    elif entry.body == "cancel_requested":
        state.cancel_requested = True
    elif entry.body in TERMINAL:
        state.ended, state.fence = True, 0


def _end(state: _State, first: Entry, bounds: Bounds) -> Iterator[Violation]:
    latest = max(first.time_s, bounds.quiet_at_s) + bounds.ends_within_s
    if not state.ended:
        yield _found(Kind.NOT_TERMINAL, state.entry, f"it is {state.state} in stage {state.stage_id!r} still")
    elif state.entry.time_s > latest:
        yield _found(Kind.NOT_TERMINAL, state.entry, f"{state.entry.time_s - latest:.1f} s too late")
