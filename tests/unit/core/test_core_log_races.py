"""An append whose answer is lost while a heartbeat reads the tail; an append to a log that was removed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kerf.jobs.v1.event_pb2 import Accepted, JobEvent, JobHead, Log, StageStarted
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf_core.bus import Conflict, OutcomeUnknown, Stored
from kerf_core.jobs.fold import IllegalEntry, Rule
from kerf_core.jobs.log import OWN_SEQUENCE, JobLog
from kerf_core.jobs.names import JobRef
from kerf_core.stages import JobId, TenantId


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
