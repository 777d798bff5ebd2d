"""The gateway's settings: the only place where it reads the environment."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from kerf_core.settings import Duration, ServiceSettings, service_config


class GatewaySettings(ServiceSettings):
    """kerf gateway: accepts jobs, streams their progress, keeps their artifacts."""

    model_config = service_config("gateway")

    max_spec_bytes: int = Field(256 << 10, ge=1024, description="Largest job spec.")
    max_label_bytes: int = Field(512, ge=0, le=700, description="Bytes of all labels of a job together.")
    max_upload_bytes: int = Field(64 << 20, ge=1, description="Largest artifact that can be uploaded.")
    max_uploads: int = Field(8, ge=1, description="Uploads and downloads held in memory at once.")
    url_expires: Duration = Field(timedelta(hours=1), description="Life of a presigned URL that asks for none.")
    watch_queue: int = Field(1000, ge=10, description="Events kept for a slow watcher before it reads the log instead.")
    compare_every: Duration = Field(timedelta(seconds=5), description="Interval of comparing the feed with the log.")
    starvation_bound: Duration = Field(
        timedelta(minutes=5),
        description="A stage that waited so long goes before its tenant's others, whatever priority.",
    )
    tenant_max_running: int = Field(
        0, ge=0, description="Stages of one kind that a tenant has running at once; 0 = no limit."
    )
    tenant_max_open_jobs: int = Field(10_000, ge=0, description="Jobs of a tenant that have not ended; 0 = no limit.")
    tenant_jobs_per_second: float = Field(
        0.0, ge=0, description="Jobs of a tenant that this gateway accepts a second; 0 = no limit."
    )
    accept_retry_for: Duration = Field(timedelta(seconds=5), description="How long an append is tried for a caller.")
