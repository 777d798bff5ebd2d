"""Which tenants are being deleted: kept in `kerf_config`, so that any gateway goes on where another one died."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from kerf.admin.v1.admin_pb2 import TenantDeletion, TenantDeletions, TenantDeletionState
from kerf.runtime.v1.runtime_pb2 import Quotas
from kerf_core.bus import Bus, Conflict, OutcomeUnknown, nats_away
from kerf_core.errors import FailedPrecondition, KerfError, NotFound
from kerf_core.jobs.log import now
from kerf_core.stages import TenantId
from kerf_core.streams import CONFIG
from kerf_gateway.quotas import QUOTAS_KEY

LOG = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)
_KEY = "tenant-deletions"
_REFRESH_SECONDS = 1.0
_TRY_FOR_SECONDS = 10.0
_APPEND_SECONDS = 2.0
_RUNNING = TenantDeletionState.TENANT_DELETION_STATE_RUNNING
_DONE = TenantDeletionState.TENANT_DELETION_STATE_DONE
COUNTS = (
    "cancelled_jobs",
    "jobs",
    "log_entries",
    "artifacts",
    "uploads",
    "checkpoints",
    "archived_jobs",
    "request_ids",
    "api_keys",
)


class DeletionBook:
    """What this gateway knows of deletions; at most some seconds old."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known = TenantDeletions()

    def check_open(self, tenant: TenantId) -> None:
        """Raise FailedPrecondition while the tenant is being deleted."""
        if tenant in self._known.tenants and self._known.tenants[tenant].state == _RUNNING:
            text = f"the tenant {tenant!r} is being deleted: nothing new is accepted"
            raise FailedPrecondition("TENANT_BEING_DELETED", text)

    def in_state(self, *, done: bool) -> list[TenantDeletion]:
        """The deletions that are over, or those that go on."""
        wanted = _DONE if done else _RUNNING
        return [deletion for deletion in self._known.tenants.values() if deletion.state == wanted]

    async def begin(self, tenant: TenantId) -> TenantDeletion:
        """Write down that the tenant is to be deleted, unless that goes on already. Raises Unavailable."""

        def change(deletions: TenantDeletions) -> None:
            if deletions.tenants[tenant].state != _RUNNING:
                begun = TenantDeletion(tenant=tenant, state=_RUNNING, create_time=now())
                deletions.tenants[tenant].CopyFrom(begun)

        self._known = await _swap(self._bus, _KEY, TenantDeletions, change)
        return self._known.tenants[tenant]

    async def show(self, tenant: TenantId) -> TenantDeletion:
        """As it is stored now. Raises NotFound, Unavailable."""
        await self._refresh()
        if tenant not in self._known.tenants:
            raise NotFound("DELETION_NOT_FOUND", f"nobody has asked to delete the tenant {tenant!r}")
        return self._known.tenants[tenant]

    async def add(self, removed: TenantDeletion, *, done: bool) -> None:
        """Add to the figures of a deletion that goes on; it ends if `done`. Raises Unavailable."""

        def change(deletions: TenantDeletions) -> None:
            deletion = deletions.tenants[removed.tenant]
            for count in COUNTS:
                setattr(deletion, count, getattr(deletion, count) + getattr(removed, count))
            if done:
                deletion.state = _DONE
                deletion.end_time.CopyFrom(now())

        self._known = await _swap(self._bus, _KEY, TenantDeletions, change)

    async def follow(self) -> None:
        """Read again and again, until cancelled. While NATS is away what was read last holds."""
        while True:
            try:
                await self._refresh()
            except KerfError as error:
                LOG.warning("tenant deletions could not be read: %s", error)
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _refresh(self) -> None:
        stored = await self._bus.last(f"KV_{CONFIG}", f"$KV.{CONFIG}.{_KEY}")
        self._known = TenantDeletions.FromString(stored.data) if stored else TenantDeletions()


async def remove_quota(bus: Bus, tenant: TenantId) -> None:
    """Forget what a tenant may have. Raises Unavailable."""

    def change(quotas: Quotas) -> None:
        quotas.tenants.pop(tenant, None)

    await _swap(bus, QUOTAS_KEY, Quotas, change)


async def _swap(bus: Bus, key: str, kind: type[M], change: Callable[[M], None]) -> M:
    """Change a value of `kerf_config` that others may change too; returns it as stored."""
    subject = f"$KV.{CONFIG}.{key}"
    give_up_at = time.monotonic() + _TRY_FOR_SECONDS
    written = b""
    while time.monotonic() < give_up_at:
        stored = await bus.last(f"KV_{CONFIG}", subject)
        value = kind()
        value.ParseFromString(stored.data if stored else b"")
        if stored and stored.data == written:
            return value  # the answer to the last try was lost
        change(value)
        data = value.SerializeToString(deterministic=True)
        if data == (stored.data if stored else b""):
            return value
        try:
            await bus.append(subject, data, expected=stored.sequence if stored else 0, timeout=_APPEND_SECONDS)
        except Conflict:
            continue
        except OutcomeUnknown:
            written = data
            continue
        return value
    raise nats_away(f"{key} could not be changed")
