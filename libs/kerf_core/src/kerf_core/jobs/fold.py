"""What may follow what in a job's log. Every writer asks `fold` before it appends; every reader may ask it again."""

from __future__ import annotations

from enum import Enum

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import JobState
from kerf_core.rpc_status import reason_of

TERMINAL = frozenset({JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED})
_BY_ATTEMPT_ONLY = frozenset({"progress", "log", "checkpointed", "stage_completed", "attempt_lost", "succeeded"})
_BY_NOBODY_ONLY = frozenset({"accepted", "queued", "cancel_requested"})


class Rule(Enum):
    """Why an entry is illegal."""

    ENDED = "the job has ended"
    FENCED = "another attempt has taken over"
    CANCEL_REQUESTED = "the job is being cancelled"
    SEQUENCE = "the entry does not follow the last one"
    STAGE = "the entry does not fit the stage that the job is in"
    TOO_EARLY = "the stage must not be tried again yet"
    MALFORMED = "the entry is not well formed"


class IllegalEntry(Exception):
    """The entry may not be appended."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.value)
        self.rule = rule


def _require(condition: bool, rule: Rule) -> None:
    if not condition:
        raise IllegalEntry(rule)


def fold(tail: JobEvent | None, entry: JobEvent) -> JobHead:
    """The head after `entry`, given the last entry before it (None = empty log). Pure.

    Raises IllegalEntry. Of `entry.head` only an Accepted entry's `kinds` are looked at; whoever appends sets it to the
    result.
    """
    body = entry.WhichOneof("body")
    if tail is None:
        _require(body == "accepted" and entry.sequence == 1 and entry.fence == 0, Rule.SEQUENCE)
        return _accept(entry)
    before = tail.head
    _require(before.state not in TERMINAL, Rule.ENDED)
    _require(entry.sequence == tail.sequence + 1 and body != "accepted", Rule.SEQUENCE)
    if body == "stage_started":
        return _start(before, entry)
    _require(entry.fence in (0, before.fence), Rule.FENCED)
    _require(body in _BY_ATTEMPT_ONLY | _BY_NOBODY_ONLY | {"failed", "cancelled"}, Rule.MALFORMED)
    _require(entry.fence != 0 or body not in _BY_ATTEMPT_ONLY, Rule.FENCED)
    _require(entry.fence == 0 or body not in _BY_NOBODY_ONLY, Rule.MALFORMED)
    head = JobHead()
    head.CopyFrom(before)
    if body == "stage_completed":
        _next_stage(head, entry)
    elif body == "attempt_lost":
        _lose(head, entry)
    elif body == "checkpointed":
        _save(head, entry)
    elif body == "cancel_requested":
        head.cancel_requested = True
    elif body in ("succeeded", "failed", "cancelled"):
        _end(head, entry, body)
    return head


def _accept(entry: JobEvent) -> JobHead:
    job = entry.accepted.job
    _require(len(entry.head.kinds) == len(job.stages) > 0, Rule.MALFORMED)
    head = JobHead(
        state=JobState.JOB_STATE_QUEUED,
        kinds=entry.head.kinds,
        labels=dict(job.labels),
        priority=job.priority,
        create_time=entry.time,
        stage_ready_time=entry.time,
    )
    if job.HasField("deadline"):
        head.deadline.CopyFrom(job.deadline)
    if entry.accepted.HasField("batch"):
        head.batch.CopyFrom(entry.accepted.batch)
    return head


def _start(before: JobHead, entry: JobEvent) -> JobHead:
    _require(not before.cancel_requested, Rule.CANCEL_REQUESTED)
    _require(entry.fence == entry.sequence, Rule.MALFORMED)
    _require(entry.stage_started.HasField("lost") == (before.fence != 0), Rule.FENCED)
    if before.HasField("retry_at"):
        _require(entry.time.ToNanoseconds() >= before.retry_at.ToNanoseconds(), Rule.TOO_EARLY)
    head = JobHead()
    head.CopyFrom(before)
    head.state = JobState.JOB_STATE_RUNNING
    head.fence = entry.sequence
    head.attempts += 1
    head.ClearField("retry_at")
    return head


def _next_stage(head: JobHead, entry: JobEvent) -> None:
    _require(head.stage + 1 < len(head.kinds), Rule.STAGE)
    head.stage += 1
    head.fence = 0
    head.attempts = 0
    head.checkpoint_step = 0
    head.stage_ready_time.CopyFrom(entry.time)


def _save(head: JobHead, entry: JobEvent) -> None:
    """Work that gets further is not given up however often its worker dies; work that does not, is."""
    if entry.checkpointed.step > head.checkpoint_step:
        head.checkpoint_step = entry.checkpointed.step
        head.attempts = 1


def _lose(head: JobHead, entry: JobEvent) -> None:
    head.fence = 0
    if entry.attempt_lost.handed_back:
        head.attempts -= 1
    if entry.attempt_lost.HasField("retry_at"):
        head.retry_at.CopyFrom(entry.attempt_lost.retry_at)


def _end(head: JobHead, entry: JobEvent, body: str) -> None:
    if body == "succeeded":
        _require(head.stage + 1 == len(head.kinds), Rule.STAGE)
        head.state = JobState.JOB_STATE_SUCCEEDED
    elif body == "failed":
        head.state = JobState.JOB_STATE_FAILED
        head.reason = reason_of(entry.failed.error)
    else:
        head.state = JobState.JOB_STATE_CANCELLED
    head.fence = 0
    head.end_time.CopyFrom(entry.time)
