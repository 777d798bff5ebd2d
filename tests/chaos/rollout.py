"""What is known of a rolling update afterwards, and a judge of it: a pure function, like `faults.checker`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from chaos.faults.checker import violations
from chaos.faults.history import Execution, History


@dataclass(frozen=True)
class Exit:
    """How a process ended after SIGTERM."""

    process: str
    how: str
    took_s: float
    allowed_s: float


@dataclass
class RollOut:
    """All that is known of a rolling update afterwards."""

    history: History
    errors: list[str] = field(default_factory=list)
    """What the SDK raised to its users."""
    exits: list[Exit] = field(default_factory=list)

    def handed_back(self) -> set[tuple[str, str]]:
        """(job, stage) of every attempt that a stopping worker gave to another one."""
        stages = {entry.job: entry.origin.stages for entry in self.history.entries if entry.origin}
        return {(entry.job, stages[entry.job][entry.head.stage]) for entry in self.history.entries if entry.handed_back}


def broken(roll: RollOut) -> Iterator[str]:
    """Everything that a rolling update must not do."""
    yield from roll.errors
    yield from map(str, violations(roll.history))
    for exit_ in roll.exits:
        if exit_.how != "with exit status 0":
            yield f"{exit_.process} ended {exit_.how}"
        if exit_.took_s > exit_.allowed_s:
            yield f"{exit_.process} ended {exit_.took_s:.1f} s after SIGTERM, {exit_.allowed_s:g} s are allowed"
    for entry in roll.history.entries:
        if entry.takes_over or (entry.body == "attempt_lost" and not entry.handed_back):
            yield f"{entry.job}: entry {entry.sequence}: an attempt was lost"
    yield from repeated(roll)


def repeated(roll: RollOut) -> Iterator[str]:
    """Stages that were executed more often than they were handed back, and steps that were done again for nothing.

    A stage that saves loses nothing by a hand-back. One that never does begins anew, and may be handed back too.
    """
    handed_back = roll.handed_back()
    saving = {(entry.job, entry.stage) for entry in roll.history.entries if entry.saves}
    shown = {output.execution for entry in roll.history.entries for output in entry.outputs}
    stages: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for execution in roll.history.executions:
        stages[execution.job, execution.stage].append(execution)
    for place, executions in stages.items():
        where = f"{place[0]}: stage {place[1]!r}"
        if len(executions) > 1 and place not in handed_back:
            yield f"{where} was executed {len(executions)} times, and nobody handed it back"
        whole = executions if place in saving else [each for each in executions if each.execution in shown]
        steps = Counter(step for execution in whole for step in execution.steps)
        if sorted(steps.elements()) != list(range(1, max(steps, default=0) + 1)):
            yield f"{where}: its steps were done {dict(sorted(steps.items()))} times"
