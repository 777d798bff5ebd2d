"""Celery's client: one process, a thread per caller. `python -m bench.no_work.celery_client`.

It runs in the peers' environment. A thread per caller because Celery's client blocks; each thread gets a result backend
of its own, as Celery makes it.
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.no_work.celery_app import NOTHING, NOTHING_TRACKED, app
from bench.no_work.client_loop import TRACKED, Load, Moments, Window, connection, serve

_TIMEOUT_SECONDS = 30


class CeleryClient:
    """Sends tasks and waits for their results by Redis' publish/subscribe."""

    def latency(self, jobs: int, variant: str) -> Moments:
        """See Client. Without tracking nobody can see that a task began: `started` is empty."""
        moments = [self._run(variant) for _ in range(jobs)]
        return Moments(
            accepted=[accepted for accepted, _, _ in moments],
            started=[started for _, started, _ in moments if started is not None],
            ended=[ended for _, _, ended in moments],
        )

    def load(self, clients: int, seconds: float, variant: str) -> Load:
        """See Client."""
        window = Window(clients, seconds)

        def client() -> None:
            for number in itertools.count(1):
                self._run(variant)
                window.ended(number)
                if window.over:
                    return

        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(client) for _ in range(clients)]:
                done.result()
        return window.load()

    def _run(self, variant: str) -> tuple[float, float | None, float]:
        """One task; seconds until the broker had it, it began (None without tracking), and its result was read."""
        task = NOTHING_TRACKED if variant == TRACKED else NOTHING
        started = []

        def heard(meta: dict[str, Any]) -> None:
            if meta["status"] == "STARTED":
                started.append(time.perf_counter() - began)

        began = time.perf_counter()
        result = task.apply_async()
        accepted = time.perf_counter() - began
        result.get(timeout=_TIMEOUT_SECONDS, on_message=heard if variant == TRACKED else None)
        ended = time.perf_counter() - began
        return accepted, started[0] if started else None, ended


def main() -> None:
    url = connection()["url"]
    app.conf.update(broker_url=url, result_backend=url)
    serve(CeleryClient())


if __name__ == "__main__":
    main()
