"""The settings that every service shares. A service's own `settings.py` derives from `ServiceSettings`.

Settings are read from the environment as `KERF_<SERVICE>_<NAME>` once, at start, and checked as a whole: a value or a
combination that cannot work stops the process with a sentence, not with a late surprise.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def service_config(service: str) -> SettingsConfigDict:
    """The model_config of a service's settings: frozen, prefix `KERF_<SERVICE>_`."""
    return SettingsConfigDict(env_prefix=f"KERF_{service.upper()}_", frozen=True, extra="forbid")


def _seconds(value: object) -> object:
    """A bare number means seconds; anything else is left to pydantic (ISO 8601)."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
"""A time span: seconds, or ISO 8601."""


class ServiceSettings(BaseSettings):
    """What every kerf service needs to know."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC server listens on.")
    grpc_port: int = Field(0, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one, logged.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of the Prometheus endpoint; 0 = any free one, logged."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severity that is logged.")
    worker_id: str = Field(
        "", max_length=64, pattern="^[a-z0-9-]*$", description="Name of this process; empty = drawn."
    )
    node: str = Field(
        "", max_length=253, pattern="^[A-Za-z0-9.-]*$", description="Node that it runs on; empty = the host's name."
    )

    nats_url: str = Field("nats://127.0.0.1:4222", description="NATS servers, separated by commas.")
    nats_user: str = Field("", description="NATS user; empty = none.")
    nats_password: SecretStr = Field(SecretStr(""), description="NATS password.")
    nats_replicas: int = Field(1, ge=1, le=5, description="Copies of every stream; 3 in a cluster.")

    s3_endpoint: str = Field("http://127.0.0.1:8333", description="S3 endpoint that this service uses.")
    s3_public_endpoint: str = Field("", description="S3 endpoint that presigned URLs name; empty = s3_endpoint.")
    s3_access_key: str = Field("", description="S3 access key.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="S3 secret key.")
    s3_bucket: str = Field("kerf", description="S3 bucket.")
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_flush_path: Path | None = Field(
        None, description="Folder on the S3 server's file system to flush after an original was stored (embedded only)."
    )
    s3_timeout: Duration = Field(
        timedelta(seconds=10), description="Silence of S3 after which an operation is tried again."
    )
    s3_retry_for: Duration = Field(timedelta(seconds=20), description="How long an S3 operation is tried again.")

    stage_slots: int = Field(1, ge=1, le=1024, description="Stages and direct calls that compute at once.")
    max_attempts: int = Field(3, ge=1, le=20, description="Attempts before a stage fails for good.")
    retry_backoff: Duration = Field(
        timedelta(seconds=2), description="Wait before attempt 2, ± 20 %; doubles for each later one."
    )
    ack_wait: Duration = Field(
        timedelta(seconds=15), description="Silence after which a stage is handed to another worker."
    )
    heartbeat: Duration = Field(timedelta(seconds=4), description="Interval of a running stage's sign of life.")
    stall_timeout: Duration = Field(
        timedelta(seconds=180), description="Without progress for so long, a stage's sign of life stops."
    )
    append_timeout: Duration = Field(timedelta(seconds=2), description="Wait for one append before the log is asked.")
    append_retry_for: Duration = Field(
        timedelta(seconds=60), description="How long a worker goes on trying to append while NATS is away."
    )
    progress_per_second: float = Field(5.0, gt=0, le=50, description="Progress entries a second at the start of a job.")
    progress_max_entries: int = Field(500, ge=1, le=5000, description="Progress entries in one job's log at most.")
    log_max_entries: int = Field(200, ge=0, le=5000, description="Lines for people in one attempt's log at most.")
    progress_budget_per_second: float = Field(200.0, gt=0, description="Progress entries a second of this process.")

    drain_notice: Duration = Field(timedelta(seconds=1), description="Listening on after health said NOT_SERVING.")
    drain_grace: Duration = Field(timedelta(seconds=20), description="Time to finish or hand back work at a stop.")
    termination_grace: Duration = Field(
        timedelta(seconds=45), description="What the supervisor or Kubernetes allows between SIGTERM and SIGKILL."
    )
    request_ttl: Duration = Field(timedelta(days=1), description="How long a request_id is remembered.")
    client_retry_horizon: Duration = Field(timedelta(hours=1), description="Longest time a client retries one request.")
    sweep_interval: Duration = Field(timedelta(seconds=5), description="Interval of the dispatcher's full sweep.")

    @model_validator(mode="after")
    def _timings_hold_together(self) -> ServiceSettings:
        rules = [
            (self.heartbeat < self.ack_wait / 3, "heartbeat must be shorter than a third of ack_wait"),
            (self.request_ttl > self.client_retry_horizon, "request_ttl must exceed client_retry_horizon"),
            (
                self.drain_notice + self.drain_grace < self.termination_grace,
                "drain_notice + drain_grace must be shorter than termination_grace",
            ),
            (self.sweep_interval > self.append_timeout, "sweep_interval must exceed append_timeout"),
            (
                bool(self.s3_access_key) == bool(self.s3_secret_key.get_secret_value()),
                "s3_access_key and s3_secret_key belong together: set both or none",
            ),
        ]
        broken = [text for holds, text in rules if not holds]
        if broken:
            raise ValueError("; ".join(broken))
        return self


Settings = TypeVar("Settings", bound=ServiceSettings)


def describe(model: type[ServiceSettings]) -> list[tuple[str, str, str]]:
    """(environment name, default, description) of every setting."""
    prefix = str(model.model_config.get("env_prefix", ""))
    rows = []
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, timedelta):
            shown = f"{default.total_seconds():g}"
        else:
            shown = "" if default is None else str(default)
        rows.append((f"{prefix}{name.upper()}", shown, info.description or ""))
    return rows


def load_settings(model: type[Settings], argv: list[str] | None = None) -> Settings:
    """Read and check the settings of a service; print `--help`; exit with status 2 and a sentence if they are wrong."""
    arguments = sys.argv[1:] if argv is None else argv
    if "--help" in arguments or "-h" in arguments:
        print(f"{model.__doc__ or ''}\nEnvironment (durations in seconds or ISO 8601):\n")
        for name, default, description in describe(model):
            print(f"  {name}={default}\n      {description}")
        raise SystemExit(0)
    if arguments:
        print(
            f"unknown argument {arguments[0]!r}: this service is configured by its environment, see --help",
            file=sys.stderr,
        )
        raise SystemExit(2)
    try:
        return model()
    except ValidationError as error:
        prefix = str(model.model_config.get("env_prefix", ""))
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            name = f"{prefix}{where.upper()}" if where else "settings"
            print(f"{name}: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise SystemExit(2) from None
