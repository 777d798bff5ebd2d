"""The NATS server that leads the logs dies for good while jobs run: two go on, nothing is lost or doubled."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from e2e_calls import Caller, noop_job
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.streams import EVENTS
from nats_configured import Cluster, declared

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]
JOBS = 60


async def leader_of_the_logs(cluster: Cluster) -> int:
    async with declared(cluster.nats_ports, 3) as bus:
        info = await bus.js.stream_info(EVENTS)
    assert info.cluster is not None
    return int(str(info.cluster.leader).removeprefix("kerf-nats-"))


async def test_the_loss_of_the_leader_loses_no_job(cluster: Cluster, caller: Caller, second_gateway: Caller) -> None:
    number = await leader_of_the_logs(cluster)
    gateways = (caller, second_gateway)
    running = [asyncio.create_task(one_job(gateway, index)) for index in range(JOBS) for gateway in gateways]
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    assert done
    cluster.servers[number].kill()
    logs = await asyncio.wait_for(asyncio.gather(*running), 120)
    for events in logs:
        assert events[-1].HasField("succeeded")
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert sum(event.HasField("stage_completed") or event.HasField("succeeded") for event in events) == 3


async def one_job(gateway: Caller, index: int) -> list[JobEvent]:
    """Accepted and followed to its end, however often the calls must be made again."""
    while True:
        try:
            created = await gateway.create(noop_job(3), f"loss-{gateway.target.rpartition(':')[2]}-{index}")
            return await gateway.watch(created.name)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.2)
