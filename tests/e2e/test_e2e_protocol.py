"""The job protocol on one server: the suites that a cluster passes too, and what is counted in one process."""

from __future__ import annotations

import asyncio
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from batch_suite import *  # noqa: F403 - its tests are collected here
from e2e_calls import Caller
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.job_pb2 import Job, Stage
from protocol_suite import *  # noqa: F403 - its tests are collected here
from stack_thread import StackThread


async def test_abandoned_streams_do_not_stay_alive(caller: Caller, noop_stack: StackThread) -> None:
    job = await caller.create(Job(stages=[Stage(id="a", generate=GenerateRequest(prompt="a fish"))]))
    for _ in range(30):
        stream = caller.jobs.WatchJob(api.WatchJobRequest(name=job.name), metadata=caller.metadata)
        await anext(aiter(stream))
        stream.cancel()
    async with asyncio.timeout(5):
        while await running_calls(noop_stack, "/kerf.jobs.v1.JobService/WatchJob") > 0:
            await asyncio.sleep(0.05)
    await caller.jobs.CancelJob(api.CancelJobRequest(name=job.name), metadata=caller.metadata)


async def running_calls(stack: StackThread, method: str) -> float:
    url = stack.info.metrics["gateway"]
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "kerf_grpc_server_running" and sample.labels["method"] == method:
                return sample.value
    raise AssertionError(f"{method} is not measured")
