"""What a delivered stage calls for."""

from __future__ import annotations

import pytest

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent, JobHead, StageCompleted
from kerf.jobs.v1.job_pb2 import JobState, StageInput, StageOutputs
from kerf_core.errors import FailedPrecondition
from kerf_core.jobs.outcome import Act, decide, from_earlier_stage


def log(**head: object) -> list[JobEvent]:
    made = JobHead(state=JobState.JOB_STATE_RUNNING, kinds=["a", "b"])
    retry_at = head.pop("retry_at_ns", None)
    for name, value in head.items():
        setattr(made, name, value)
    if isinstance(retry_at, int):
        made.retry_at.FromNanoseconds(retry_at)
    return [JobEvent(sequence=1, head=made)]


@pytest.mark.parametrize(
    "entries, stage, act",
    [
        ([], 0, Act.WAIT_FOR_LOG),
        (log(state=JobState.JOB_STATE_CANCELLED), 0, Act.PASS_ON),
        (log(stage=1), 0, Act.PASS_ON),
        (log(cancel_requested=True), 0, Act.CANCEL),
        (log(retry_at_ns=2_000_000_000), 0, Act.WAIT),
        (log(attempts=3), 0, Act.GIVE_UP),
        (log(attempts=2), 0, Act.RUN),
        (log(), 0, Act.RUN),
    ],
)
def test_the_log_alone_decides(entries: list[JobEvent], stage: int, act: Act) -> None:
    assert decide(entries, stage, max_attempts=3, now_ns=1_000_000_000).act is act


def test_an_open_attempt_is_named_and_a_wait_is_measured() -> None:
    assert decide(log(fence=7), 0, max_attempts=3, now_ns=0).attempt_open
    assert not decide(log(), 0, max_attempts=3, now_ns=0).attempt_open
    waiting = decide(log(retry_at_ns=2_500_000_000), 0, max_attempts=3, now_ns=1_000_000_000)
    assert waiting.delay_seconds == pytest.approx(1.5)


@pytest.mark.parametrize(
    "head, seconds_ago, act",
    [
        ({"fence": 7, "attempts": 1}, 6, Act.LEAVE),
        ({"fence": 7, "attempts": 3}, 6, Act.LEAVE),
        ({"fence": 7, "attempts": 1}, 9, Act.RUN),
        ({"fence": 7, "attempts": 3}, 9, Act.GIVE_UP),
        ({"attempts": 1}, 6, Act.RUN),  # it said itself that it ended
        ({"fence": 7, "cancel_requested": True}, 6, Act.CANCEL),
        ({"fence": 7, "stage": 1}, 6, Act.PASS_ON),
    ],
)
def test_an_attempt_that_has_just_written_is_not_taken_for_lost(
    head: dict[str, object], seconds_ago: int, act: Act
) -> None:
    entries = log(**head)
    entries[-1].time.FromNanoseconds(100_000_000_000)
    now_ns = (100 + seconds_ago) * 1_000_000_000
    assert decide(entries, 0, max_attempts=3, now_ns=now_ns, alive_ns=7_500_000_000).act is act


def test_a_stage_takes_all_or_chosen_outputs_of_an_earlier_one() -> None:
    done = {"first": StageCompleted(outputs=[Artifact(name=f"artifacts/{number}") for number in range(3)])}
    every = StageInput(from_stage=StageOutputs(stage="first"))
    chosen = StageInput(from_stage=StageOutputs(stage="first", indices=[2, 0]))
    beyond = StageInput(from_stage=StageOutputs(stage="first", indices=[3]))
    assert [artifact.name[-1] for artifact in from_earlier_stage(every, done)] == ["0", "1", "2"]
    assert [artifact.name[-1] for artifact in from_earlier_stage(chosen, done)] == ["2", "0"]
    with pytest.raises(FailedPrecondition, match="made 3 outputs"):
        from_earlier_stage(beyond, done)
