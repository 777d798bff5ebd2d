"""Everything that callers do, mixed: what `bench.memory` runs for half an hour."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import grpc
import numpy as np
from PIL import Image

from kerf.artifacts.v1.artifacts_pb2 import DownloadArtifactRequest
from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceStub
from kerf.jobs.v1.job_pb2 import Job, JobState, NoopTask, Stage
from kerf.jobs.v1.job_service_pb2 import CreateJobRequest, JobFilter
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceStub
from kerf_client import AsyncKerf, AsyncOptimizer, KerfError, NotFound
from kerf_client.recipes import Target, picture_job
from kerf_core.auth import new_api_key
from kerf_embedded.state import StackInfo

_LARGE_BYTES = 3 << 20
_SMALL_BYTES = 32 << 10
_PICTURES = 6
_PICTURE_PX = 96
_WIDTH_MM = 12.0
_FIRST_DPI = 180.0
_BATCH = 20
_STREAMS = 4
_PAGE = 1000
_FAR_DEADLINE_NS = 3_600_000_000_000
_DEADLINE_NS = 4_000_000_000
_SETTLE_S = 180.0
_OPEN = (JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_RUNNING)


@dataclass(frozen=True)
class Act:
    """Something that callers do again and again."""

    name: str
    callers: int
    pause_seconds: float
    """Between two times of one caller."""
    once: Callable[[], Awaitable[None]]


class MixedLoad:
    """Calls a stack as many callers would. Use it as an async context manager; afterwards nothing of it is open."""

    def __init__(self, info: StackInfo) -> None:
        self._info = info
        self.done: Counter[str] = Counter()
        """How often each act was done."""
        self.failed: Counter[str] = Counter()
        """How often one ended with an error, by act and reason. On a machine that is too busy calls time out."""
        self.acts = (
            Act("jobs followed to their end", 4, 0.15, self._followed),
            Act("RunJob streams left in the middle", 2, 0.4, self._left),
            Act("watches left and taken up again", 2, 0.5, self._watched),
            Act("lists, figures and estimates", 2, 0.4, self._looked),
            Act("jobs cancelled", 2, 0.5, self._cancelled),
            Act("jobs that fail and are tried again", 1, 1.0, self._failed),
            Act("deadlines missed", 1, 1.0, self._late),
            Act("refused calls", 1, 0.3, self._refused),
            Act("batches", 1, 3.0, self._batch),
            Act("downloads, whole and left in the middle", 1, 1.0, self._downloaded),
            Act("uploads", 1, 1.0, self._uploaded),
            Act("connections", 1, 1.0, self._connected),
            Act("pictures made into machine files", 1, 4.0, self._burnt),
        )
        self._numbers = itertools.count()

    async def __aenter__(self) -> MixedLoad:
        self._kerf = AsyncKerf(self._info.gateway_target, self._info.api_key)
        self._optimizer = AsyncOptimizer(self._info.targets["optimizer"], self._info.api_key)
        self._channel = grpc.aio.insecure_channel(self._info.gateway_target)
        self._metadata = (("authorization", f"Bearer {self._info.api_key}"),)
        self._large = await self._kerf.upload(secrets.token_bytes(_LARGE_BYTES))
        self._pictures = [(await self._kerf.upload(_picture(number))).name for number in range(_PICTURES)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        await self._optimizer.close()
        await self._kerf.close()

    async def once(self) -> None:
        """Every act, one after the other, so that nothing is the first of its kind afterwards."""
        for act in self.acts:
            await act.once()

    async def run(self, seconds: float) -> None:
        """All callers, for so long; then no job is open any more. Raises TimeoutError where one does not end."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for act in self.acts:
                for _ in range(act.callers):
                    group.create_task(self._again(act, until))
        await self.settle()

    async def settle(self) -> None:
        """Wait until no job is open. Raises TimeoutError."""
        async with asyncio.timeout(_SETTLE_S):
            while await self._any_open():  # noqa: ASYNC110 - a job that ends shares no event with it
                await asyncio.sleep(0.2)

    async def remembered(self) -> int:
        """How many jobs the gateway lists."""
        return len([job async for job in self._kerf.list_jobs(page_size=_PAGE)])

    async def _any_open(self) -> bool:
        async with aclosing(self._kerf.list_jobs(filter=JobFilter(states=_OPEN), page_size=1)) as jobs:
            return await anext(jobs, None) is not None

    async def _again(self, act: Act, until: float) -> None:
        while time.monotonic() < until:
            try:
                await act.once()
                self.done[act.name] += 1
            except KerfError as error:
                self.failed[f"{act.name}: {error.reason}"] += 1
            except grpc.aio.AioRpcError as error:
                self.failed[f"{act.name}: {error.code().name}"] += 1
            await asyncio.sleep(act.pause_seconds)

    async def _followed(self) -> None:
        """Long before their deadline."""
        job = _job(0, stages=2)
        job.deadline.FromNanoseconds(time.time_ns() + _FAR_DEADLINE_NS)
        async for _ in self._kerf.run(job):
            pass

    async def _left(self) -> None:
        """A stream's caller leaves after its first events; every second job is to be cancelled then."""
        number = next(self._numbers)
        request = CreateJobRequest(job=_job(1.5), cancel_on_disconnect=number % 2 == 0)
        call = JobServiceStub(self._channel).RunJob(request, metadata=self._metadata)
        for _ in range(1 + number % 3):
            await call.read()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await call.code()

    async def _watched(self) -> None:
        name = (await self._kerf.create_job(_job(0.8))).name
        for _ in range(_STREAMS):
            async with aclosing(self._kerf.watch(name)) as events:
                await anext(events)
        async for _ in self._kerf.watch(name, after_sequence=1):
            pass

    async def _looked(self) -> None:
        failed = JobFilter(states=[JobState.JOB_STATE_FAILED])
        async with aclosing(self._kerf.list_jobs(filter=failed, page_size=50)) as jobs:
            async for job in jobs:
                await self._kerf.get_job(job.name)
                break
        async with aclosing(self._kerf.list_dead_letters(page_size=50)) as letters:
            await anext(letters, None)
        await self._kerf.get_queue_stats()
        async with aclosing(self._kerf.watch_queue()) as states:
            await anext(states)
        await self._kerf.estimate_job(_job(0))

    async def _cancelled(self) -> None:
        name = (await self._kerf.create_job(_job(30))).name
        async for event in self._kerf.watch(name):
            if event.HasField("stage_started"):
                await self._kerf.cancel_job(name, "the bench wants it to end")

    async def _failed(self) -> None:
        async for _ in self._kerf.run(_job(0, fail_with="on purpose")):
            pass

    async def _late(self) -> None:
        job = _job(30)
        job.deadline.FromNanoseconds(time.time_ns() + _DEADLINE_NS)
        async for _ in self._kerf.run(job):
            pass

    async def _refused(self) -> None:
        """A wrong job, a job that nobody has, and a key that nobody has."""
        for call in (self._kerf.create_job(Job()), self._kerf.get_job(f"jobs/{secrets.token_hex(8)}")):
            await _refusal_of(call)
        async with AsyncKerf(self._info.gateway_target, new_api_key()) as stranger:
            await _refusal_of(stranger.get_queue_stats())

    async def _batch(self) -> None:
        """One that is left and one that is followed; of every second one the rest is cancelled."""
        number = next(self._numbers)
        for seconds in (0.0, 1.0):
            batch = await self._kerf.create_batch([_job(seconds) for _ in range(_BATCH)])
            async with aclosing(self._kerf.watch_batch(batch.name)) as states:
                await anext(states)
            if number % 2:
                await self._kerf.cancel_batch(batch.name, "the bench wants it to end")
            async for _ in self._kerf.watch_batch(batch.name):
                pass

    async def _downloaded(self) -> None:
        await self._kerf.download(self._large.name)
        request = DownloadArtifactRequest(name=self._large.name)
        call = ArtifactServiceStub(self._channel).DownloadArtifact(request, metadata=self._metadata)
        await call.read()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await call.code()

    async def _uploaded(self) -> None:
        kept = await self._kerf.upload(secrets.token_bytes(_SMALL_BYTES))
        await self._kerf.get_artifact(kept.name)
        await self._kerf.delete_artifact(kept.name)

    async def _connected(self) -> None:
        async with AsyncKerf(self._info.gateway_target, self._info.api_key) as client:
            async for _ in client.run(_job(0)):
                pass

    async def _burnt(self) -> None:
        """A real job of the optimizer, each at a pitch that none had before, and a direct call."""
        number = next(self._numbers)
        target = Target(width_mm=_WIDTH_MM, dpi=_FIRST_DPI + number % 100_000 / 1000)
        name = (await self._kerf.create_job(picture_job(self._pictures[number % _PICTURES], target))).name
        job = await self._kerf.wait(name)
        for stage in job.stages:
            for artifact in stage.outputs:
                await self._kerf.download(artifact.name, job=name)
        await self._optimizer.list_presets()


def _job(seconds: float, *, stages: int = 1, fail_with: str = "") -> Job:
    task = NoopTask(seconds=seconds, fail_with=fail_with)
    return Job(stages=[Stage(id=f"s{number}", noop=task) for number in range(stages)], labels={"bench": "memory"})


def _picture(number: int) -> bytes:
    """A ball before a ramp, for each number at another place."""
    rows, columns = np.mgrid[:_PICTURE_PX, :_PICTURE_PX]
    ball = np.hypot(rows - 48, columns - 16 - 10 * number) < 20
    kept = io.BytesIO()
    Image.fromarray(np.where(ball, 40, columns * 2).astype(np.uint8)).save(kept, "PNG")
    return kept.getvalue()


async def _refusal_of(call: Awaitable[object]) -> None:
    """It must be refused; what the gateway answers instead would be a fault of the bench."""
    try:
        await call
    except KerfError as error:
        if not isinstance(error, NotFound) and error.code not in _REFUSALS:
            raise
    else:
        raise RuntimeError("the gateway accepted what it must refuse")


_REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED}
