"""kerf's client: one asyncio process that calls RunJob. `python -m bench.no_work.kerf_client`."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid

import grpc

from bench.no_work.client_loop import WITH_REQUEST_ID, Load, Moments, connection, serve
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf.jobs.v1.job_service_pb2 import CreateJobRequest
from kerf.jobs.v1.job_service_pb2_grpc import JobServiceStub

_WARM_UP_JOBS = 2


class KerfClient:
    """Calls one gateway over one channel."""

    def __init__(self, target: str, api_key: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._target = target
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._numbers = itertools.count()
        self._prefix = uuid.uuid4().hex
        self._stub = self._loop.run_until_complete(self._connect())

    async def _connect(self) -> JobServiceStub:
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

        async def client(until: float) -> int:
            jobs = 0
            while time.perf_counter() < until:
                await self._run(variant)
                jobs += 1
            return jobs

        async def run() -> Load:
            await asyncio.gather(*(self._run(variant) for _ in range(_WARM_UP_JOBS * clients)))
            began = time.perf_counter()
            counts = await asyncio.gather(*(client(began + seconds) for _ in range(clients)))
            return Load(jobs=sum(counts), seconds=time.perf_counter() - began, client_cpu_seconds=0.0)

        return self._loop.run_until_complete(run())

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
