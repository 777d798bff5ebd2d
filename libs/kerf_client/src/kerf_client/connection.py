"""How a client reaches kerf: the channel, what goes along with every call, and how long it keeps trying."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import grpc

MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024
"""Largest message either way; bytes beyond it travel in chunks."""

MAX_API_KEY_LENGTH = 512
_JITTER = random.SystemRandom()


@dataclass(frozen=True)
class Tls:
    """Encrypts the connection. All PEM; without `root_certificates` the system's are used.

    `private_key` and `certificate_chain` together are the client's own identity (mTLS). `server_name` is the name in
    the server's certificate where it differs from the address.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = None
    certificate_chain: bytes | None = None
    server_name: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """How a client rides out an absence: exponential backoff with full jitter (Brooker 2015).

    `give_up_after` counts from the last sign of life, not from the beginning. `stall_after` is how long a stream may
    be silent before it is opened again from the last sequence. `call_timeout` limits one attempt of one call.
    """

    first_delay: timedelta = timedelta(milliseconds=100)
    max_delay: timedelta = timedelta(seconds=5)
    give_up_after: timedelta = timedelta(seconds=60)
    stall_after: timedelta = timedelta(seconds=60)
    call_timeout: timedelta = timedelta(seconds=15)

    def delays_seconds(self) -> Iterator[float]:
        """Endless delays; each is drawn between a tenth of the bound and the bound."""
        bound = self.first_delay.total_seconds()
        while True:
            yield bound * _JITTER.uniform(0.1, 1.0)
            bound = min(bound * 2, self.max_delay.total_seconds())


def open_channel(target: str, tls: Tls | None) -> grpc.aio.Channel:
    """A channel to `HOST:PORT` (or any gRPC target) that notices a dead peer; must be closed."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # gRPC's own backoff would hold a restarted gateway's clients for up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Own connections: clients that share gRPC's global pool would share each other's fate.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.lb_policy_name", "round_robin"),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)
    return grpc.aio.secure_channel(target, credentials, options=options)


def check_api_key(api_key: str) -> str:
    """Give the key back. Raises ValueError where it cannot travel in a header (the key itself is not shown)."""
    if not api_key or len(api_key) > MAX_API_KEY_LENGTH or not all("!" <= each <= "~" for each in api_key):
        raise ValueError(
            f"the API key must be 1 to {MAX_API_KEY_LENGTH} printable ASCII characters without spaces; "
            "check that it was copied whole and without a line break"
        )
    return api_key


@dataclass(frozen=True)
class CallIdentity:
    """Names one logical call, through all of its attempts: `x-request-id` and the W3C trace id."""

    request_id: str
    trace_id: str

    @classmethod
    def new(cls) -> CallIdentity:
        """Draw a fresh one."""
        return cls(secrets.token_hex(16), secrets.token_hex(16))

    def metadata(self, api_key: str) -> tuple[tuple[str, str], ...]:
        """Headers of one attempt; every attempt is a span of its own."""
        return (
            ("authorization", f"Bearer {api_key}"),
            ("x-request-id", self.request_id),
            ("traceparent", f"00-{self.trace_id}-{secrets.token_hex(8)}-01"),
        )
