"""Slots that are kept free for a moment for the tenant that left them. Pure.

A tenant with a few jobs open at a time has nothing waiting in the instant in which one of them ends: a scheduler that
never lets a worker idle gives its slot to whoever floods, and the tenant's next job waits for a whole stage of theirs.
So the slot is kept for a moment if the tenant usually comes back that soon (anticipatory scheduling: Iyer and Druschel
2001), and only while all this keeping costs no more than a set share of the work done.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from kerf_core.stages import TenantId

_PATIENCE = 0.2
"""Of the mean time of a stage: longer than that nobody is waited for."""
_NEW_WEIGHT = 0.25
_USUALLY = 0.5
_NEVER = 0.02
_REMEMBERED = 1000
"""Tenants whose habit is known; beyond that, who was not heard of for longest is forgotten."""
_FADE = 0.99
"""Of what was counted before, at every stage that ends: the last hundred stages matter."""


@dataclass
class _Left:
    """A slot that was left and not come back for."""

    at_ns: int
    until_ns: int
    held: bool = False


class KeptSlots:
    """The slots of one kind of worker."""

    def __init__(self, idle_share: float) -> None:
        """`idle_share`: seconds that slots may be kept idle, for each second of work done; 0 = none are kept."""
        self._idle_share = idle_share
        self._left: dict[TenantId, deque[_Left]] = defaultdict(deque)
        self._returns: dict[TenantId, float] = {}
        """How often a tenant came back in time, lately; who never does is not in it."""
        self._idle_seconds = 0.0
        self._worked_seconds = 0.0

    def worked(self, seconds: float) -> None:
        """A stage took so long."""
        self._worked_seconds = _FADE * self._worked_seconds + seconds
        self._idle_seconds *= _FADE

    def left(self, tenant: TenantId, mean_seconds: float, now_ns: int) -> None:
        """A stage of the tenant has left its slot, and the tenant has nothing waiting."""
        self._give_up(now_ns)
        self._left[tenant].append(_Left(now_ns, now_ns + int(_PATIENCE * mean_seconds * 1e9)))

    def came(self, tenant: TenantId, now_ns: int) -> None:
        """A stage of the tenant may go at once: it takes the place that was kept longest for it, if one was."""
        self._give_up(now_ns)
        if tenant in self._left:
            self._settle(tenant, now_ns, came=True)

    def kept(self, now_ns: int) -> Mapping[TenantId, int]:
        """How many slots are kept for whom."""
        self._give_up(now_ns)
        if self._idle_seconds > self._idle_share * self._worked_seconds or not self._idle_share:
            return {}
        return {tenant: len(left) for tenant, left in self._left.items() if self._returns.get(tenant, 0.0) >= _USUALLY}

    def hold(self, tenant: TenantId, slots: int) -> None:
        """So many slots idle now for the tenant though others have work."""
        for left in islice(self._left[tenant], slots):
            left.held = True

    def next_given_up_ns(self, now_ns: int) -> int | None:
        """When the first slot that idles is kept no longer (now, if that was a moment ago); None if none idles."""
        due_ns = min((left.until_ns for slots in self._left.values() for left in slots if left.held), default=None)
        self._give_up(now_ns)
        return due_ns

    def _give_up(self, now_ns: int) -> None:
        for tenant in [tenant for tenant, left in self._left.items() if left[0].until_ns <= now_ns]:
            while tenant in self._left and self._left[tenant][0].until_ns <= now_ns:
                self._settle(tenant, self._left[tenant][0].until_ns, came=False)

    def _settle(self, tenant: TenantId, at_ns: int, *, came: bool) -> None:
        slot = self._left[tenant].popleft()
        if not self._left[tenant]:
            del self._left[tenant]
        if slot.held:
            self._idle_seconds += (at_ns - slot.at_ns) / 1e9
        returns = self._returns.pop(tenant, 0.0)
        returns += _NEW_WEIGHT * (came - returns)
        if returns > _NEVER:
            self._returns[tenant] = returns
        if len(self._returns) > _REMEMBERED:
            del self._returns[next(iter(self._returns))]
