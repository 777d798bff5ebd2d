"""The Celery application: runs in the peers' environment, configured for durability as the comparison needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import Celery, signals  # type: ignore[import-not-found]  # lives in the peers' environment only

MAX_CLIENTS = 64


def nothing() -> None:
    """A job that does no work."""


def say_ready(**_: Any) -> None:
    """Tell whoever started the worker, by a file in its working folder."""
    Path("worker.ready").touch()


app = Celery("bench")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_send_task_events=False,
    broker_pool_limit=MAX_CLIENTS,  # the default of 10 would let 64 clients queue for a connection
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
NOTHING = app.task(nothing, name="nothing")
NOTHING_TRACKED = app.task(nothing, name="nothing_tracked", track_started=True)
signals.worker_ready.connect(say_ready, weak=False)
