"""Following jobs and batches through every interruption: no gap, no duplicate, or an exception that says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from grpc import StatusCode

from kerf.jobs.v1.batch_pb2 import Batch, GetBatchRequest, WatchBatchRequest, WatchBatchResponse
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import JobState
from kerf.jobs.v1.job_service_pb2 import GetJobRequest, WatchJobRequest
from kerf_client.calls import Caller
from kerf_client.connection import CallIdentity
from kerf_client.errors import NotFound, ProtocolViolation, ServiceUnavailable

if TYPE_CHECKING:
    from kerf.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub

TERMINAL_STATES = frozenset(
    {JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED},
)
_KNOWN_WITHIN_S = 2.0
_TERMINAL_BODIES = frozenset({"succeeded", "failed", "cancelled"})


def is_terminal(event: JobEvent) -> bool:
    """True for the last entry of a job's log."""
    return event.WhichOneof("body") in _TERMINAL_BODIES


class SequenceGuard:
    """Holds the stream to its promise: numbered events come as 1, 2, 3 …; number 0 is transient and passes."""

    def __init__(self, name: str, after_sequence: int) -> None:
        self.name = name
        self.last_sequence = after_sequence

    def admit(self, event: JobEvent) -> None:
        """Take note of the event. Raises ProtocolViolation if it is not the next one of this job."""
        if event.job != self.name:
            raise ProtocolViolation(
                f"watching {self.name}, but an event of {event.job or 'no job'} arrived", reason="WRONG_JOB"
            )
        if event.sequence == 0:
            return
        if event.sequence != self.last_sequence + 1:
            fault = "a gap" if event.sequence > self.last_sequence else "a duplicate"
            raise ProtocolViolation(
                f"{fault} in the events of {self.name}: {event.sequence} came after {self.last_sequence}",
                reason="SEQUENCE_BROKEN",
            )
        self.last_sequence = event.sequence


async def follow(
    caller: Caller, stub: JobServiceAsyncStub, name: str, *, after_sequence: int, durable_only: bool
) -> AsyncGenerator[JobEvent, None]:
    """Yield the events of `name` after `after_sequence` until the terminal one.

    Reconnects while the server is away and resumes from the last sequence seen. Raises ProtocolViolation on a gap or
    a duplicate, ServiceUnavailable when the server was away for `give_up_after`, NotFound and other KerfErrors at once.
    """
    guard = SequenceGuard(name, after_sequence)

    def connect(identity: CallIdentity) -> AsyncGenerator[JobEvent, None]:
        request = WatchJobRequest(name=name, after_sequence=guard.last_sequence, durable_only=durable_only)
        return caller.stream(stub.WatchJob, request, identity)

    def ended_early() -> str:
        return f"the events of {name} ended before the job did (last sequence {guard.last_sequence})"

    async def still_there() -> object:
        return await caller.unary(stub.GetJob, GetJobRequest(name=name))  # a job that waits its turn says nothing

    async with aclosing(caller.stream_again(connect, ended_early, still_there)) as events:
        async for event in events:
            guard.admit(event)
            yield event
            if is_terminal(event):
                return


async def follow_batch(caller: Caller, stub: JobServiceAsyncStub, name: str) -> AsyncGenerator[Batch, None]:
    """Yield how the batch stands, at once and whenever it changed, until all of its jobs have ended.

    What arrives is the whole state, so a cut loses nothing: the next stream begins with the state then. A state in
    which fewer jobs have ended than before comes from a gateway that lags behind, and is left out; so is the news that
    there is no such batch, for two seconds: one that was just accepted may not be known everywhere. Raises as `follow`.
    """
    ended = -1
    known_by = asyncio.get_running_loop().time() + _KNOWN_WITHIN_S

    async def connect(identity: CallIdentity) -> AsyncGenerator[WatchBatchResponse, None]:
        try:
            async with aclosing(caller.stream(stub.WatchBatch, WatchBatchRequest(name=name), identity)) as states:
                async for state in states:
                    yield state
        except NotFound as error:
            if asyncio.get_running_loop().time() > known_by:
                raise
            raise ServiceUnavailable(error.message, code=StatusCode.UNAVAILABLE, reason=error.reason) from error

    async def still_there() -> object:
        return await caller.unary(stub.GetBatch, GetBatchRequest(name=name))

    answers = caller.stream_again(connect, lambda: f"the states of {name} ended before the batch did", still_there)
    async with aclosing(answers) as states:
        async for state in states:
            batch = state.batch
            if batch.name != name:
                text = f"watching {name}, but {batch.name or 'no batch'} arrived"
                raise ProtocolViolation(text, reason="WRONG_BATCH")
            if ended_jobs(batch) < ended:
                continue
            ended = ended_jobs(batch)
            yield batch
            if batch.HasField("end_time"):
                return


def ended_jobs(batch: Batch) -> int:
    """How many of its jobs have ended, one way or another."""
    return batch.succeeded + batch.failed + batch.cancelled
