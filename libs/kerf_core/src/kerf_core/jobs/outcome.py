"""What a delivered stage calls for, decided from the job's log alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent, StageCompleted
from kerf.jobs.v1.job_pb2 import Job, StageInput
from kerf_core.errors import FailedPrecondition
from kerf_core.jobs.fold import TERMINAL


class Act(Enum):
    """What to do with a delivery."""

    RUN = auto()
    WAIT_FOR_LOG = auto()
    PASS_ON = auto()
    WAIT = auto()
    GIVE_UP = auto()
    CANCEL = auto()
    LEAVE = auto()


@dataclass(frozen=True)
class Decision:
    """`delay_seconds` for WAIT; `attempt_open` for RUN and GIVE_UP: an attempt that never reported its end."""

    act: Act
    delay_seconds: float = 0.0
    attempt_open: bool = False


def decide(entries: list[JobEvent], stage: int, *, max_attempts: int, now_ns: int, alive_ns: int = 0) -> Decision:
    """Fold the log and say what a delivery of `stage` calls for.

    An open attempt whose log was written to within `alive_ns` lives, and this delivery is none that its silence caused:
    a worker that was stopped read it late, or a stale nak handed it on. It is left alone, without ack or nak; if the
    attempt should be lost after all, it comes again.
    """
    if not entries:
        return Decision(Act.WAIT_FOR_LOG)
    head = entries[-1].head
    if head.state in TERMINAL or head.stage != stage:
        return Decision(Act.PASS_ON)
    if head.cancel_requested:
        return Decision(Act.CANCEL)
    if head.HasField("retry_at") and head.retry_at.ToNanoseconds() > now_ns:
        return Decision(Act.WAIT, delay_seconds=(head.retry_at.ToNanoseconds() - now_ns) / 1e9)
    if head.fence and now_ns - entries[-1].time.ToNanoseconds() < alive_ns:
        return Decision(Act.LEAVE, attempt_open=True)
    if head.attempts >= max_attempts:
        return Decision(Act.GIVE_UP, attempt_open=head.fence != 0)
    return Decision(Act.RUN, attempt_open=head.fence != 0)


def completed_stages(entries: list[JobEvent]) -> dict[str, StageCompleted]:
    """Results by stage id, the last stage's too if the job succeeded."""
    done = {}
    for entry in entries:
        body = entry.WhichOneof("body")
        if body == "stage_completed":
            done[entry.stage_completed.stage] = entry.stage_completed
        elif body == "succeeded":
            done[entry.succeeded.last_stage.stage] = entry.succeeded.last_stage
    return done


def from_earlier_stage(source: StageInput, done: dict[str, StageCompleted]) -> list[Artifact]:
    """The chosen outputs of the stage that `source` names.

    Raises FailedPrecondition if an index is beyond what that stage made.
    """
    outputs = done[source.from_stage.stage].outputs
    indices = list(source.from_stage.indices) or list(range(len(outputs)))
    beyond = [index for index in indices if index >= len(outputs)]
    if beyond:
        raise FailedPrecondition(
            "OUTPUT_NOT_THERE",
            f"stage {source.from_stage.stage!r} made {len(outputs)} outputs, there is none with index {beyond[0]}",
        )
    return [outputs[index] for index in indices]


def spec_of(entries: list[JobEvent]) -> Job:
    """The job as it was accepted."""
    return entries[0].accepted.job
