"""The rules of a job's log, as properties over every possible history."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf.jobs.v1.event_pb2 import (
    Accepted,
    AttemptLost,
    Cancelled,
    CancelRequested,
    Checkpointed,
    Failed,
    JobEvent,
    JobHead,
    Log,
    Progress,
    Queued,
    StageCompleted,
    StageStarted,
    Succeeded,
)
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf_core.jobs.fold import TERMINAL, IllegalEntry, Rule, fold

BODIES = {
    "queued": lambda: JobEvent(queued=Queued(position=1)),
    "stage_started": lambda: JobEvent(stage_started=StageStarted(stage="s")),
    "taken_over": lambda: JobEvent(stage_started=StageStarted(stage="s", lost=AttemptLost(reason="WORKER_LOST"))),
    "progress": lambda: JobEvent(progress=Progress(step=1)),
    "log": lambda: JobEvent(log=Log(message="m")),
    "checkpointed": lambda: JobEvent(checkpointed=Checkpointed(step=1)),
    "stage_completed": lambda: JobEvent(stage_completed=StageCompleted(stage="s")),
    "attempt_lost": lambda: JobEvent(attempt_lost=AttemptLost(reason="X")),
    "handed_back": lambda: JobEvent(attempt_lost=AttemptLost(reason="X", handed_back=True)),
    "cancel_requested": lambda: JobEvent(cancel_requested=CancelRequested()),
    "succeeded": lambda: JobEvent(succeeded=Succeeded()),
    "failed": lambda: JobEvent(failed=Failed()),
    "cancelled": lambda: JobEvent(cancelled=Cancelled()),
}
WORKERS_ONLY = {"progress", "log", "checkpointed", "stage_completed", "attempt_lost", "handed_back", "succeeded"}


def accepted(stages: int) -> JobEvent:
    job = Job(stages=[Stage(id=f"s{number}") for number in range(stages)])
    entry = JobEvent(sequence=1, accepted=Accepted(job=job), head=JobHead(kinds=["noop"] * stages))
    entry.head.CopyFrom(fold(None, entry))
    return entry


def following(tail: JobEvent, kind: str, fence: int, *, skip: int = 0, seconds: int = 0) -> JobEvent:
    entry = BODIES[kind]()
    entry.sequence = tail.sequence + 1 + skip
    entry.fence = entry.sequence if fence == -1 else fence
    entry.time.FromSeconds(seconds)
    return entry


def appended(tail: JobEvent, kind: str, fence: int = 0, **more: int) -> JobEvent:
    entry = following(tail, kind, fence, **more)
    entry.head.CopyFrom(fold(tail, entry))
    return entry


def refused(tail: JobEvent, kind: str, fence: int = 0, **more: int) -> Rule:
    with pytest.raises(IllegalEntry) as refusal:
        fold(tail, following(tail, kind, fence, **more))
    return refusal.value.rule


steps = st.lists(st.tuples(st.sampled_from(sorted(BODIES)), st.integers(-1, 12)), max_size=25)


@given(stages=st.integers(1, 4), steps=steps)
@settings(max_examples=400, deadline=None)
def test_any_writers_leave_a_log_that_keeps_its_promises(stages: int, steps: list[tuple[str, int]]) -> None:
    log = [accepted(stages)]
    for kind, fence in steps:
        tail = log[-1]
        entry = following(tail, kind, fence)
        try:
            entry.head.CopyFrom(fold(tail, entry))
        except IllegalEntry:
            continue
        assert tail.head.state not in TERMINAL, "nothing follows a terminal entry"
        if kind in WORKERS_ONLY:
            assert entry.fence == tail.head.fence != 0, "a worker writes only while its attempt is the open one"
        if kind in ("stage_started", "taken_over"):
            assert not tail.head.cancel_requested
            assert (kind == "taken_over") == (tail.head.fence != 0), "an open attempt is superseded by name"
        log.append(entry)
    assert [entry.sequence for entry in log] == list(range(1, len(log) + 1))
    assert sum(entry.head.state in TERMINAL for entry in log) <= 1
    completed = sum(entry.HasField("stage_completed") for entry in log)
    assert log[-1].head.stage == completed < stages
    if log[-1].head.state == JobState.JOB_STATE_SUCCEEDED:
        assert completed == stages - 1, "success needs every stage"
    assert log[-1].head.attempts >= 0


@given(stages=st.integers(1, 3), steps=steps)
@settings(max_examples=200, deadline=None)
def test_fold_is_pure(stages: int, steps: list[tuple[str, int]]) -> None:
    tail = accepted(stages)
    for kind, fence in steps:
        entry = following(tail, kind, fence)
        before = (tail.SerializeToString(deterministic=True), entry.SerializeToString(deterministic=True))
        outcomes = []
        for _ in range(2):
            try:
                outcomes.append(fold(tail, entry).SerializeToString(deterministic=True))
            except IllegalEntry as refusal:
                outcomes.append(refusal.rule.name.encode())
        assert outcomes[0] == outcomes[1]
        assert before == (tail.SerializeToString(deterministic=True), entry.SerializeToString(deterministic=True))
        if outcomes[0][:1].isupper() and outcomes[0].decode(errors="ignore") in Rule.__members__:
            continue
        entry.head.CopyFrom(fold(tail, entry))
        tail = entry


def test_a_worker_that_lost_its_attempt_is_fenced() -> None:
    first = appended(accepted(2), "stage_started", -1)
    second = appended(first, "taken_over", -1)
    assert refused(second, "progress", first.sequence) is Rule.FENCED
    assert refused(second, "stage_completed", first.sequence) is Rule.FENCED
    assert refused(second, "failed", first.sequence) is Rule.FENCED
    assert appended(second, "stage_completed", second.sequence).head.stage == 1


def test_the_first_terminal_entry_wins() -> None:
    running = appended(accepted(1), "stage_started", -1)
    cancelled = appended(running, "cancelled")
    for kind in BODIES:
        assert refused(cancelled, kind, running.sequence) is Rule.ENDED
        assert refused(cancelled, kind, 0) is Rule.ENDED


def test_success_needs_the_last_stage_and_completion_a_later_one() -> None:
    running = appended(accepted(2), "stage_started", -1)
    assert refused(running, "succeeded", running.sequence) is Rule.STAGE
    second = appended(appended(running, "stage_completed", running.sequence), "stage_started", -1)
    assert refused(second, "stage_completed", second.sequence) is Rule.STAGE
    assert appended(second, "succeeded", second.sequence).head.state == JobState.JOB_STATE_SUCCEEDED


def test_no_start_after_a_request_to_cancel_and_none_before_retry_at() -> None:
    queued = appended(accepted(1), "cancel_requested")
    assert refused(queued, "stage_started", -1) is Rule.CANCEL_REQUESTED
    running = appended(accepted(1), "stage_started", -1)
    lost = following(running, "attempt_lost", running.sequence)
    lost.attempt_lost.retry_at.FromSeconds(100)
    lost.head.CopyFrom(fold(running, lost))
    assert refused(lost, "stage_started", -1, seconds=99) is Rule.TOO_EARLY
    assert appended(lost, "stage_started", -1, seconds=100).head.attempts == 2


def test_a_hand_back_costs_no_attempt() -> None:
    running = appended(accepted(1), "stage_started", -1)
    assert appended(running, "attempt_lost", running.sequence).head.attempts == 1
    assert appended(running, "handed_back", running.sequence).head.attempts == 0


def test_attempts_are_counted_since_the_stage_last_got_further() -> None:
    def saved(tail: JobEvent, step: int) -> JobEvent:
        entry = following(tail, "checkpointed", tail.head.fence)
        entry.checkpointed.step = step
        entry.head.CopyFrom(fold(tail, entry))
        return entry

    second = appended(appended(accepted(2), "stage_started", -1), "taken_over", -1)
    further = saved(second, 5)
    assert (second.head.attempts, further.head.attempts) == (2, 1)
    third = appended(further, "taken_over", -1)
    assert saved(third, 5).head.attempts == 2, "the same step again is no progress"
    assert saved(third, 6).head.attempts == 1
    completed = appended(saved(third, 6), "stage_completed", third.sequence)
    assert (completed.head.attempts, completed.head.checkpoint_step) == (0, 0), "the next stage begins anew"


def test_sequence_numbers_have_no_gap_and_a_log_begins_once() -> None:
    start = accepted(1)
    assert refused(start, "stage_started", -1, skip=1) is Rule.SEQUENCE
    again = accepted(1)
    again.sequence = 2
    with pytest.raises(IllegalEntry):
        fold(start, again)
    with pytest.raises(IllegalEntry):
        fold(None, BODIES["cancelled"]())


def test_a_full_head_fits_in_a_kibibyte() -> None:
    job = Job(
        stages=[Stage(id=f"s{number}") for number in range(16)], labels={"k" * 60: "v" * 128, "l" * 60: "w" * 128}
    )
    job.labels["m" * 30] = "x" * 100
    job.deadline.GetCurrentTime()
    entry = JobEvent(sequence=1, accepted=Accepted(job=job), head=JobHead(kinds=["diffusion"] * 16))
    entry.time.GetCurrentTime()
    assert fold(None, entry).ByteSize() <= 1024
