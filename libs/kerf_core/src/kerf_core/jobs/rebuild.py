"""Making a lost object again: a job of its own, which counts only if it gives the same bytes.

An output is *rebuildable* if its receipt is enough to make it again bit for bit. S3 may lose such an output without
harm; anything else was made durable before it was answered for, and its loss is told as DATA_LOSS, never mended with
other bytes.
"""

from __future__ import annotations

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent, StageCompleted
from kerf.jobs.v1.job_pb2 import Job, JobState, Priority, Stage, StageInput
from kerf_core.bus import Bus
from kerf_core.errors import DataLoss
from kerf_core.jobs.acceptance import accepted_entry, fulfil, promise
from kerf_core.jobs.fold import TERMINAL
from kerf_core.jobs.log import JobLog
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.outcome import completed_stages, from_earlier_stage, spec_of
from kerf_core.settings import ServiceSettings

MAX_REBUILDS = 3
"""How often the same bytes are made again while their first rebuild is remembered (`request_ttl`)."""
REBUILD_LABEL = "kerf-rebuild"


async def ask_for_rebuild(
    bus: Bus, settings: ServiceSettings, ref: JobRef, entries: list[JobEvent], lost: Artifact
) -> str:
    """Have `lost`, which a stage of the job could not read, made again; returns the job that does it: `jobs/<id>`.

    Whoever asks for the same bytes meanwhile is told the same job. Raises DataLoss if the bytes cannot be had again,
    Unavailable.
    """
    job, kinds = rebuild_spec(ref, entries, lost)
    for number in range(MAX_REBUILDS):
        request_id = f"rebuild/{lost.sha256}" + (f"/{number}" if number else "")
        promised = await promise(bus, ref.tenant, request_id, job, accepted_entry(job, kinds), any_payload=True)
        log = JobLog(bus, promised.ref, append_timeout=settings.append_timeout, retry_for=settings.append_retry_for)
        made = await fulfil(log, promised.accepted)
        tail = made[-1]
        if tail.head.state not in TERMINAL:
            return promised.ref.name
        if tail.head.state != JobState.JOB_STATE_SUCCEEDED:
            raise _loss(lost, f"{promised.ref.name} was to make it again and {_ending(tail)}")
        if not any(output.sha256 == lost.sha256 for done in completed_stages(made).values() for output in done.outputs):
            raise _loss(lost, f"{promised.ref.name} made it again, but the bytes were others (another numeric class?)")
        # It was made again, and what was made is gone too.
    raise _loss(lost, f"it was made again {MAX_REBUILDS} times and lost each time: look at the store")


def rebuild_spec(ref: JobRef, entries: list[JobEvent], lost: Artifact) -> tuple[Job, list[str]]:
    """The job that makes `lost` again, and the kinds of worker that it needs: its stage and the stages before it.

    Raises DataLoss if no stage of the job made it, or if it cannot be made again.
    """
    spec, done = spec_of(entries), completed_stages(entries)
    makers = [stage for stage in spec.stages if stage.id in done and _made_by(done[stage.id], lost)]
    if not makers:
        raise _loss(lost, "it was given to the job and is not an output of an earlier stage: upload it again")
    needed: dict[str, Stage] = {}
    _need(makers[0], spec, done, needed)
    job = Job(
        retry_of=ref.name, priority=Priority.PRIORITY_HIGH, reproducible=True, labels={REBUILD_LABEL: lost.sha256}
    )
    kinds = []
    for index, stage in enumerate(spec.stages):
        if stage.id in needed:
            job.stages.append(needed[stage.id])
            kinds.append(entries[-1].head.kinds[index])
    return job, kinds


def _need(stage: Stage, spec: Job, done: dict[str, StageCompleted], needed: dict[str, Stage]) -> None:
    """Collect a stage and all that it stands on, with what cannot be made again replaced by the artifact itself."""
    if stage.id in needed:
        return
    again = Stage()
    again.CopyFrom(stage)
    needed[stage.id] = again
    for number, source in enumerate(stage.inputs):
        if not source.HasField("from_stage"):
            continue
        outputs = from_earlier_stage(source, done)
        if all(output.rebuildable for output in outputs):
            earlier = next(other for other in spec.stages if other.id == source.from_stage.stage)
            _need(earlier, spec, done, needed)
        elif len(outputs) == 1:
            again.inputs[number].CopyFrom(StageInput(artifact=outputs[0].name))
        else:
            raise _loss(outputs[0], f"stage {stage.id!r} stands on several outputs that cannot be made again")


def _made_by(completed: StageCompleted, lost: Artifact) -> bool:
    for output in completed.outputs:
        if output.sha256 == lost.sha256:
            if not output.rebuildable:
                raise _loss(lost, f"stage {completed.stage!r} made it in a way that cannot be repeated")
            return True
    return False


def _ending(tail: JobEvent) -> str:
    return f"failed: {tail.failed.error.message}" if tail.HasField("failed") else "was cancelled"


def _loss(lost: Artifact, why: str) -> DataLoss:
    text = f"artifacts/{lost.sha256} is gone from the store, or its bytes are damaged, and cannot be had again: {why}"
    return DataLoss("ARTIFACT_LOST", text, metadata={"artifact": f"artifacts/{lost.sha256}"})
