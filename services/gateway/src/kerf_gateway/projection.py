"""From a job's log to the `Job` that callers see. Pure."""

from __future__ import annotations

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead, StageCompleted
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf_core.jobs.names import JobRef


def job_of(ref: JobRef, entries: list[JobEvent]) -> Job:
    """The job as its log has it. `entries` is the whole log, not empty."""
    job = Job()
    job.CopyFrom(entries[0].accepted.job)
    _set_head(job, ref, entries[-1].head, entries[-1].sequence)
    current = -1
    for stage in job.stages:
        stage.state = JobState.JOB_STATE_QUEUED
    by_id = {stage.id: stage for stage in job.stages}
    for entry in entries:
        body = entry.WhichOneof("body")
        if body == "stage_started":
            current = entry.head.stage
            job.stages[current].state = JobState.JOB_STATE_RUNNING
            job.stages[current].attempts += 1
        elif body == "stage_completed":
            _complete(by_id[entry.stage_completed.stage], entry.stage_completed)
        elif body == "succeeded":
            _complete(by_id[entry.succeeded.last_stage.stage], entry.succeeded.last_stage)
        elif body in ("failed", "cancelled"):
            if body == "failed":
                job.error.CopyFrom(entry.failed.error)
            if current == entry.head.stage:
                job.stages[current].state = entry.head.state
                job.stages[current].outputs.extend(entry.cancelled.saved)
    return job


def summary_of(ref: JobRef, head: JobHead, sequence: int) -> Job:
    """What a list shows: the head, no stages."""
    job = Job(labels=dict(head.labels), priority=head.priority)
    if head.HasField("deadline"):
        job.deadline.CopyFrom(head.deadline)
    _set_head(job, ref, head, sequence)
    return job


def _set_head(job: Job, ref: JobRef, head: JobHead, sequence: int) -> None:
    job.name = ref.name
    job.state = head.state
    job.last_sequence = sequence
    job.create_time.CopyFrom(head.create_time)
    if head.HasField("end_time"):
        job.end_time.CopyFrom(head.end_time)


def _complete(stage: Stage, result: StageCompleted) -> None:
    stage.state = JobState.JOB_STATE_SUCCEEDED
    stage.timing.CopyFrom(result.timing)
    stage.receipt.CopyFrom(result.receipt)
    stage.outputs.extend(result.outputs)
    stage.item_failures.extend(result.item_failures)
    stage.warnings.extend(result.warnings)
