"""The domain's figures as protobuf messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from kerf.monitor.v1 import monitor_pb2 as api
from kerf_monitor.domain.health import Health, HealthState
from kerf_monitor.domain.sessions import Session, Usage
from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFigures,
    GpuPresence,
    Reading,
    Snapshot,
    readings_of,
)

_AVAILABILITY = {
    Availability.MEASURED: api.AVAILABILITY_MEASURED,
    Availability.UNKNOWN: api.AVAILABILITY_UNKNOWN,
    Availability.STALE: api.AVAILABILITY_STALE,
    Availability.UNSUPPORTED: api.AVAILABILITY_UNSUPPORTED,
}
_PRESENCE = {
    GpuPresence.PRESENT: api.GPU_STATE_PRESENT,
    GpuPresence.ABSENT: api.GPU_STATE_ABSENT,
    GpuPresence.UNKNOWN: api.GPU_STATE_UNKNOWN,
}
_HEALTH = {
    HealthState.OK: api.HEALTH_STATE_OK,
    HealthState.UNKNOWN: api.HEALTH_STATE_UNKNOWN,
    HealthState.WARNING: api.HEALTH_STATE_WARNING,
    HealthState.CRITICAL: api.HEALTH_STATE_CRITICAL,
}


def reading_message(reading: Reading) -> api.Reading:
    """One figure."""
    return api.Reading(
        availability=_AVAILABILITY[reading.availability],
        value=reading.value if reading.known else 0.0,
        reason=reading.reason,
    )


def snapshot_message(snapshot: Snapshot) -> api.NodeSnapshot:
    """A node at one moment."""
    # The fields of Host and Gpu are named as the domain's; a test holds them to it.
    host = api.Host(**{name: reading_message(reading) for name, reading in readings_of(snapshot.host).items()})
    gpu = snapshot.gpu
    support = api.GpuSupport(state=_PRESENCE[gpu.presence], message=gpu.message, driver_version=gpu.driver_version)
    return api.NodeSnapshot(
        node=snapshot.node,
        time=_stamp(snapshot.time),
        host=host,
        gpu_support=support,
        gpus=[_gpu_message(each) for each in gpu.gpus],
    )


def session_message(session: Session, usage: Usage) -> api.Session:
    """One attempt, with what the node did meanwhile."""
    message = api.Session(
        name=f"sessions/{session.job}.{session.fence}",
        tenant=session.tenant,
        job=f"jobs/{session.job}",
        stage=session.stage,
        kind=session.kind,
        worker=session.worker,
        start_time=_stamp(session.start),
        outcome=session.outcome,
        device_seconds=reading_message(session.device_seconds),
        host_cpu_utilization=reading_message(usage.host_cpu_utilization),
        peak_host_memory_bytes=reading_message(usage.peak_host_memory_bytes),
        peak_gpu_memory_bytes=reading_message(usage.peak_gpu_memory_bytes),
        gpu_energy_joules=reading_message(usage.gpu_energy_joules),
        concurrent_sessions=session.concurrent,
    )
    if session.end is not None:
        message.end_time.CopyFrom(_stamp(session.end))
    return message


def health_message(health: Health) -> api.GetHealthResponse:
    """Health with its findings."""
    return api.GetHealthResponse(
        state=_HEALTH[health.state],
        findings=[
            api.HealthFinding(state=_HEALTH[each.state], reason=each.reason, message=each.message)
            for each in health.findings
        ],
    )


def _gpu_message(gpu: GpuFigures) -> api.Gpu:
    return api.Gpu(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        throttle_reasons=gpu.throttle_reasons,
        throttle_availability=_AVAILABILITY[gpu.throttle_availability],
        mig_enabled=gpu.mig_enabled,
        processes=[
            api.GpuProcess(pid=each.pid, name=each.name, memory_used_bytes=reading_message(each.memory_used_bytes))
            for each in gpu.processes
        ],
        processes_availability=_AVAILABILITY[gpu.processes_availability],
        **{name: reading_message(reading) for name, reading in readings_of(gpu).items()},
    )


def _stamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
