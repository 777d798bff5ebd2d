"""The job protocol's own writes, without gRPC, gateway and worker: what NATS alone allows.

Each client does for one job what the gateway and a worker do together: append Accepted, queue the stage, take one from
the queue, append StageStarted and Succeeded, acknowledge. `python -m bench.no_work.protocol_writes`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import uuid
from dataclasses import replace

import nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RePublish

from bench.no_work.client_loop import Load, Moments, Window, connection, serve
from kerf_core.streams import MAX_ACK_PENDING, stream_configs

EVENTS, WORK = "BENCH_EVENTS", "BENCH_WORK"
_ENTRY_BYTES = 250
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class ProtocolWrites:
    """Writes to streams declared like kerf's, under names of their own."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connect(url, user, password))

    async def _connect(self, url: str, user: str, password: str) -> None:
        client = await nats.connect(url, user=user, password=password)
        self._js: JetStreamContext = client.jetstream(timeout=5)
        events, work = stream_configs(replicas=1)
        republish = RePublish(src="bench.job.*.events", dest="bench.feed.{{wildcard(1)}}")
        await self._js.add_stream(replace(events, name=EVENTS, subjects=["bench.job.*.events"], republish=republish))
        await self._js.add_stream(replace(work, name=WORK, subjects=["bench.work.*"]))
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=MAX_ACK_PENDING)
        self._work = await self._js.pull_subscribe("bench.work.*", durable="bench", stream=WORK, config=config)

    def latency(self, jobs: int, variant: str) -> Moments:
        """See Client. Only the end of a job is known here."""

        async def run() -> list[float]:
            ended = []
            for _ in range(jobs):
                began = time.perf_counter()
                await self._run()
                ended.append(time.perf_counter() - began)
            return ended

        return Moments(accepted=[], started=[], ended=self._loop.run_until_complete(run()))

    def load(self, clients: int, seconds: float, variant: str) -> Load:
        """See Client."""
        window = Window(clients, seconds)

        async def client() -> None:
            for number in itertools.count(1):
                await self._run()
                window.ended(number)
                if window.over:
                    return

        async def run() -> None:
            await asyncio.gather(*(client() for _ in range(clients)))

        self._loop.run_until_complete(run())
        return window.load()

    async def _run(self) -> None:
        job = uuid.uuid4().hex
        accepted = await self._append(f"bench.job.{job}.events", 0, os.urandom(_ENTRY_BYTES))
        await self._append(f"bench.work.{job}", 0, f"{job} {accepted}".encode())
        while True:
            try:
                (message,) = await self._work.fetch(1, timeout=1)
                break
            except (NatsTimeout, TimeoutError):
                continue
        theirs, before = message.data.decode().split()
        subject = f"bench.job.{theirs}.events"
        started = await self._append(subject, int(before), os.urandom(_ENTRY_BYTES))
        await self._append(subject, started, os.urandom(_ENTRY_BYTES))
        await message.ack_sync()

    async def _append(self, subject: str, expected: int, data: bytes) -> int:
        return (await self._js.publish(subject, data, headers={_EXPECTED: str(expected)})).seq


def main() -> None:
    where = connection()
    serve(ProtocolWrites(where["url"], where["user"], where["password"]))


if __name__ == "__main__":
    main()
