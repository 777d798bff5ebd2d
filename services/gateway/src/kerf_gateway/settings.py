"""The gateway's settings: the only place where it reads the environment."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

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
    job_retention: Duration = Field(
        timedelta(days=30), description="A job's log goes to the archive so long after it ended."
    )
    upload_ttl: Duration = Field(
        timedelta(days=1), description="Bytes at an upload URL that nobody adopted are removed."
    )
    checkpoint_ttl: Duration = Field(
        timedelta(days=1),
        description="Checkpoints of ended jobs are removed so long after they were written.",
    )
    retention_interval: Duration = Field(timedelta(hours=1), description="Interval of the clean-up.")
    archive_at_once: int = Field(8, ge=1, le=64, description="Logs that the clean-up archives at a time.")
    min_free_bytes: int = Field(
        64 << 20,
        ge=0,
        description="With less space on the disk of S3_FLUSH_PATH, new jobs and uploads are refused (embedded only).",
    )
    tenant_deletion_settle: Duration = Field(
        timedelta(minutes=1),
        description="The deletion of a tenant lasts at least so long: remembered API keys and calls in flight end.",
    )
    starvation_bound: Duration = Field(
        timedelta(minutes=5),
        description="A stage that waited so long goes before its tenant's others, whatever priority.",
    )
    queue_ahead_below: Duration = Field(
        timedelta(seconds=0.08),
        description="Stages of a kind that are shorter on average are queued ahead, two for each free slot.",
    )
    kept_idle_share: float = Field(
        0.04,
        ge=0,
        le=0.5,
        description="Share of the work done that slots may idle, kept for tenants who come back at once; 0 = none.",
    )
    tenant_max_running: int = Field(
        0, ge=0, description="Stages of one kind that a tenant has running at once; 0 = no limit."
    )
    tenant_max_open_jobs: int = Field(10_000, ge=0, description="Jobs of a tenant that have not ended; 0 = no limit.")
    tenant_jobs_per_second: float = Field(
        0.0, ge=0, description="Jobs of a tenant that this gateway accepts a second; 0 = no limit."
    )
    accept_retry_for: Duration = Field(timedelta(seconds=5), description="How long an append is tried for a caller.")

    @model_validator(mode="after")
    def _archived_jobs_are_not_replayed(self) -> GatewaySettings:
        if self.job_retention <= self.request_ttl:
            raise ValueError("job_retention must exceed request_ttl: a request_id must not outlive its job's log")
        return self
