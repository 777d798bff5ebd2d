"""A tenant is deleted: what runs ends, nothing new comes in, nothing of it is left, and nobody else loses anything."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlparse

import grpc
import nats
import pytest
from minio import Minio
from nats.aio.client import Client

from e2e_calls import Caller, noop_job, reason_of_call
from kerf.admin.v1 import admin_pb2 as api
from kerf.admin.v1.admin_pb2_grpc import AdminServiceStub
from kerf.artifacts.v1.artifacts_pb2 import DownloadArtifactRequest
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1 import job_service_pb2 as jobs_api
from kerf.jobs.v1.job_pb2 import Job, JobState, NoopTask, Stage
from kerf.runtime.v1.runtime_pb2 import Quota, Quotas
from kerf_core.auth import new_api_key, store_api_key
from kerf_core.streams import CONFIG, EVENTS, REQUESTS, WORK
from stack_thread import StackThread, running_stack, service

SHARED = b"the same bytes" * 1_000
KEPT_WITHIN_S = 60
OPERATORS_TENANT = "local"
ONE_OF_EACH = ("uploads", "checkpoints", "archive")
_DONE = api.TENANT_DELETION_STATE_DONE


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    gateway = service("gateway", TENANT_DELETION_SETTLE="4", ACCEPT_RETRY_FOR="1")
    with running_stack(tmp_path_factory.mktemp("stack"), gateway, service("noop", "kerf_core.noop")) as running:
        yield running


@dataclass
class Customer:
    """A tenant with one key, and what it has."""

    tenant: str
    caller: Caller
    finished: str = ""
    running: str = ""
    waiting: str = ""


@asynccontextmanager
async def nats_of(stack: StackThread) -> AsyncIterator[Client]:
    info = stack.info
    client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
    try:
        yield client
    finally:
        await client.close()


def store_of(stack: StackThread) -> Minio:
    info = stack.info
    host = urlparse(info.s3_endpoint).netloc
    return Minio(host, access_key=info.s3_access_key, secret_key=info.s3_secret_key, secure=False)


@asynccontextmanager
async def customer(stack: StackThread, tenant: str) -> AsyncIterator[Customer]:
    """With a job that ended, one that runs and one that waits, uploads, and something in every folder."""
    key = new_api_key()
    async with nats_of(stack) as client:
        await store_api_key(client.jetstream(), key, tenant)
        bucket = await client.jetstream().key_value(CONFIG)
        stored = await bucket.get("quotas") if "quotas" in await bucket.keys() else None
        quotas = Quotas.FromString((stored.value if stored else b"") or b"")
        quotas.tenants[tenant].CopyFrom(Quota(weight=2))
        await bucket.put("quotas", quotas.SerializeToString())
    made = Customer(tenant, Caller(stack.info.gateway_target, key))
    made.finished = (await made.caller.run(noop_job(2)))[0].job
    made.running = (await made.caller.create(long_job(), "long")).name
    made.waiting = (await made.caller.create(waiting_job(), "waits")).name
    async with asyncio.timeout(20):
        while (await made.caller.get(made.running)).state != JobState.JOB_STATE_RUNNING:
            await asyncio.sleep(0.05)
    await made.caller.upload(SHARED)
    await made.caller.upload(tenant.encode())
    for folder in ONE_OF_EACH:
        store_of(stack).put_object(stack.info.s3_bucket, f"{folder}/{tenant}/a/b", io.BytesIO(b"x"), 1)
    try:
        yield made
    finally:
        await made.caller.channel.close()


def long_job() -> Job:
    return Job(stages=[Stage(id="long", noop=NoopTask(seconds=120))])


def waiting_job() -> Job:
    return Job(stages=[Stage(id="draw", generate=GenerateRequest(prompt="a fish"))])  # nobody draws in this stack


@asynccontextmanager
async def operator(stack: StackThread) -> AsyncIterator[Caller]:
    caller = Caller(stack.info.gateway_target, stack.info.api_key)
    try:
        yield caller
    finally:
        await caller.channel.close()


async def delete(caller: Caller, tenant: str) -> api.TenantDeletion:
    admin = AdminServiceStub(caller.channel)
    return await admin.DeleteTenant(api.DeleteTenantRequest(tenant=tenant), metadata=caller.metadata)


async def until_done(caller: Caller, tenant: str) -> api.TenantDeletion:
    admin = AdminServiceStub(caller.channel)
    request = api.GetTenantDeletionRequest(tenant=tenant)
    async with asyncio.timeout(KEPT_WITHIN_S):
        while True:
            try:
                shown = await admin.GetTenantDeletion(request, metadata=caller.metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                if shown.state == _DONE:
                    return shown
            await asyncio.sleep(0.2)


async def left_of(stack: StackThread, tenant: str) -> list[str]:
    """Every subject and key that names the tenant."""
    found: list[str] = []
    async with nats_of(stack) as client:
        js = client.jetstream()
        for stream in (EVENTS, WORK, f"KV_{REQUESTS}"):
            info = await js.stream_info(stream, subjects_filter=">")
            found += [subject for subject in info.state.subjects or {} if tenant in subject.split(".")]
        bucket = await js.key_value(CONFIG)
        found += ["quota"] * (tenant in Quotas.FromString((await bucket.get("quotas")).value or b"").tenants)
    listing = store_of(stack).list_objects(stack.info.s3_bucket, recursive=True)
    return found + [name for item in listing if tenant in (name := str(item.object_name)).split("/")]


async def refusal_of(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call  # type: ignore[misc]  # any awaitable of grpc
    return refusal.value.code(), reason_of_call(refusal.value)


async def test_everything_of_a_tenant_goes_and_nothing_of_another(stack: StackThread) -> None:
    async with (
        operator(stack) as boss,
        customer(stack, "leaver") as leaver,
        customer(stack, "leaver-2") as stayer,
    ):
        kept_before = await left_of(stack, stayer.tenant)
        watching = asyncio.create_task(leaver.caller.watch(leaver.running))
        begun = await delete(boss, leaver.tenant)
        assert begun.state == api.TENANT_DELETION_STATE_RUNNING
        closed = (grpc.StatusCode.FAILED_PRECONDITION, "TENANT_BEING_DELETED")
        assert await refusal_of(leaver.caller.create(noop_job(), "new")) == closed
        assert await refusal_of(leaver.caller.upload(b"new")) == closed
        assert (await stayer.caller.run(noop_job()))[-1].HasField("succeeded")
        done = await until_done(boss, leaver.tenant)
        assert (await watching)[-1].HasField("cancelled")
        assert await left_of(stack, leaver.tenant) == []
        assert (done.cancelled_jobs, done.jobs, done.request_ids, done.api_keys) == (2, 3, 2, 1)
        assert (done.artifacts, done.uploads, done.checkpoints, done.archived_jobs) == (2, 1, 1, 1)
        assert done.log_entries >= 3 + 3 + 2
        assert set(kept_before) <= set(await left_of(stack, stayer.tenant))
        assert (await stayer.caller.get(stayer.running)).state == JobState.JOB_STATE_RUNNING
        request = DownloadArtifactRequest(name=(await stayer.caller.upload(SHARED)).name)
        stream = stayer.caller.artifacts.DownloadArtifact(request, metadata=stayer.caller.metadata)
        assert b"".join([part.chunk async for part in stream]) == SHARED
        listed = await leaver.caller.jobs.ListJobs(jobs_api.ListJobsRequest(), metadata=leaver.caller.metadata)
        assert not listed.jobs, "the gateway's view remembers"
        for job in (stayer.running, stayer.waiting):
            request_to_end = jobs_api.CancelJobRequest(name=job)
            await stayer.caller.jobs.CancelJob(request_to_end, metadata=stayer.caller.metadata)


async def test_a_deletion_goes_on_after_a_kill_and_a_tenant_may_come_again(stack: StackThread) -> None:
    async with operator(stack) as boss, customer(stack, "goes") as goes:
        await delete(boss, goes.tenant)
        await asyncio.to_thread(stack.kill, "gateway")
        await asyncio.to_thread(stack.wait_ready, "gateway")
        assert (await until_done(boss, goes.tenant)).end_time.seconds > 0
        assert await left_of(stack, goes.tenant) == []
    async with customer(stack, "goes") as again:
        assert (await again.caller.run(noop_job()))[-1].HasField("succeeded")
        for job in (again.running, again.waiting):
            request = jobs_api.CancelJobRequest(name=job)
            await again.caller.jobs.CancelJob(request, metadata=again.caller.metadata)


async def test_only_operators_delete_and_never_their_own_tenant(stack: StackThread) -> None:
    async with operator(stack) as boss:
        own = await refusal_of(delete(boss, OPERATORS_TENANT))
        assert own == (grpc.StatusCode.FAILED_PRECONDITION, "OWN_TENANT")
        never = AdminServiceStub(boss.channel).GetTenantDeletion(
            api.GetTenantDeletionRequest(tenant="never"), metadata=boss.metadata
        )
        assert await refusal_of(never) == (grpc.StatusCode.NOT_FOUND, "DELETION_NOT_FOUND")
        assert (await refusal_of(delete(boss, "*")))[0] is grpc.StatusCode.INVALID_ARGUMENT
        key = new_api_key()
        async with nats_of(stack) as client:
            await store_api_key(client.jetstream(), key, "nobody")
        caller = Caller(stack.info.gateway_target, key)
        denied = await refusal_of(delete(caller, OPERATORS_TENANT))
        await caller.channel.close()
        assert denied == (grpc.StatusCode.PERMISSION_DENIED, "OPERATORS_ONLY")
