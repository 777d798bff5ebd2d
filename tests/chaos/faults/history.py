"""What happened in a run, as plain records: what was asked, answered, seen, executed, and stored in the logs.

A history is made by the model (`model.py`) or by a real stack under faults (`run.py`), and judged by `checker.py`. It
knows neither protobuf nor NATS. Times are seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
"""Bodies of entries that end a job, which are the names of its last state too."""


class Outcome(Enum):
    """What a caller knows after a call."""

    ANSWERED = "answered"
    REFUSED = "refused for good"
    UNKNOWN = "no answer, or one that says to try again"


@dataclass(frozen=True)
class Output:
    """An artifact of a stage. `execution` names the execution that made it (a label that the worker writes)."""

    stage: str
    sha256: str
    execution: str


@dataclass(frozen=True)
class Asked:
    """One call that asks for a job. Tries of the same request share `ask`, which the job bears as a label."""

    client: str
    ask: str
    request_id: str
    payload: str
    """Digest of all that was asked for."""
    expects: str
    """The terminal state that the job must reach unless somebody cancels it."""
    outcome: Outcome
    job: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Told:
    """An answer that shows a job: of CreateJob, GetJob or CancelJob."""

    client: str
    call: str
    job: str
    state: str
    last_sequence: int
    outputs: tuple[Output, ...]
    seen_before: int
    """The highest sequence that the client had been told of before it asked."""


@dataclass(frozen=True)
class Cancel:
    """A request to cancel. `last_sequence`: where the log stood by the answer; None where no answer came."""

    client: str
    job: str
    last_sequence: int | None


@dataclass(frozen=True)
class Seen:
    """An entry as it came on a stream."""

    sequence: int
    digest: str


@dataclass(frozen=True)
class Sitting:
    """One stream from its opening to its end; a client that is cut off opens the next one where this one ended."""

    client: str
    job: str
    after: int
    seen: tuple[Seen, ...]
    closed: bool
    """True where the server ended it without an error."""


@dataclass(frozen=True)
class Delivery:
    """A download of an output. `got`: SHA-256 of the bytes that came; empty where none came within the bound."""

    client: str
    job: str
    sha256: str
    got: str


@dataclass(frozen=True)
class Execution:
    """What one worker did for one attempt. `made` is empty where it never got to the end."""

    worker: str
    execution: str
    job: str
    stage: str
    made: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    """The steps that it computed, from 1 on."""


@dataclass(frozen=True)
class Head:
    """The state that an entry claims."""

    state: str
    stage: int
    fence: int
    attempts: int
    cancel_requested: bool


@dataclass(frozen=True)
class Origin:
    """What the first entry of a log says of the job."""

    ask: str
    payload: str
    recipe: str
    """Digest of the stages alone: jobs with the same recipe must make the same bytes."""
    stages: tuple[str, ...]
    derived: bool
    """True where kerf made it from another job (a rebuild)."""


@dataclass(frozen=True)
class Entry:
    """An entry of a job's log, as it is stored."""

    job: str
    at: int
    """Sequence in the stream, over all jobs."""
    sequence: int
    time_s: float
    writer: str
    fence: int
    body: str
    head: Head
    digest: str
    stage: str = ""
    worker: str = ""
    takes_over: bool = False
    handed_back: bool = False
    """True where the attempt ended at no cost."""
    saves: int = 0
    """Steps that a checkpoint holds."""
    outputs: tuple[Output, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True)
class FaultRecord:
    """A fault that was in force. `target`: a worker, or `*` where it may touch every worker."""

    kind: str
    target: str
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class Bounds:
    """What the run promises."""

    quiet_at_s: float
    """From here on no fault is in force."""
    ends_within_s: float
    """After it was accepted and all is quiet, a job ends within this."""
    ack_wait_s: float
    max_attempts: int


@dataclass
class History:
    """A whole run."""

    bounds: Bounds
    asked: list[Asked] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)
    sittings: list[Sitting] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    faults: list[FaultRecord] = field(default_factory=list)

    def logs(self) -> dict[str, list[Entry]]:
        """Entries by job, in the order of the stream."""
        logs: dict[str, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.at):
            logs.setdefault(entry.job, []).append(entry)
        return logs
