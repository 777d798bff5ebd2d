"""API keys: who calls. Only their SHA-256 is stored, in `kerf_config`."""

from __future__ import annotations

import hashlib
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass

import nats.errors
from nats.js import JetStreamContext
from nats.js.errors import APIError, KeyNotFoundError, NoKeysError

from kerf.runtime.v1.runtime_pb2 import ApiKey
from kerf_core.bus import Bus, nats_away
from kerf_core.errors import InvalidArgument, PermissionDenied, Unauthenticated, Unavailable
from kerf_core.jobs.names import TOKEN
from kerf_core.stages import TenantId
from kerf_core.streams import CONFIG

_PREFIX = "kerf_"
_ENTRY = "apikey."
_CACHE_SECONDS = 30.0
_MAX_CACHED = 10_000


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    tenant: TenantId
    operator: bool = False


_CALLER: ContextVar[Caller] = ContextVar("kerf_caller")


def current_tenant() -> TenantId:
    """The tenant of the running gRPC call."""
    return _CALLER.get().tenant


def visible_tenant() -> TenantId | None:
    """The tenant whose things the running gRPC call may see; None = all of them (an operator's key)."""
    caller = _CALLER.get()
    return None if caller.operator else caller.tenant


def require_operator() -> None:
    """Raise PermissionDenied unless the running call was made with an operator's key."""
    if not _CALLER.get().operator:
        raise PermissionDenied("OPERATORS_ONLY", "this method looks across tenants: call it with an operator's API key")


async def remove_api_keys(bus: Bus, tenant: TenantId) -> int:
    """Forget all keys of a tenant; returns how many there were. Other processes remember them for half a minute.

    Raises Unavailable.
    """
    bucket = await bus.bucket(CONFIG)
    removed = 0
    try:
        for entry in [key for key in await bucket.keys() if key.startswith(_ENTRY)]:
            if ApiKey.FromString((await bucket.get(entry)).value or b"").tenant == tenant:
                await bucket.purge(entry)
                removed += 1
    except NoKeysError:
        return removed
    except (APIError, nats.errors.Error, TimeoutError) as error:
        raise nats_away() from error
    return removed


def set_caller(caller: Caller) -> None:
    """Let the rest of this call run as `caller`."""
    _CALLER.set(caller)


def new_api_key() -> str:
    """A fresh secret."""
    return _PREFIX + secrets.token_urlsafe(32)


def _entry(api_key: str) -> str:
    return _ENTRY + hashlib.sha256(api_key.encode()).hexdigest()


async def store_api_key(
    js: JetStreamContext, api_key: str, tenant: str, *, operator: bool = False, description: str = ""
) -> None:
    """Let `api_key` act for `tenant`. Raises InvalidArgument."""
    if not TOKEN.match(tenant):
        raise InvalidArgument.of_field("tenant", "must be 1–64 characters of a–z, 0–9 and '-'")
    record = ApiKey(tenant=tenant, operator=operator, description=description)
    record.create_time.GetCurrentTime()
    bucket = await js.key_value(CONFIG)
    await bucket.put(_entry(api_key), record.SerializeToString())


class KeyRing:
    """Looks API keys up, and remembers them for half a minute: so long a deleted key still works."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, tuple[Caller, float]] = {}

    async def caller(self, authorization: str) -> Caller:
        """The caller of `Bearer <key>`. Raises Unauthenticated, Unavailable."""
        scheme, _, api_key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not api_key.startswith(_PREFIX):
            raise Unauthenticated(
                "API_KEY_MISSING", "send your API key in the metadata: 'authorization: Bearer kerf_…'"
            )
        entry = _entry(api_key.strip())
        known = self._known.get(entry)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        try:
            bucket = await self._bus.bucket(CONFIG)
            record = ApiKey.FromString((await bucket.get(entry)).value or b"")
        except (KeyNotFoundError, NoKeysError):
            self._known.pop(entry, None)
            raise Unauthenticated(
                "API_KEY_UNKNOWN", "this API key is not known here: ask your operator for one"
            ) from None
        except (APIError, nats.errors.Error, TimeoutError, Unavailable) as error:
            if known is not None:
                return known[0]
            raise nats_away() from error
        caller = Caller(TenantId(record.tenant), record.operator)
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        self._known[entry] = (caller, time.monotonic() + _CACHE_SECONDS)
        return caller
