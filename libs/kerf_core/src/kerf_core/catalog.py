"""The names that the workers of a kind know (models, materials …), kept where the gateways can look them up."""

from __future__ import annotations

import time
from collections.abc import Iterable

import nats.errors
from nats.js.errors import APIError, KeyNotFoundError, NoKeysError

from kerf.runtime.v1.runtime_pb2 import Catalog, CatalogEntry
from kerf_core.bus import Bus, nats_away
from kerf_core.errors import FailedPrecondition
from kerf_core.streams import CONFIG

_CACHE_SECONDS = 2.0


async def publish_catalog(bus: Bus, kind: str, entries: Iterable[CatalogEntry]) -> None:
    """Say what the workers of a kind know. The worker that started last has the last word. Raises Unavailable."""
    bucket = await bus.bucket(CONFIG)
    try:
        await bucket.put(f"catalog.{kind}", Catalog(entries=list(entries)).SerializeToString())
    except (APIError, nats.errors.Error, TimeoutError) as error:
        raise nats_away() from error


class CatalogReader:
    """Looks names up."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, tuple[Catalog | None, float]] = {}

    async def check(self, kind: str, field: str, name: str, reason: str) -> None:
        """Raise FailedPrecondition(`reason`) if workers of `kind` are known not to know `name`, or to refuse it.

        While no worker of that kind has ever said what it knows, nothing is refused here: the worker decides.
        """
        catalog = await self._catalog(kind)
        if catalog is None or not name:
            return
        entries = [entry for entry in catalog.entries if entry.field == field]
        for entry in entries:
            if entry.name == name:
                if entry.refused_reason:
                    raise FailedPrecondition(f"{field.upper()}_REFUSED", f"{field} {name!r}: {entry.refused_reason}")
                return
        known = ", ".join(sorted(entry.name for entry in entries if not entry.refused_reason)) or "none"
        raise FailedPrecondition(reason, f"{field} {name!r} is not known here; known: {known}")

    async def _catalog(self, kind: str) -> Catalog | None:
        known = self._known.get(kind)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        bucket = await self._bus.bucket(CONFIG)
        try:
            found = Catalog.FromString((await bucket.get(f"catalog.{kind}")).value or b"")
        except (KeyNotFoundError, NoKeysError):
            found = None
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise nats_away() from error
        self._known[kind] = (found, time.monotonic() + _CACHE_SECONDS)
        return found
