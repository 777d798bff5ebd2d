"""One delivery of one stage: from the log's answer to the commit."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import (
    AttemptLost,
    Cancelled,
    Failed,
    JobEvent,
    StageCompleted,
    StageStarted,
    Succeeded,
)
from kerf.jobs.v1.job_pb2 import Job, Stage, StageReceipt, StageTiming
from kerf_core.blobs import BlobStore
from kerf_core.bus import Bus
from kerf_core.compute import ComputePool
from kerf_core.errors import DataLoss, Internal, KerfError, NotFound, Unavailable, WorkCancelled
from kerf_core.jobs.context import ProgressBudget, RunningStage
from kerf_core.jobs.dispatch import dispatch_stage
from kerf_core.jobs.fold import TERMINAL, IllegalEntry
from kerf_core.jobs.log import OWN_SEQUENCE, JobLog, LogMoved, now
from kerf_core.jobs.names import WorkRef
from kerf_core.jobs.outcome import Act, Decision, completed_stages, decide, from_earlier_stage, spec_of
from kerf_core.jobs.rebuild import ask_for_rebuild
from kerf_core.metrics import JOBS_ENDED, STAGE_DEVICE_SECONDS, STAGE_QUEUE_SECONDS, STAGE_SECONDS
from kerf_core.rpc_status import status_of
from kerf_core.settings import ServiceSettings
from kerf_core.stages import StageHandler, StageResult
from kerf_core.tasks import end_tasks
from kerf_core.tracing import span

LOG = logging.getLogger(__name__)
_HANDED_BACK = "HANDED_BACK"
_INPUT_LOST = "INPUT_LOST"
_REBUILD_WAIT = timedelta(seconds=1)
_REBUILD_LONGEST_WAIT = timedelta(seconds=30)
_LISTEN_AFTER_SECONDS = 0.05
_JITTER = secrets.SystemRandom()
"""What failed together should not come again together."""


@dataclass
class Attempt:
    """What one delivery works with."""

    bus: Bus
    blobs: BlobStore
    pool: ComputePool
    handler: StageHandler
    settings: ServiceSettings
    worker: str
    budget: ProgressBudget
    work: WorkRef
    message: Msg
    log: JobLog = field(init=False)
    running: RunningStage | None = field(init=False, default=None)
    handed_back: bool = field(init=False, default=False)
    fenced: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.log = JobLog(
            self.bus,
            self.work.ref,
            append_timeout=self.settings.append_timeout,
            retry_for=self.settings.append_retry_for,
        )

    def hand_back(self, why: str) -> None:
        """Stop computing and give the stage to another worker, at no cost of an attempt."""
        self.handed_back = True
        if self.running is not None:
            self.running.cancel.cancel(why)


async def settle(attempt: Attempt) -> None:
    """Do what the delivery calls for. A refusal of the log ends it without a word: somebody else has the job."""
    try:
        while await _moved_meanwhile(attempt):
            LOG.info("%s: the log went on since it was read: decided again", attempt.work.ref.name)
    except IllegalEntry as refusal:
        LOG.info("%s: %s: stopped", attempt.work.ref.name, refusal)
    except (NatsError, Unavailable) as error:
        LOG.warning("%s: %s: the delivery comes again", attempt.work.ref.name, error)


async def _moved_meanwhile(attempt: Attempt) -> bool:
    """Decide from the log and act; True if it was not the newest: a replica behind its leader may have answered."""
    entries = await attempt.log.load()
    settings = attempt.settings
    decision = decide(
        entries,
        attempt.work.stage,
        max_attempts=settings.max_attempts,
        now_ns=time.time_ns(),
        # A lost attempt's last entry is older than ack_wait - heartbeat, which is two thirds of ack_wait.
        alive_ns=int(settings.ack_wait.total_seconds() * 1e9 / 2),
    )
    with span(f"stage {attempt.work.kind}", attempt.log.origin):
        try:
            await _act(attempt, decision, entries)
        except LogMoved:
            return True
    return False


async def _act(attempt: Attempt, decision: Decision, entries: list[JobEvent]) -> None:
    if decision.act is Act.WAIT_FOR_LOG:
        await attempt.message.nak(delay=1)
    elif decision.act is Act.WAIT:
        await attempt.message.nak(delay=max(0.05, decision.delay_seconds))
    elif decision.act is Act.PASS_ON:
        await _dispatch_current(attempt)
        await _ack(attempt.message)
    elif decision.act is Act.LEAVE:
        LOG.info("%s: another attempt is alive: left alone", attempt.work.ref.name)
    elif decision.act is Act.CANCEL:
        await _end(attempt, JobEvent(cancelled=Cancelled(reason="cancelled before it was started again")), fence=0)
    elif decision.act is Act.GIVE_UP:
        reason = "every attempt ended without a word: the worker died or was lost while it ran this stage"
        error = Internal("ATTEMPTS_EXHAUSTED", f"{reason} ({attempt.settings.max_attempts} attempts)")
        failed = Failed(error=status_of(error), attempts_exhausted=True)
        await _end(attempt, JobEvent(failed=failed), fence=0, stands_on_tail=True)
    else:
        await _run(attempt, decision, entries)


async def _run(attempt: Attempt, decision: Decision, entries: list[JobEvent]) -> None:
    job = spec_of(entries)
    stage = job.stages[attempt.work.stage]
    ready_at = entries[-1].head.stage_ready_time.ToNanoseconds()
    started = StageStarted(stage=stage.id, worker=attempt.worker)
    if decision.attempt_open:
        lost = AttemptLost(reason="WORKER_LOST", message="the worker of the attempt before gave no sign of life")
        started.lost.CopyFrom(lost)
    start = await attempt.log.append(JobEvent(stage_started=started), fence=OWN_SEQUENCE, stands_on_tail=True)
    queued_seconds = max(0.0, (start.time.ToNanoseconds() - ready_at) / 1e9)
    STAGE_QUEUE_SECONDS.labels(attempt.work.kind).observe(queued_seconds)
    began = time.monotonic()
    outcome = "failed"
    try:
        result = await _compute(attempt, job, stage, start, entries)
        timing = StageTiming(
            queued_seconds=queued_seconds,
            computed_seconds=time.monotonic() - began,
            device_seconds=result.device_seconds,
        )
        await _commit(
            attempt, stage, result, timing, fence=start.sequence, last=attempt.work.stage + 1 == len(job.stages)
        )
        outcome = "completed"
    except KerfError as error:
        outcome = await _fail(attempt, error, start, entries)
    finally:
        task = str(stage.WhichOneof("task"))
        STAGE_SECONDS.labels(attempt.work.kind, task, outcome).observe(time.monotonic() - began)


async def _compute(attempt: Attempt, job: Job, stage: Stage, start: JobEvent, entries: list[JobEvent]) -> StageResult:
    """Run the handler with its heartbeat, its progress writer and its ear on the feed. Raises KerfError only."""
    running = attempt.running = RunningStage(
        bus=attempt.bus,
        blobs=attempt.blobs,
        pool=attempt.pool,
        log=attempt.log,
        stage=stage,
        attempt=start.attempt,
        fence=start.sequence,
        inputs=[],
        progress_so_far=sum(1 for entry in entries if entry.HasField("progress")),
        settings=attempt.settings,
        budget=attempt.budget,
    )
    if attempt.handed_back:
        running.cancel.cancel("the worker is stopping")
    listener = asyncio.create_task(_listen(attempt, running, start.sequence))
    try:
        running.inputs = await _resolve(attempt, stage, entries)
        running.cancel.raise_if_cancelled()
        result = await attempt.handler.run(running)
        if running.lost is not None:  # the handler counted it as one item's failure; the store's loss is not that
            raise DataLoss("ARTIFACT_LOST", f"artifacts/{running.lost.sha256} could not be read")
        return result
    except KerfError:
        raise
    except Exception as error:
        incident = secrets.token_hex(6)
        LOG.exception("stage %s of %s failed", stage.id, attempt.work.ref.name, extra={"incident": incident})
        text = f"stage {stage.id!r} failed unexpectedly; incident {incident} in the worker's log says why"
        raise Internal("INTERNAL", text, metadata={"incident": incident}) from error
    finally:
        await end_tasks(listener)
        await running.close()


async def _resolve(attempt: Attempt, stage: Stage, entries: list[JobEvent]) -> list[list[Artifact]]:
    done = completed_stages(entries)
    resolved = []
    for source in stage.inputs:
        if source.HasField("from_stage"):
            resolved.append(from_earlier_stage(source, done))
        else:
            sha256 = source.artifact.removeprefix("artifacts/")
            try:
                resolved.append([await attempt.blobs.stat(attempt.work.ref.tenant, sha256)])
            except NotFound as error:
                text = f"{source.artifact} was there when the job was accepted and is gone: upload it again"
                raise DataLoss("ARTIFACT_LOST", text, metadata={"artifact": source.artifact}) from error
    return resolved


def _look(attempt: Attempt, fence: int, tail: JobEvent) -> None:
    """Stop computing if the log has moved on without this attempt."""
    running = attempt.running
    if running is None or tail.sequence < fence:
        return
    if tail.head.state in TERMINAL or tail.head.fence != fence:
        attempt.fenced = True
        running.cancel.cancel("the job ended or another attempt took over")
    elif tail.head.cancel_requested:
        running.cancel.cancel("the job is being cancelled")


async def _listen(attempt: Attempt, running: RunningStage, fence: int) -> None:
    """Hear on the feed when the log moves on without this attempt, and say that the stage is alive.

    Begins after a moment: a stage that takes no time would only pay for it.
    """

    async def heard(message: Msg) -> None:
        _look(attempt, fence, JobEvent.FromString(message.data))

    await asyncio.sleep(_LISTEN_AFTER_SECONDS)
    ear = await attempt.bus.client.subscribe(attempt.work.ref.feed, cb=heard)
    try:
        with suppress(Unavailable):
            tail = await attempt.log.refresh()  # what was said before the ear was there
            if tail is not None:
                _look(attempt, fence, tail)
        await _heartbeat(attempt, running, fence)
        await asyncio.Event().wait()
    finally:
        with suppress(NatsError):
            await ear.unsubscribe()


async def _heartbeat(attempt: Attempt, running: RunningStage, fence: int) -> None:
    """Say that the stage is alive, but only while its computing advances."""
    stall_seconds = attempt.settings.stall_timeout.total_seconds()
    while True:
        await asyncio.sleep(attempt.settings.heartbeat.total_seconds())
        if time.monotonic() - running.advanced_at > stall_seconds:
            LOG.error("%s: no progress for %.0f s: its sign of life stops", attempt.work.ref.name, stall_seconds)
            return
        with suppress(NatsError, Unavailable):
            await attempt.message.in_progress()
            tail = await attempt.log.refresh()
            if tail is not None:
                _look(attempt, fence, tail)


async def _commit(
    attempt: Attempt, stage: Stage, result: StageResult, timing: StageTiming, *, fence: int, last: bool
) -> None:
    completed = StageCompleted(
        stage=stage.id,
        outputs=result.outputs,
        item_failures=result.item_failures,
        warnings=result.warnings,
        receipt=StageReceipt(
            models=result.models,
            seeds=result.seeds,
            numeric_class=result.numeric_class,
            versions=result.versions,
        ),
        timing=timing,
    )
    if result.device_seconds >= 0:
        STAGE_DEVICE_SECONDS.labels(attempt.work.kind).observe(result.device_seconds)
    if last:
        await _end(attempt, JobEvent(succeeded=Succeeded(last_stage=completed)), fence=fence)
    else:
        await attempt.log.append(JobEvent(stage_completed=completed), fence=fence)
        await _dispatch_current(attempt)
        await _ack(attempt.message)
    if attempt.running is not None and attempt.running.checkpointed:
        with suppress(KerfError):  # what is left behind is only storage
            await attempt.running.checkpoints.clear()


async def _fail(attempt: Attempt, error: KerfError, start: JobEvent, entries: list[JobEvent]) -> str:
    """Append what the failure means, unless the log has no place for it. Returns the outcome's name."""
    if attempt.fenced:
        return "fenced"
    fence = start.sequence
    if attempt.running is not None and attempt.running.lost is not None and not attempt.running.cancel.cancelled:
        try:
            await _wait_for_rebuild(attempt, attempt.running.lost, entries, fence)
            return "input_lost"
        except KerfError as loss:
            error = loss
    if isinstance(error, WorkCancelled):
        if not attempt.handed_back:
            saved = attempt.running.saved if attempt.running else []
            await _end(attempt, JobEvent(cancelled=Cancelled(reason=error.message, saved=saved)), fence=fence)
            return "cancelled"
        lost = AttemptLost(reason=_HANDED_BACK, message=error.message, handed_back=True)
        await attempt.log.append(JobEvent(attempt_lost=lost), fence=fence)
        await attempt.message.nak()
        return "handed_back"
    tail = attempt.log.tail or start
    exhausted = tail.head.attempts >= attempt.settings.max_attempts
    if error.retryable and not exhausted:
        delay = attempt.settings.retry_backoff * 2 ** (tail.head.attempts - 1) * _JITTER.uniform(0.8, 1.2)
        lost = AttemptLost(reason=error.reason, message=error.message, retry_at=_later(delay))
        await attempt.log.append(JobEvent(attempt_lost=lost), fence=fence)
        await attempt.message.nak(delay=delay.total_seconds())
        return "lost"
    failed = Failed(error=status_of(error), attempts_exhausted=error.retryable and exhausted)
    await _end(attempt, JobEvent(failed=failed), fence=fence)
    return "failed"


