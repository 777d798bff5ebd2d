"""Appends that meet somebody else: a lost answer, a heartbeat's look at the tail, a log removed, a copy that lags."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kerf.jobs.v1.event_pb2 import Accepted, AttemptLost, JobEvent, JobHead, Log, StageCompleted, StageStarted
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf_core.bus import Conflict, OutcomeUnknown, Stored
from kerf_core.jobs.attempt import Attempt, settle
from kerf_core.jobs.context import ProgressBudget
from kerf_core.jobs.fold import IllegalEntry, Rule
from kerf_core.jobs.log import OWN_SEQUENCE, JobLog, LogMoved
from kerf_core.jobs.names import JobRef, WorkRef
from kerf_core.settings import ServiceSettings
from kerf_core.stages import JobId, StageContext, StageResult, TenantId


class LosesAnswers:
    """A stream in memory that stores, and whose answer is lost once, after the log's tail was read by somebody else."""

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.log: JobLog | None = None

    async def append(self, subject: str, data: bytes, *, expected: int, timeout: float) -> int:
        assert expected == len(self.stored)
        self.stored.append(Stored(len(self.stored) + 1, subject, data))
        if self.log is not None:
            log, self.log = self.log, None
            await log.refresh()
            raise OutcomeUnknown
        return len(self.stored)

    async def last(self, stream: str, subject: str) -> Stored | None:
        return self.stored[-1] if self.stored else None

    async def read(self, stream: str, subject: str, *, start: int = 1) -> list[Stored]:
        return self.stored[start - 1 :]


REF = JobRef(TenantId("local"), JobId("0" * 20))


async def started(log: JobLog) -> JobEvent:
    """The entry that started its first stage."""
    job = Job(stages=[Stage(id="a", noop=NoopTask())])
    await log.append(JobEvent(accepted=Accepted(job=job), head=JobHead(kinds=["noop"])))
    return await log.append(JobEvent(stage_started=StageStarted(stage="a", worker="w")), fence=OWN_SEQUENCE)


async def test_an_entry_whose_answer_was_lost_is_found_though_the_tail_was_read_meanwhile() -> None:
    bus = LosesAnswers()
    log = JobLog(bus, REF, append_timeout=timedelta(seconds=1), retry_for=timedelta(seconds=5))  # type: ignore[arg-type]  # the three calls that a log makes
    start = await started(log)
    bus.log = log
    line = await log.append(JobEvent(log=Log(level="info", message="once")), fence=start.sequence)
    written = [JobEvent.FromString(message.data) for message in bus.stored]
    assert [event.writer for event in written].count(line.writer) == 1
    assert [event.sequence for event in written] == [1, 2, 3]


class LosesTheLog(LosesAnswers):
    """The same, whose log is removed between a writer's look at its tail and his append."""

    async def append(self, subject: str, data: bytes, *, expected: int, timeout: float) -> int:
        if len(self.stored) == 2:
            self.stored.clear()
            raise Conflict
        return await super().append(subject, data, expected=expected, timeout=timeout)


async def test_a_writer_stops_when_the_log_is_gone() -> None:
    log = JobLog(LosesTheLog(), REF, append_timeout=timedelta(seconds=1), retry_for=timedelta(seconds=5))  # type: ignore[arg-type]  # the three calls that a log makes
    start = await started(log)
    with pytest.raises(IllegalEntry) as refusal:
        await log.append(JobEvent(log=Log(level="info", message="to nobody")), fence=start.sequence)
    assert refusal.value.rule is Rule.ENDED


class LagsBehind(LosesAnswers):
    """A stream of three copies: the one that answers a read has not heard of the newest entries yet, once."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = 0

    async def append(self, subject: str, data: bytes, *, expected: int, timeout: float) -> int:
        last = self.stored[-1].sequence if self.stored and self.stored[-1].subject == subject else 0
        if subject == REF.events and expected != last:
            raise Conflict
        return await super().append(subject, data, expected=len(self.stored), timeout=timeout)

    async def read(self, stream: str, subject: str, *, start: int = 1) -> list[Stored]:
        known = await super().read(stream, subject, start=start)
        behind, self.behind = self.behind, 0
        return known[: len(known) - behind]


async def test_what_was_decided_from_an_older_log_is_not_appended_to_a_newer_one() -> None:
    bus = LagsBehind()
    quick, slow = (
        JobLog(bus, REF, append_timeout=timedelta(seconds=1), retry_for=timedelta(seconds=5))  # type: ignore[arg-type]  # the three calls that a log makes
        for _ in range(2)
    )
    await started(quick)
    bus.behind = 1
    assert [entry.sequence for entry in await slow.load()] == [1]
    first = JobEvent(stage_started=StageStarted(stage="a", worker="slow"))
    with pytest.raises(LogMoved):
        await slow.append(first, fence=OWN_SEQUENCE, stands_on_tail=True)
    assert [entry.sequence for entry in await slow.load()] == [1, 2], "and now it knows what it did not"
    again = JobEvent(stage_started=StageStarted(stage="a", worker="slow", lost=AttemptLost(reason="WORKER_LOST")))
    stored = await slow.append(again, fence=OWN_SEQUENCE, stands_on_tail=True)
    assert stored.sequence == 3


class Refuses:
    """A handler that must not be called."""

    kind = "noop"

    async def run(self, context: StageContext) -> StageResult:
        raise AssertionError(f"{context.stage.id} was done already")


class Delivery:
    """Counts acks."""

    acks = 0

    async def ack_sync(self, timeout: float) -> None:
        self.acks += 1


async def test_a_stage_that_is_done_is_not_started_from_a_log_that_lags() -> None:
    """The log says: nothing has begun. Its leader says: this stage is done, the next one waits."""
    bus, message = LagsBehind(), Delivery()
    log = JobLog(bus, REF, append_timeout=timedelta(seconds=1), retry_for=timedelta(seconds=5))  # type: ignore[arg-type]  # the three calls that a log makes
    stages = [Stage(id=name, noop=NoopTask()) for name in ("a", "b")]
    await log.append(JobEvent(accepted=Accepted(job=Job(stages=stages)), head=JobHead(kinds=["noop", "noop"])))
    start = await log.append(JobEvent(stage_started=StageStarted(stage="a", worker="w")), fence=OWN_SEQUENCE)
    await log.append(JobEvent(stage_completed=StageCompleted(stage="a")), fence=start.sequence)
    bus.behind = 2
    attempt = Attempt(
        bus=bus,  # type: ignore[arg-type]  # the three calls that a log makes
        blobs=None,  # type: ignore[arg-type]  # nothing is computed
        pool=None,  # type: ignore[arg-type]  # nothing is computed
        handler=Refuses(),
        settings=ServiceSettings.model_construct(),
        worker="late",
        budget=ProgressBudget(1.0),
        work=WorkRef("noop", REF, 0),
        message=message,  # type: ignore[arg-type]  # its ack is all that is asked for
    )
    await settle(attempt)
    bodies = [JobEvent.FromString(each.data).WhichOneof("body") for each in bus.stored if each.subject == REF.events]
    assert bodies == ["accepted", "stage_started", "stage_completed"]
    assert [each.subject for each in bus.stored if each.subject != REF.events] == [REF.work("noop", 1)]
    assert message.acks == 1
