"""The clients of a run: they ask, follow, leave, come back, cancel and fetch, and write down what they were told."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from chaos.faults.history import TERMINAL, Asked, Cancel, Delivery, History, Outcome, Output, Seen, Sitting, Told
from chaos.faults.wishes import Entrance, Wish, digest_of
from chaos.faults.worker import EXECUTION
from e2e_calls import Caller
from kerf.artifacts.v1.artifacts_pb2 import Artifact, DownloadArtifactRequest
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, JobState

T = TypeVar("T")
_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)
"""Codes after which a client asks again. The last two come from cut connections; from kerf they are a surprise."""
_PAUSE_S = 0.3


def state_name(state: JobState.ValueType) -> str:
    """`JOB_STATE_SUCCEEDED` -> `succeeded`."""
    return JobState.Name(state).removeprefix("JOB_STATE_").lower()


def digest_of_event(event: JobEvent) -> str:
    """Of all that an entry says."""
    return hashlib.sha256(event.SerializeToString(deterministic=True)).hexdigest()[:32]


def output_of(stage: str, artifact: Artifact) -> Output:
    """As the history has it."""
    return Output(stage, artifact.sha256, artifact.labels.get(EXECUTION, ""))


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """kerf's reason; empty where the error is the connection's."""
    status: Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has the same parts
    for detail in status.details if status else ():
        info = ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


@dataclass
class Client:
    """Follows one wish through the doors that it is given."""

    wish: Wish
    doors: list[Caller]
    history: History
    surprises: list[str]
    patience_s: float
    """For one call, and for one silence of a stream."""
    give_up_at: Callable[[], float]
    """The time by which it stops trying; moves while faults are in force."""
    last_seen: int = 0
    turn: int = field(init=False)

    def __post_init__(self) -> None:
        self.turn = self.wish.number

    @property
    def name(self) -> str:
        """For the records."""
        return f"client-{self.wish.number}"

    def door(self) -> Caller:
        """One after the other: nobody depends on one gateway."""
        self.turn += 1
        return self.doors[self.turn % len(self.doors)]

    async def run(self) -> None:
        """Everything that the client does."""
        wish = self.wish
        job = await (self.create(wish.job()) if wish.entrance is Entrance.CREATE else self.run_job(wish.job()))
        if not job:
            return
        again = [self.create(wish.job()) for _ in range(wish.replays)]
        if wish.contradicts:
            again.append(self.create(wish.job(contradicting=True)))
        await asyncio.gather(*again, *(self.follow(job, leaves=number == 0) for number in range(wish.watchers)))
        final = await self.until_answered(lambda: self.get(job))
        if final is not None:
            await asyncio.gather(*(self.fetch(job, output.sha256) for output in final.outputs))

    async def create(self, request: Job) -> str:
        """Ask until there is an answer; once only without a request_id. The job's name, or empty."""
        while True:
            try:
                call = self.door().jobs.CreateJob(
                    api.CreateJobRequest(request_id=self.wish.request_id, job=request),
                    metadata=self.doors[0].metadata,
                    timeout=self.patience_s,
                )
                answer = await call
            except grpc.aio.AioRpcError as error:
                if not self._asked_in_vain(request, error):
                    return ""
            else:
                self._asked(request, Outcome.ANSWERED, job=answer.name)
                self._told("CreateJob", answer, 0)
                return str(answer.name)
            await asyncio.sleep(_PAUSE_S)

    async def run_job(self, request: Job) -> str:
        """The same by RunJob: the first event answers it, and its stream is left at the first place to leave."""
        while True:
            events: list[JobEvent] = []
            closed = False
            failure: grpc.aio.AioRpcError | None = None
            stream = self.door().jobs.RunJob(
                api.CreateJobRequest(request_id=self.wish.request_id, job=request), metadata=self.doors[0].metadata
            )
            limit = (*self.wish.leaves_after, 1 << 30)[0]
            try:
                closed = await self._take(stream, events, limit)
                if closed and not events:
                    self.surprises.append(f"{self.name}: RunJob ended without an event")
            except grpc.aio.AioRpcError as error:
                failure = error
            finally:
                stream.cancel()
            if events:
                self._asked(request, Outcome.ANSWERED, job=events[0].job)
                self._sat(events[0].job, 0, events, closed=closed)
                return str(events[0].job)
            if not self._asked_in_vain(request, failure):
                return ""
            await asyncio.sleep(_PAUSE_S)

    def _asked_in_vain(self, request: Job, error: grpc.aio.AioRpcError | None) -> bool:
        """Write it down; True if the client asks again. No error: there was no answer in time."""
        again = error is None or self.may_be_tried_again(error)
        outcome = Outcome.UNKNOWN if again else Outcome.REFUSED
        self._asked(request, outcome, reason=reason_of(error) if error else "")
        return again and bool(self.wish.request_id) and time.time() < self.give_up_at()

    def _asked(self, request: Job, outcome: Outcome, *, job: str = "", reason: str = "") -> None:
        wish = self.wish
        self.history.asked.append(
            Asked(
                self.name, wish.ask, wish.request_id, digest_of(request), wish.expects, outcome, job=job, reason=reason
            )
        )

    async def follow(self, job: str, *, leaves: bool) -> None:
        """Watch to the end, from where the last stream ended; the first watcher cancels too, where that is wished."""
        last = 0
        to_leave = list(self.wish.leaves_after) if leaves else []
        cancels = self.wish.cancels_after if leaves else 0
        while time.time() < self.give_up_at():
            events: list[JobEvent] = []
            closed = False
            stops = [place for place in (to_leave[0] if to_leave else 0, cancels) if place > last]
            request = api.WatchJobRequest(name=job, after_sequence=last, durable_only=True)
            stream = self.door().jobs.WatchJob(request, metadata=self.doors[0].metadata)
            try:
                closed = await self._take(stream, events, min(stops, default=1 << 30))
            except grpc.aio.AioRpcError as error:
                self.may_be_tried_again(error)
                await asyncio.sleep(_PAUSE_S)
            finally:
                stream.cancel()
            self._sat(job, last, events, closed=closed)
            last = max([last, *(event.sequence for event in events)])
            to_leave = [place for place in to_leave if place > last]
            if cancels and last >= cancels:
                cancels = 0
                await self.until_answered(lambda: self.cancel(job))
            if closed:
                return

    async def _take(self, stream: grpc.aio.UnaryStreamCall[T, JobEvent], events: list[JobEvent], stop: int) -> bool:
        """Collect durable events until sequence `stop`, a long silence, or the end. True where the server ended it."""
        while True:
            try:
                async with asyncio.timeout(self.patience_s):
                    event = await stream.read()
            except TimeoutError:
                return False
            if not isinstance(event, JobEvent):
                return True
            if event.sequence == 0:
                continue
            events.append(event)
            self.last_seen = max(self.last_seen, event.sequence)
            if event.sequence >= stop and event.WhichOneof("body") not in TERMINAL:
                return False

    def _sat(self, job: str, after: int, events: list[JobEvent], *, closed: bool) -> None:
        seen = tuple(Seen(event.sequence, digest_of_event(event)) for event in events)
        self.history.sittings.append(Sitting(self.name, job, after, seen, closed))

    async def cancel(self, job: str) -> Told:
        """Ask once."""
        before = self.last_seen
        self.history.cancels.append(Cancel(self.name, job, None))
        request = api.CancelJobRequest(name=job, reason="a wish")
        answer = await self.door().jobs.CancelJob(request, metadata=self.doors[0].metadata, timeout=self.patience_s)
        self.history.cancels.append(Cancel(self.name, job, answer.last_sequence))
        return self._told("CancelJob", answer, before)

    async def get(self, job: str) -> Told:
        """Ask once."""
        before = self.last_seen
        answer = await self.door().jobs.GetJob(
            api.GetJobRequest(name=job), metadata=self.doors[0].metadata, timeout=self.patience_s
        )
        return self._told("GetJob", answer, before)

    def _told(self, call: str, answer: Job, before: int) -> Told:
        outputs = tuple(output_of(stage.id, artifact) for stage in answer.stages for artifact in stage.outputs)
        told = Told(self.name, call, answer.name, state_name(answer.state), answer.last_sequence, outputs, before)
        self.history.told.append(told)
        return told

    async def fetch(self, job: str, sha256: str) -> None:
        """Download an output; an empty delivery where that never worked."""
        got = await self.until_answered(lambda: self.download(sha256, job))
        self.history.deliveries.append(Delivery(self.name, job, sha256, got or ""))

    async def download(self, sha256: str, job: str = "") -> str:
        """SHA-256 of the bytes that come."""
        digest = hashlib.sha256()
        request = DownloadArtifactRequest(name=f"artifacts/{sha256}", job=job)
        door = self.door()
        stream = door.artifacts.DownloadArtifact(request, metadata=door.metadata, timeout=self.patience_s)
        try:
            async for part in stream:
                digest.update(part.chunk)
        finally:
            stream.cancel()
        return digest.hexdigest()

    async def until_answered(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None where there was none within the bound, or a refusal."""
        while time.time() < self.give_up_at():
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if not self.may_be_tried_again(error):
                    return None
            await asyncio.sleep(_PAUSE_S)
        return None

    def may_be_tried_again(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether the error says so. An INTERNAL of kerf itself is nobody's plan, and is kept as a surprise."""
        reason, code = reason_of(error), error.code()
        expected = reason == "REQUEST_ID_REUSED" and self.wish.contradicts
        if (reason and code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)) or (
            code not in _AGAIN and not expected
        ):
            self.surprises.append(f"{self.name}: {code.name} {reason}: {error.details()}")
        return code in _AGAIN
