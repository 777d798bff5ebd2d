"""A client process of a bench: reads orders from stdin and writes answers to stdout, one JSON object per line.

Standard library only, because a peer's client runs it in an environment that has nothing of kerf. It ends with its
stdin.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, Protocol, TypedDict

WITH_REQUEST_ID = "request_id"
"""Variant of kerf's jobs: with an idempotency key."""
TRACKED = "tracked"
"""Variant of Celery's tasks: with `track_started`."""

WARM_UP_JOBS = 2
"""Jobs of each caller before its work counts."""


class Moments(TypedDict):
    """Seconds from just before the call until the client knew: accepted for good, begun, ended. One item per job."""

    accepted: list[float]
    started: list[float]
    ended: list[float]


class Load(TypedDict):
    """What a number of callers got done.

    `jobs` ended within a window of `seconds`, in which all callers were busy; `all_jobs` in `all_seconds` counts what
    came before and after it too, and so does `client_cpu_seconds`, of the client process.
    """

    jobs: int
    seconds: float
    all_jobs: int
    all_seconds: float
    client_cpu_seconds: float


class Window:
    """Opens once every caller has warmed up, and closes after `seconds`; nobody pauses for it.

    So neither the first jobs, which all begin at the same moment, nor the last ones, beside which fewer and fewer
    others run, count. Callers may be threads or coroutines.
    """

    def __init__(self, callers: int, seconds: float) -> None:
        self._seconds = seconds
        self._cold = callers
        self._lock = threading.Lock()
        self._began = time.perf_counter()
        self._cpu = time.process_time()
        self._opened = 0.0
        self._ended: list[float] = []

    @property
    def over(self) -> bool:
        """True when callers should begin no more jobs."""
        return self._opened != 0 and time.perf_counter() > self._opened + self._seconds

    def ended(self, nth: int) -> None:
        """A caller's `nth` job ended, counted from 1."""
        with self._lock:
            self._ended.append(time.perf_counter())
            self._cold -= nth == WARM_UP_JOBS
            if self._cold == 0 and not self._opened:
                self._opened = time.perf_counter()

    def load(self) -> Load:
        """The result, when all callers have stopped."""
        closed = self._opened + self._seconds
        return Load(
            jobs=sum(self._opened < moment <= closed for moment in self._ended),
            seconds=self._seconds,
            all_jobs=len(self._ended),
            all_seconds=time.perf_counter() - self._began,
            client_cpu_seconds=time.process_time() - self._cpu,
        )


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
            answer = client.load(order["clients"], order["seconds"], order["variant"])
        print(json.dumps(answer), flush=True)
