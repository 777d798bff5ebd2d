"""Which of a tenant's jobs have a state, a kind, a label, a batch: a list costs what it shows, not what there is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from kerf.jobs.v1.event_pb2 import JobHead
from kerf.jobs.v1.job_service_pb2 import JobFilter
from kerf_core.jobs.ids import SortedIds
from kerf_core.jobs.names import JobRef, drawn_at, least_id_at
from kerf_core.stages import JobId, TenantId

_Posting = SortedIds[JobId]
_Key = tuple[str | int, ...]
_ALL: _Key = ()
_MS = 1_000_000


class JobIndex:
    """Sorted ids by tenant and property. Not for several threads."""

    def __init__(self) -> None:
        self._postings: dict[tuple[TenantId, _Key], _Posting] = {}
        self._skew_ms: dict[TenantId, float] = defaultdict(float)
        """How far a tenant's job was accepted from the moment that its id names, at most."""

    def put(self, ref: JobRef, known: JobHead | None, head: JobHead) -> None:
        """A job came, or moved on. `known`: what was put before; of a job only the state changes."""
        if known is None:
            drawn_s = drawn_at(ref.job)
            away_ms = math.inf if drawn_s is None else abs(1000 * drawn_s - _created_ms(head)) + 1
            self._skew_ms[ref.tenant] = max(self._skew_ms[ref.tenant], away_ms)
            for key in _keys(head):
                self._add(ref, key)
        elif known.state != head.state:
            self._discard(ref, ("state", known.state))
            self._add(ref, ("state", head.state))

    def remove(self, ref: JobRef, head: JobHead) -> None:
        """Forget a job; `head` is what was put last."""
        for key in _keys(head):
            self._discard(ref, key)
        if (ref.tenant, _ALL) not in self._postings:
            self._skew_ms.pop(ref.tenant, None)

    def newest_first(self, tenant: TenantId, wanted: JobFilter, before: JobId | None) -> Iterator[JobId]:
        """The tenant's jobs that have all that is wanted, those below `before` only.

        Times are looked at so far as ids tell them: some jobs may come that were accepted shortly before or after.
        Nothing may be put or removed before the last one was taken.
        """
        groups = self._groups(tenant, wanted)
        skew_ms = self._skew_ms.get(tenant, 0.0)
        least: JobId | None = None
        if wanted.HasField("created_before") and math.isfinite(skew_ms):
            newest = least_id_at(math.ceil(wanted.created_before.ToNanoseconds() / _MS + skew_ms))
            before = newest if before is None else min(before, newest)
        if wanted.HasField("created_after") and math.isfinite(skew_ms):
            least = least_id_at(math.floor(wanted.created_after.ToNanoseconds() / _MS - skew_ms))
        for job in _common(groups, before):
            if least is not None and job < least:
                return
            yield job

    def _groups(self, tenant: TenantId, wanted: JobFilter) -> list[list[_Posting]]:
        """Postings, of which a job must be in one of each list; the shortest list first."""
        keys: list[list[_Key]] = [[("label", key, value)] for key, value in wanted.labels.items()]
        if wanted.states:
            keys.append([("state", state) for state in set(wanted.states)])
        if wanted.kind:
            keys.append([("kind", wanted.kind)])
        if wanted.batch:
            keys.append([("batch", wanted.batch)])
        found = [
            [posting for key in alternatives if (posting := self._postings.get((tenant, key))) is not None]
            for alternatives in keys or [[_ALL]]
        ]
        return sorted(found, key=lambda group: sum(map(len, group)))

    def _add(self, ref: JobRef, key: _Key) -> None:
        self._postings.setdefault((ref.tenant, key), SortedIds()).add(ref.job)

    def _discard(self, ref: JobRef, key: _Key) -> None:
        posting = self._postings[ref.tenant, key]
        posting.discard(ref.job)
        if not posting:
            del self._postings[ref.tenant, key]


def _keys(head: JobHead) -> Iterator[_Key]:
    yield _ALL
    yield "state", head.state
    for kind in set(head.kinds):
        yield "kind", kind
    for label in head.labels.items():
        yield "label", *label
    if head.batch.name:
        yield "batch", head.batch.name


def _created_ms(head: JobHead) -> float:
    return head.create_time.ToNanoseconds() / _MS


def _common(groups: Sequence[Sequence[_Posting]], before: JobId | None) -> Iterator[JobId]:
    """Ids that are in one posting of every group, in descending order.

    Each group is asked for its last id below a bound; the least answer is the next bound (leapfrog join: Veldhuizen
    2014), so that a short group is never outwaited by a long one.
    """
    while True:
        answers = []
        for group in groups:
            below = [job for posting in group if (job := posting.last_before(before)) is not None]
            if not below:
                return
            answers.append(max(below))
        least = min(answers)
        if least == max(answers):
            yield least
            before = least
        else:
            before = JobId(least + "\0")  # the least id above it: it may be asked for again
