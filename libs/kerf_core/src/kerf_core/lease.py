"""A role that one process at a time should play, to save work: whatever it does must be safe without the lease."""

from __future__ import annotations

import logging

from nats.js.errors import KeyNotFoundError

from kerf.runtime.v1.runtime_pb2 import Lease
from kerf_core.bus import Bus
from kerf_core.streams import LEASES

LOG = logging.getLogger(__name__)


class RoleLease:
    """`kerf_leases[<role>]`, forgotten by the bucket's TTL unless it is held again."""

    def __init__(self, bus: Bus, role: str, holder: str) -> None:
        self._bus = bus
        self._role = role
        self._holder = holder

    async def hold(self) -> bool:
        """Take or renew the lease; False while another holds it. True if NATS does not say."""
        try:
            bucket = await self._bus.bucket(LEASES)
            try:
                held = Lease.FromString((await bucket.get(self._role)).value or b"")
                if held.holder != self._holder:
                    return False
            except KeyNotFoundError:
                pass
            await bucket.put(self._role, Lease(holder=self._holder).SerializeToString())
        except Exception as error:  # noqa: BLE001 - whatever NATS says: acting without the lease is safe, not acting is not
            LOG.warning("lease %s: %s", self._role, error)
        return True
