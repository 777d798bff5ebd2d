"""What an operator sees: traces that cross NATS, metrics, health per capability, reflection."""

from __future__ import annotations

import asyncio
import urllib.request

import grpc
import nats
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from e2e_calls import Caller, noop_job
from kerf.jobs.v1 import job_service_pb2 as api
from kerf_core.streams import EVENTS
from stack_thread import StackThread

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_callers_trace_reaches_the_worker_through_grpc_and_nats(
    caller: Caller, noop_stack: StackThread
) -> None:
    metadata = (*caller.metadata, ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"), ("x-request-id", "abc"))
    call = caller.jobs.CreateJob(api.CreateJobRequest(job=noop_job(2)), metadata=metadata)
    job = await call
    assert ("x-request-id", "abc") in [(key, value) for key, value in await call.initial_metadata()]
    assert (await caller.watch(job.name))[-1].HasField("succeeded")
    info = noop_stack.info
    client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
    try:
        subject = f"kerf.v1.job.local.{job.name.removeprefix('jobs/')}.events"
        last = await client.jetstream().get_last_msg(EVENTS, subject)  # the worker wrote it, two stages later
        assert last.headers is not None
        assert TRACE in last.headers["traceparent"]
    finally:
        await client.close()


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


async def test_metrics_tell_calls_stages_and_where_time_goes(caller: Caller, noop_stack: StackThread) -> None:
    await caller.run(noop_job())
    pages = {}
    for name in ("gateway", "noop"):
        url = noop_stack.info.metrics[name]
        pages[name] = await asyncio.to_thread(page, url)
    assert 'kerf_grpc_server_seconds_count{code="OK",method="/kerf.jobs.v1.JobService/CreateJob"}' in pages["gateway"]
    assert "kerf_jobs_accepted_total" in pages["gateway"]
    assert 'kerf_stage_seconds_count{kind="noop",outcome="completed",task="noop"}' in pages["noop"]
    assert 'kerf_stage_queue_seconds_count{kind="noop"}' in pages["noop"]
    assert 'kerf_jobs_ended_total{reason="",state="succeeded"}' in pages["noop"]


async def test_health_per_capability_and_reflection_need_no_key(noop_stack: StackThread) -> None:
    async with grpc.aio.insecure_channel(noop_stack.info.gateway_target) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        async with asyncio.timeout(10):  # a gateway that has just begun has not looked at S3 yet
            for capability in ("", "artifacts", "kerf.jobs.v1.JobService"):
                asked = health_pb2.HealthCheckRequest(service=capability)
                while (await check(asked)).status != health_pb2.HealthCheckResponse.SERVING:
                    await asyncio.sleep(0.05)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        reflect = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        stream = reflect(iter([ask]))
        listed = await anext(aiter(stream))
        names = {service.name for service in listed.list_services_response.service}
        assert {"kerf.jobs.v1.JobService", "kerf.artifacts.v1.ArtifactService"} <= names
        stream.cancel()
