"""Following a job's events through every interruption: no gap, no duplicate, or an exception that says so."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import JobState
from kerf.jobs.v1.job_service_pb2 import WatchJobRequest
from kerf_client.calls import Caller, Patience, is_transient
from kerf_client.connection import CallIdentity
from kerf_client.errors import KerfError, ProtocolViolation, ServiceUnavailable

if TYPE_CHECKING:
    from kerf.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub

TERMINAL_STATES = frozenset(
    {JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED},
)
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
    a duplicate, ServiceUnavailable when nothing was heard for `give_up_after`, NotFound and other KerfErrors at once.
    """
    guard = SequenceGuard(name, after_sequence)
    patience = Patience(caller.policy)
    identity = CallIdentity.new()
    while True:
        request = WatchJobRequest(name=name, after_sequence=guard.last_sequence, durable_only=durable_only)
        failure: KerfError
        try:
            async with aclosing(caller.stream(stub.WatchJob, request, identity)) as events:
                async for event in events:
                    guard.admit(event)
                    patience.sign_of_life()
                    yield event
                    if is_terminal(event):
                        return
            failure = ServiceUnavailable(
                f"the events of {name} ended before the job did (last sequence {guard.last_sequence})",
                code=grpc.StatusCode.UNAVAILABLE,
                reason="STREAM_ENDED_EARLY",
            )
        except KerfError as error:
            if not is_transient(error):
                raise
            failure = error
        await patience.wait(failure)
