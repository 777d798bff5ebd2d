"""A client process of a bench: reads orders from stdin and writes answers to stdout, one JSON object per line.

Standard library only, because a peer's client runs it in an environment that has nothing of kerf. It ends with its
stdin, so it never outlives whoever started it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Protocol, TypedDict

WITH_REQUEST_ID = "request_id"
"""Variant of kerf's jobs: with an idempotency key."""
TRACKED = "tracked"
"""Variant of Celery's tasks: with `track_started`."""


class Moments(TypedDict):
    """Seconds from just before the call until the client knew: accepted for good, begun, ended. One item per job."""

    accepted: list[float]
    started: list[float]
    ended: list[float]


class Load(TypedDict):
    """Jobs that ended, the seconds that took, and the CPU seconds of the client process."""

    jobs: int
    seconds: float
    client_cpu_seconds: float


class Client(Protocol):
    """What is measured from."""

    def latency(self, jobs: int, variant: str) -> Moments:
        """Run jobs one after another."""
        ...

    def load(self, clients: int, seconds: float, variant: str) -> Load:
        """Run jobs from `clients` callers at once; each starts its next job when its last one ended."""
        ...


def connection() -> dict[str, str]:
    """The first line: where the server is. Not on the command line, where others could read a password."""
    return dict(json.loads(sys.stdin.readline()))


def serve(client: Client) -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any
        if order["do"] == "latency":
            answer = client.latency(order["jobs"], order["variant"])
        else:
            cpu = time.process_time()
            answer = client.load(order["clients"], order["seconds"], order["variant"])
            answer["client_cpu_seconds"] = time.process_time() - cpu
        print(json.dumps(answer), flush=True)
