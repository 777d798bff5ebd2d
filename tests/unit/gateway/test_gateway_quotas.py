"""Quotas: what a tenant may have is told to the dispatcher and asked before a job is accepted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from kerf.jobs.v1.event_pb2 import JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import JobState
from kerf.runtime.v1.runtime_pb2 import Quota, Quotas
from kerf_core.errors import ResourceExhausted
from kerf_core.jobs.feed import Listener
from kerf_core.jobs.names import JobRef, new_job_id
from kerf_core.jobs.policy import FairShare, Share
from kerf_core.jobs.view import JobView
from kerf_core.stages import TenantId
from kerf_gateway.quotas import QuotaBook
from kerf_gateway.settings import GatewaySettings

ANN, BOB = TenantId("ann"), TenantId("bob")


class Feed:
    """Tells entries to the view, as `EventFeed` does."""

    def __init__(self) -> None:
        self.tell: Listener | None = None

    def listen(self, listener: Listener) -> Callable[[], None]:
        self.tell = listener
        return lambda: None

    def job(self, tenant: TenantId, state: JobState.ValueType, ref: JobRef | None = None) -> JobRef:
        ref = ref or JobRef(tenant, new_job_id())
        sequence = 1 if state == JobState.JOB_STATE_QUEUED else 2
        assert self.tell is not None
        self.tell(ref, JobEvent(sequence=sequence, head=JobHead(state=state, kinds=["noop"])))
        return ref


class Bench:
    """A quota book with a clock that the test moves."""

    def __init__(self, **settings: float) -> None:
        self.now = 100.0
        self.feed = Feed()
        self.policy = FairShare()
        made = GatewaySettings.model_validate(settings)
        self.book = QuotaBook(made, JobView(self.feed), self.policy, clock=lambda: self.now)  # type: ignore[arg-type]  # the part of a feed that a view uses


def test_a_tenant_above_its_rate_is_told_when_to_come_back() -> None:
    bench = Bench(tenant_jobs_per_second=2)
    for _ in range(4):  # two seconds' worth
        bench.book.check_rate(ANN)
    with pytest.raises(ResourceExhausted) as refusal:
        bench.book.check_rate(ANN)
    assert refusal.value.reason == "RATE_LIMITED"
    assert refusal.value.retry_after == timedelta(seconds=0.5)
    bench.book.check_rate(BOB)
    bench.now += 0.5
    bench.book.check_rate(ANN)


def test_a_tenant_with_too_many_open_jobs_is_told_by_its_own_drain_rate() -> None:
    bench = Bench(tenant_max_open_jobs=3)
    refs = [bench.feed.job(ANN, JobState.JOB_STATE_QUEUED) for _ in range(3)]
    with pytest.raises(ResourceExhausted) as refusal:
        bench.book.check_room(ANN)
    assert refusal.value.retry_after == timedelta(seconds=60), "nothing ended yet: nothing is known"
    bench.book.check_room(BOB)
    bench.feed.job(ANN, JobState.JOB_STATE_SUCCEEDED, refs[0])
    bench.book.check_room(ANN)
    bench.now += 20
    bench.feed.job(ANN, JobState.JOB_STATE_FAILED, refs[1])
    for _ in range(2):
        bench.feed.job(ANN, JobState.JOB_STATE_QUEUED)
    with pytest.raises(ResourceExhausted) as refusal:
        bench.book.check_room(ANN)
    assert refusal.value.retry_after == timedelta(seconds=10), "two ended in 20 s"


def test_a_tenants_own_quota_goes_before_the_settings() -> None:
    bench = Bench(tenant_max_running=4, tenant_max_open_jobs=1)
    assert bench.policy.default == Share(max_running=4)
    bench.book.take(Quotas(tenants={ANN: Quota(weight=3, max_open_jobs=2)}))
    assert bench.policy.shares == {ANN: Share(weight=3, max_running=4)}
    bench.feed.job(ANN, JobState.JOB_STATE_QUEUED)
    bench.book.check_room(ANN)
    bench.feed.job(BOB, JobState.JOB_STATE_QUEUED)
    with pytest.raises(ResourceExhausted):
        bench.book.check_room(BOB)
    bench.book.take(Quotas())
    with pytest.raises(ResourceExhausted):
        bench.book.check_room(ANN)
