"""kerf's client: one asyncio process that calls RunJob. `python -m bench.no_work.kerf_client`."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from typing import TYPE_CHECKING

import grpc

from bench.no_work.client_loop import WITH_REQUEST_ID, Load, Moments, Window, connection, serve
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf.jobs.v1.job_service_pb2 import CreateJobRequest
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceStub

if TYPE_CHECKING:  # the stub's asynchronous type exists for type checkers only
    from kerf.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub


class KerfClient:
    """Calls one gateway over one channel."""

    def __init__(self, target: str, api_key: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._target = target
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._numbers = itertools.count()
        self._prefix = uuid.uuid4().hex
        self._stub = self._loop.run_until_complete(self._connect())

    async def _connect(self) -> JobServiceAsyncStub:
        channel = grpc.aio.insecure_channel(self._target)
        await channel.channel_ready()
        return JobServiceStub(channel)

    def latency(self, jobs: int, variant: str) -> Moments:
        """See Client."""

        async def run() -> list[tuple[float, float, float]]:
            return [await self._run(variant) for _ in range(jobs)]

        moments = self._loop.run_until_complete(run())
        accepted, started, ended = (list(column) for column in zip(*moments, strict=True))
        return Moments(accepted=accepted, started=started, ended=ended)

    def load(self, clients: int, seconds: float, variant: str) -> Load:
        """See Client."""
        window = Window(clients, seconds)

        async def client() -> None:
            for number in itertools.count(1):
                await self._run(variant)
                window.ended(number)
                if window.over:
                    return

        async def run() -> None:
            await asyncio.gather(*(client() for _ in range(clients)))

        self._loop.run_until_complete(run())
        return window.load()

    async def _run(self, variant: str) -> tuple[float, float, float]:
        """One job; seconds until its entries Accepted, StageStarted and Succeeded were read."""
        request = CreateJobRequest(job=Job(stages=[Stage(id="nothing", noop=NoopTask())]))
        if variant == WITH_REQUEST_ID:
            request.request_id = f"{self._prefix}-{next(self._numbers)}"
        moments = {}
        began = time.perf_counter()
        stream = self._stub.RunJob(request, metadata=self._metadata)
        try:
            async for event in stream:
                moments[event.WhichOneof("body")] = time.perf_counter() - began
        finally:
            stream.cancel()
        return moments["accepted"], moments["stage_started"], moments["succeeded"]


def main() -> None:
    where = connection()
    serve(KerfClient(where["target"], where["api_key"]))


if __name__ == "__main__":
    main()
