"""Quotas through a real gateway: too much is refused with the time to come back, nothing accepted is touched."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import grpc
import nats
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo

from e2e_calls import Caller, noop_job, reason_of_call, status_of_call
from kerf.jobs.v1 import job_service_pb2 as api
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf.runtime.v1.runtime_pb2 import Quota, Quotas
from kerf.trainer.v1.dataset_pb2 import Dataset, DatasetFile, DatasetFiles
from kerf.trainer.v1.trainer_pb2 import TrainRequest
from kerf_core.streams import CONFIG
from kerf_gateway.quotas import QUOTAS_KEY
from stack_thread import StackThread

Detail = TypeVar("Detail", RetryInfo, QuotaFailure)


def waiting_job() -> Job:
    """A job of a kind for which this stack has no worker: it waits."""
    files = DatasetFiles(files=[DatasetFile(path="a.txt", data=b"a")])
    return Job(stages=[Stage(id="wait", train=TrainRequest(name="x", dataset=Dataset(files=files)))])


async def set_quotas(stack: StackThread, quotas: Quotas) -> None:
    info = stack.info
    client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
    bucket = await client.jetstream().key_value(CONFIG)
    await bucket.put(QUOTAS_KEY, quotas.SerializeToString())
    await client.close()


async def refused(caller: Caller, request_id: str) -> grpc.aio.AioRpcError | None:
    """The refusal of one more waiting job; None if it was accepted."""
    try:
        await caller.create(waiting_job(), request_id)
    except grpc.aio.AioRpcError as error:
        return error
    return None


def detail(refusal: grpc.aio.AioRpcError, kind: type[Detail]) -> Detail:
    found = kind()
    assert any(one.Unpack(found) for one in status_of_call(refusal).details), f"no {kind.__name__}"
    return found


async def test_a_tenant_with_too_many_open_jobs_is_refused_and_told_when_to_come_back(
    noop_stack: StackThread, stranger: Caller, caller: Caller
) -> None:
    await set_quotas(noop_stack, Quotas(tenants={"stranger": Quota(max_open_jobs=2)}))
    try:
        accepted, refusal = 0, None
        async with asyncio.timeout(30):
            while (refusal := await refused(stranger, f"quota-{accepted}")) is None:
                accepted += 1
                await asyncio.sleep(1)  # the gateway reads quotas every few seconds
        assert accepted >= 2
        assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of_call(refusal) == "TOO_MANY_OPEN_JOBS"
        assert detail(refusal, RetryInfo).retry_delay.ToTimedelta().total_seconds() >= 1
        assert detail(refusal, QuotaFailure).violations
        # A replay of what was accepted is answered, another tenant is not disturbed.
        first = await stranger.create(waiting_job(), "quota-0")
        assert (await caller.run(noop_job()))[-1].HasField("succeeded")
        await cancel_open(stranger)
        assert (await stranger.get(first.name)).state == JobState.JOB_STATE_CANCELLED
        async with asyncio.timeout(10):
            while await refused(stranger, "quota-late"):  # the gateway hears of the ends on its feed
                await asyncio.sleep(0.1)
    finally:
        await set_quotas(noop_stack, Quotas())
        await cancel_open(stranger)


async def cancel_open(caller: Caller) -> None:
    """Cancel all that waits: other tests share this stack."""
    wanted = api.JobFilter(states=[JobState.JOB_STATE_QUEUED])
    listed = await caller.jobs.ListJobs(api.ListJobsRequest(filter=wanted), metadata=caller.metadata)
    for job in listed.jobs:
        await caller.jobs.CancelJob(api.CancelJobRequest(name=job.name), metadata=caller.metadata)
