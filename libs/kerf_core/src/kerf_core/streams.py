"""Every stream and bucket of kerf, declared in one place."""

from __future__ import annotations

from datetime import timedelta

from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    KeyValueConfig,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from kerf_core.settings import ServiceSettings

EVENTS = "KERF_EVENTS"
WORK = "KERF_WORK"
REQUESTS = "kerf_requests"
CONFIG = "kerf_config"
LEASES = "kerf_leases"
LEASE_TTL = timedelta(seconds=10)
MAX_ACK_PENDING = 10_000
_GIB = 1 << 30


def stream_configs(replicas: int) -> list[StreamConfig]:
    """The streams. Both refuse new messages when full: nothing accepted is ever pushed out."""
    return [
        StreamConfig(
            name=EVENTS,
            description="One log per job: the truth.",
            subjects=["kerf.v1.job.*.*.events"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=8 * _GIB,
            max_msg_size=1 << 20,
            num_replicas=replicas,
            allow_direct=True,
            allow_atomic=True,
            republish=RePublish(src="kerf.v1.job.*.*.events", dest="kerf.v1.feed.{{wildcard(1)}}.{{wildcard(2)}}"),
        ),
        StreamConfig(
            name=WORK,
            description="Dispatched stages; names only.",
            subjects=["kerf.v1.work.*.*.*.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=_GIB,
            max_msg_size=1 << 16,
            num_replicas=replicas,
            allow_direct=True,
        ),
    ]


def bucket_configs(settings: ServiceSettings) -> list[KeyValueConfig]:
    """The key-value buckets."""
    replicas = settings.nats_replicas
    return [
        KeyValueConfig(
            bucket=REQUESTS, ttl=settings.request_ttl.total_seconds(), max_bytes=2 * _GIB, replicas=replicas
        ),
        KeyValueConfig(bucket=CONFIG, history=5, max_bytes=_GIB // 4, replicas=replicas),
        KeyValueConfig(bucket=LEASES, ttl=LEASE_TTL.total_seconds(), max_bytes=_GIB // 64, replicas=replicas),
    ]


def consumer_config(kind: str, settings: ServiceSettings) -> ConsumerConfig:
    """The durable pull consumer of one kind of worker. Attempts are counted in the log, never by deliveries."""
    return ConsumerConfig(
        durable_name=f"work-{kind}",
        filter_subject=f"kerf.v1.work.{kind}.>",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=settings.ack_wait.total_seconds(),
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
        max_waiting=2048,
    )


async def declare(js: JetStreamContext, settings: ServiceSettings) -> None:
    """Create what is missing and bring what exists up to date. Idempotent; every service calls it at start."""
    for config in stream_configs(settings.nats_replicas):
        try:
            await js.stream_info(config.name or "")
        except NotFoundError:
            await js.add_stream(config)
        else:
            await js.update_stream(config)
    for bucket in bucket_configs(settings):
        try:
            await js.key_value(bucket.bucket)
        except (NotFoundError, NatsTimeout):
            await js.create_key_value(bucket)
    # KV buckets are streams; a bucket that exists keeps its settings, for a changed TTL must be a deliberate act.


async def declare_consumer(js: JetStreamContext, kind: str, settings: ServiceSettings) -> str:
    """Create or update the consumer of a kind; returns its name."""
    config = consumer_config(kind, settings)
    try:
        await js.add_consumer(WORK, config)
    except BadRequestError:  # it exists with other settings that cannot be changed in place
        await js.delete_consumer(WORK, config.durable_name or "")
        await js.add_consumer(WORK, config)
    return config.durable_name or ""
