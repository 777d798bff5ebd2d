"""Names of the job protocol: ids, subjects, and how to read them back."""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass

from kerf_core.stages import JobId, TenantId

TOKEN = re.compile(r"^[a-z0-9-]{1,64}$")
_DRAWN = re.compile(r"^[0-9a-z]{20}$")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, order=True)
class JobRef:
    """A job and whose it is."""

    tenant: TenantId
    job: JobId

    @property
    def name(self) -> str:
        """`jobs/<id>`."""
        return f"jobs/{self.job}"

    @property
    def events(self) -> str:
        """Subject of its log."""
        return f"kerf.v1.job.{self.tenant}.{self.job}.events"

    @property
    def feed(self) -> str:
        """Subject where stored entries are republished."""
        return f"kerf.v1.feed.{self.tenant}.{self.job}"

    @property
    def live(self) -> str:
        """Subject of transient events."""
        return f"kerf.v1.live.{self.tenant}.{self.job}"

    def work(self, kind: str, stage: int) -> str:
        """Subject of a dispatched stage."""
        return f"kerf.v1.work.{kind}.{self.tenant}.{self.job}.{stage}"


@dataclass(frozen=True)
class WorkRef:
    """A dispatched stage."""

    kind: str
    ref: JobRef
    stage: int


def new_job_id() -> JobId:
    """An id that sorts by time: 9 digits of milliseconds and 11 random ones, base 36."""
    milliseconds = time.time_ns() // 1_000_000
    return JobId(_base36(milliseconds, 9) + _base36(secrets.randbelow(36**11), 11))


def drawn_at(job: str) -> float | None:
    """When `new_job_id` drew an id, in seconds since 1970; None if it is none of its ids."""
    return int(job[:9], 36) / 1000 if _DRAWN.match(job) else None


def least_id_at(milliseconds: int) -> JobId:
    """The least id that `new_job_id` may draw in this millisecond since 1970; later ones are greater."""
    return JobId(_base36(min(max(0, milliseconds), 36**9 - 1), 9))


def _base36(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def new_writer_id() -> str:
    """A random id of an append."""
    return os.urandom(9).hex()


def parse_feed(subject: str) -> JobRef:
    """The job of `kerf.v1.feed.<tenant>.<job>` or `kerf.v1.live.…`."""
    _, _, _, tenant, job = subject.split(".")
    return JobRef(TenantId(tenant), JobId(job))


def parse_events(subject: str) -> JobRef:
    """The job of `kerf.v1.job.<tenant>.<job>.events`."""
    _, _, _, tenant, job, _ = subject.split(".")
    return JobRef(TenantId(tenant), JobId(job))


def parse_work(subject: str) -> WorkRef:
    """The stage of `kerf.v1.work.<kind>.<tenant>.<job>.<stage>`."""
    _, _, _, kind, tenant, job, stage = subject.split(".")
    return WorkRef(kind, JobRef(TenantId(tenant), JobId(job)), int(stage))