async def _wait_for_rebuild(attempt: Attempt, lost: Artifact, entries: list[JobEvent], fence: int) -> None:
    """Have a lost input made again, and the stage tried again after it, at no cost of an attempt."""
    name = await ask_for_rebuild(attempt.bus, attempt.settings, attempt.work.ref, entries, lost)
    waits = sum(1 for entry in entries if entry.attempt_lost.reason == _INPUT_LOST)
    delay = min(_REBUILD_WAIT * 2**waits, _REBUILD_LONGEST_WAIT)
    text = f"artifacts/{lost.sha256} was lost from the store; {name} makes it again"
    again = AttemptLost(reason=_INPUT_LOST, message=text, retry_at=_later(delay), handed_back=True)
    await attempt.log.append(JobEvent(attempt_lost=again), fence=fence)
    await attempt.message.nak(delay=delay.total_seconds())


def _later(delay: timedelta) -> Timestamp:
    stamp = now()
    stamp.FromNanoseconds(stamp.ToNanoseconds() + int(delay.total_seconds() * 1e9))
    return stamp


async def _end(attempt: Attempt, event: JobEvent, *, fence: int, stands_on_tail: bool = False) -> None:
    stored = await attempt.log.append(event, fence=fence, stands_on_tail=stands_on_tail)
    JOBS_ENDED.labels(str(stored.WhichOneof("body")), stored.head.reason).inc()
    await _ack(attempt.message)


async def _dispatch_current(attempt: Attempt) -> None:
    """Queue the stage that the job is in now, if it goes on."""
    tail = attempt.log.tail
    if tail is not None and tail.head.state not in TERMINAL and tail.head.stage != attempt.work.stage:
        kind = tail.head.kinds[tail.head.stage]
        await dispatch_stage(attempt.bus, attempt.work.ref, kind, tail.head.stage)


async def _ack(message: Msg) -> None:
    """Take the message out of the queue for sure. If that fails it comes again and finds its stage done."""
    with suppress(NatsError, APIError, TimeoutError):
        await message.ack_sync(timeout=2)
