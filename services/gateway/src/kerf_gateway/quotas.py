"""What tenants may have: read from `kerf_config`, told to the dispatcher, and asked before a job is accepted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import nats.errors
from nats.js.errors import APIError, KeyNotFoundError, NoKeysError

from kerf.runtime.v1.runtime_pb2 import Quota, Quotas
from kerf_core.bus import Bus
from kerf_core.errors import KerfError, ResourceExhausted
from kerf_core.jobs.policy import FairShare, Share
from kerf_core.jobs.view import JobView, Row
from kerf_core.stages import TenantId
from kerf_core.streams import CONFIG
from kerf_gateway.settings import GatewaySettings

LOG = logging.getLogger(__name__)
QUOTAS_KEY = "quotas"
_REFRESH_SECONDS = 5.0
_DRAIN_WINDOW_SECONDS = 60.0
_RETRY_SECONDS = (1.0, 60.0)
"""Least and most that a caller is asked to wait."""


@dataclass
class _Bucket:
    """Jobs that a tenant may still have accepted now (a token bucket that holds two seconds' worth, at least one)."""

    tokens: float
    at: float

    def take(self, per_second: float, now: float) -> float:
        """Take one; returns the seconds until there is one, 0 if it was taken."""
        most = max(1.0, 2 * per_second)
        self.tokens = min(most, self.tokens + (now - self.at) * per_second)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / per_second
        self.tokens -= 1
        return 0.0


class QuotaBook:
    """The quotas that hold now."""

    def __init__(
        self, settings: GatewaySettings, view: JobView, policy: FairShare, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._view = view
        self._policy = policy
        self._clock = clock
        self._quotas: Mapping[str, Quota] = {}
        self._buckets: dict[TenantId, _Bucket] = {}
        self._ended: dict[TenantId, deque[float]] = defaultdict(deque)
        self.take(Quotas())
        view.on_change(self._changed)

    def take(self, quotas: Quotas) -> None:
        """Let these quotas hold from now on."""
        self._quotas = dict(quotas.tenants)
        default = Share(max_running=self._settings.tenant_max_running)
        self._policy.default = default
        self._policy.shares = {
            TenantId(tenant): Share(quota.weight or default.weight, quota.max_running or default.max_running)
            for tenant, quota in quotas.tenants.items()
        }

    async def follow(self, bus: Bus) -> None:
        """Read the quotas again and again, until cancelled. While NATS is away the last ones hold."""
        while True:
            try:
                self.take(await read_quotas(bus))
            except (KerfError, APIError, nats.errors.Error, TimeoutError) as error:
                LOG.warning("quotas could not be read, the last ones hold: %s", error)
            await asyncio.sleep(_REFRESH_SECONDS)

    def check_rate(self, tenant: TenantId) -> None:
        """Count a request for a new job. Raises ResourceExhausted with the time until one fits."""
        per_second = self._quota(tenant).jobs_per_second or self._settings.tenant_jobs_per_second
        if per_second == 0:
            return
        now = self._clock()
        bucket = self._buckets.setdefault(tenant, _Bucket(max(1.0, 2 * per_second), now))
        wait_seconds = bucket.take(per_second, now)
        if wait_seconds > 0:
            text = f"more than {per_second:g} jobs a second: ask again in {wait_seconds:.1f} s"
            raise ResourceExhausted("RATE_LIMITED", text, retry_after=timedelta(seconds=wait_seconds))

    def check_room(self, tenant: TenantId, jobs: int = 1) -> None:
        """Raise ResourceExhausted if the tenant may not have so many more open jobs; says when it will."""
        limit = self._quota(tenant).max_open_jobs or self._settings.tenant_max_open_jobs
        waiting = self._view.open_count(tenant)
        if limit == 0 or waiting + jobs <= limit:
            return
        seconds = self._seconds_until_ended(tenant, waiting + jobs - limit)
        text = f"{waiting} jobs have not ended, at most {limit} may be open: ask again in about {seconds:.0f} s"
        raise ResourceExhausted("TOO_MANY_OPEN_JOBS", text, retry_after=timedelta(seconds=seconds))

    def _seconds_until_ended(self, tenant: TenantId, jobs: int) -> float:
        """By the rate at which the tenant's jobs ended lately; the longest wait if none did."""
        least, most = _RETRY_SECONDS
        ended = self._lately_ended(tenant)
        if not ended:
            return most
        rate = len(ended) / max(1.0, self._clock() - ended[0])
        return min(most, max(least, jobs / rate))

    def _lately_ended(self, tenant: TenantId) -> deque[float]:
        ended = self._ended[tenant]
        while ended and ended[0] < self._clock() - _DRAIN_WINDOW_SECONDS:
            ended.popleft()
        return ended

    def _changed(self, row: Row) -> None:
        if row.ended:
            self._lately_ended(row.ref.tenant).append(self._clock())

    def _quota(self, tenant: TenantId) -> Quota:
        return self._quotas.get(tenant) or Quota()


async def read_quotas(bus: Bus) -> Quotas:
    """What `kerf_config` has; empty if nobody has set any."""
    bucket = await bus.bucket(CONFIG)
    try:
        return Quotas.FromString((await bucket.get(QUOTAS_KEY)).value or b"")
    except (KeyNotFoundError, NoKeysError):
        return Quotas()
