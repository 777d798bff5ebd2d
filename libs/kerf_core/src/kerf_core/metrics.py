"""The Prometheus metrics that every service has, and their endpoint."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)

GRPC_SECONDS = Histogram("kerf_grpc_server_seconds", "Time of gRPC calls.", ["method", "code"], buckets=_SECONDS)
GRPC_RUNNING = Gauge("kerf_grpc_server_running", "gRPC calls in progress.", ["method"])
STAGE_SECONDS = Histogram(
    "kerf_stage_seconds", "Time of stage attempts.", ["kind", "task", "outcome"], buckets=_SECONDS
)
STAGE_QUEUE_SECONDS = Histogram("kerf_stage_queue_seconds", "Time that stages waited.", ["kind"], buckets=_SECONDS)
STAGE_DEVICE_SECONDS = Histogram("kerf_stage_device_seconds", "Device time of stages.", ["kind"], buckets=_SECONDS)
STAGES_RUNNING = Gauge("kerf_stages_running", "Stages in progress.", ["kind"])
SLOTS_FREE = Gauge("kerf_slots_free", "Free compute slots.", ["kind"])
JOBS_ENDED = Counter("kerf_jobs_ended", "Jobs brought to their end by this process.", ["state", "reason"])
JOBS_ACCEPTED = Counter("kerf_jobs_accepted", "Jobs accepted by this process.")
JOBS_WAITING = Gauge("kerf_jobs_waiting", "Stages that wait for a worker, as the dispatcher sees it.", ["kind"])
APPEND_CONFLICTS = Counter("kerf_append_conflicts", "Appends to a job's log that were refused or unanswered.")
BLOB_SECONDS = Histogram("kerf_blob_seconds", "Time of S3 operations.", ["operation", "outcome"], buckets=_SECONDS)


def serve_metrics(host: str, port: int) -> int:
    """Serve `/metrics`; returns the port (useful with 0)."""
    server, _ = start_http_server(port, addr=host)
    return int(server.server_port)
