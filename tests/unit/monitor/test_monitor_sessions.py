"""Sessions, from entries of job logs as the feed tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from kerf.jobs.v1.event_pb2 import (
    AttemptLost,
    Cancelled,
    Failed,
    JobEvent,
    JobHead,
    Progress,
    StageCompleted,
    StageStarted,
    Succeeded,
)
from kerf.jobs.v1.job_pb2 import StageTiming
from kerf_core.bus import Bus
from kerf_core.jobs.names import JobRef
from kerf_core.stages import JobId, TenantId
from kerf_monitor.adapters.job_feed import JobFeed
from kerf_monitor.domain.sessions import Session, SessionBook
from kerf_monitor.domain.snapshot import Availability, GpuFigures, Snapshot, measured, unknown, unsupported

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MakeGpu = Callable[..., GpuFigures]
MakeSnapshot = Callable[..., Snapshot]


class Story:
    """Writes entries of jobs' logs into a book, a second after each other."""

    def __init__(self, **changes: Any) -> None:
        self.readings: list[Snapshot] = []
        options: dict[str, Any] = {
            "max_sessions": 100,
            "max_workers": 100,
            "placement_wait": timedelta(days=9999),
            "readings_since": lambda begin: [each for each in self.readings if each.time >= begin],
        }
        self.book = SessionBook("here", **(options | changes))
        self.book.place_worker("w1", "here")
        self._feed = JobFeed(cast(Bus, None), self.book)
        self.second = 0
        self._sequences: dict[str, int] = {}

    def tell(self, job: str, tenant: str = "a", fence: int = 0, **body: Any) -> int:
        """Append an entry; returns its sequence. `fence` is what the head says."""
        self.second += 1
        sequence = self._sequences[job] = self._sequences.get(job, 0) + 1
        head = JobHead(kinds=["optimizer", "diffusion"], stage=1, fence=fence or 0)
        event = JobEvent(job=f"jobs/{job}", sequence=sequence, head=head, **body)
        event.time.FromDatetime(NOON + timedelta(seconds=self.second))
        if event.HasField("stage_started"):
            event.head.fence = sequence
        self._feed.entry(JobRef(TenantId(tenant), JobId(job)), event)
        return sequence

    def start(self, job: str, worker: str = "w1", tenant: str = "a") -> int:
        return self.tell(job, tenant, stage_started=StageStarted(stage="draw", worker=worker))

    def all(self, tenant: str | None = None) -> list[Session]:
        return list(self.book.newest_first(tenant))


def completed(device_seconds: float) -> StageCompleted:
    return StageCompleted(stage="draw", timing=StageTiming(device_seconds=device_seconds))


def test_an_attempt_is_a_session_from_its_start_to_its_end() -> None:
    story = Story()
    fence = story.start("j1")
    (running,) = story.all()
    assert (running.end, running.outcome, story.book.running) == (None, "", 1)
    assert running.device_seconds.availability is Availability.UNKNOWN
    story.tell("j1", fence=fence, progress=Progress(step=1))
    story.tell("j1", stage_completed=completed(1.5))
    (session,) = story.all()
    assert session == replace(
        running, end=NOON + timedelta(seconds=3), outcome="completed", device_seconds=measured(1.5)
    )
    assert (session.tenant, session.job, session.fence, session.stage) == ("a", "j1", fence, "draw")
    assert (session.kind, session.worker, session.start) == ("diffusion", "w1", NOON + timedelta(seconds=1))
    assert story.book.running == 0


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"succeeded": Succeeded(last_stage=completed(2))}, "completed"),
        ({"failed": Failed()}, "failed"),
        ({"cancelled": Cancelled()}, "cancelled"),
        ({"attempt_lost": AttemptLost(reason="WORKER_LOST")}, "lost"),
        ({"progress": Progress()}, "lost"),  # the head says that no attempt runs: the entry that said why was missed
    ],
)
def test_outcomes(body: dict[str, Any], outcome: str) -> None:
    story = Story()
    story.start("j1")
    story.tell("j1", **body)
    assert [session.outcome for session in story.all()] == [outcome]


@pytest.mark.parametrize("timing", [StageTiming(device_seconds=-1), None])
def test_device_seconds_that_nobody_reported_are_unknown_not_zero(timing: StageTiming | None) -> None:
    story = Story()
    story.start("j1")
    story.tell("j1", stage_completed=StageCompleted(stage="draw", timing=timing))
    assert story.all()[0].device_seconds.availability is Availability.UNKNOWN


def test_a_measured_zero_stays_a_measured_zero() -> None:
    story = Story()
    story.start("j1")
    story.tell("j1", stage_completed=completed(0))
    assert story.all()[0].device_seconds == measured(0)


def test_an_attempt_that_takes_over_ends_the_one_that_never_reported() -> None:
    story = Story()
    story.start("j1")
    story.start("j1")
    assert [session.outcome for session in story.all()] == ["", "lost"]


def test_a_worker_of_another_node_and_one_of_no_known_node_do_not_count() -> None:
    story = Story(placement_wait=timedelta(seconds=15))
    story.book.place_worker("w2", "there")
    story.book.place_worker("w3", "")  # an older worker that does not say
    story.start("j1", "w2")
    story.start("j2", "w3")
    assert story.all() == []


def test_an_attempt_counts_once_its_worker_says_that_it_is_here_even_if_it_has_ended() -> None:
    story = Story()
    story.start("j1", "w9")
    story.tell("j1", stage_completed=completed(1))
    story.start("j2", "w9")
    story.start("j3", "w8")
    assert story.all() == []
    story.book.place_worker("w9", "here")
    story.book.place_worker("w8", "there")
    assert [(session.job, session.outcome) for session in story.all()] == [("j2", ""), ("j1", "completed")]
    story.tell("j2", failed=Failed())
    assert story.all()[0].outcome == "failed"


def test_who_never_says_where_he_is_is_forgotten(make_snapshot: MakeSnapshot) -> None:
    story = Story(placement_wait=timedelta(seconds=15))
    story.start("j1", "w9")
    story.book.observe(replace(make_snapshot(), time=datetime.now(UTC) + timedelta(seconds=16)))
    story.book.place_worker("w9", "here")
    assert story.all() == []


def test_usage_counts_what_was_measured_while_it_ran(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    story = Story()
    story.book.observe(make_snapshot(0, cpu_utilization=measured(1), memory_used_bytes=measured(9e9)))
    story.start("j1")
    for second, cpu, memory, gpu_memory, energy in ((2, 0.2, 5e9, 1e9, 100), (3, 0.4, 7e9, 3e9, 150)):
        gpus = (
            make_gpu(memory_used_bytes=measured(gpu_memory), energy_joules=measured(energy)),
            make_gpu(uuid="GPU-2", memory_used_bytes=measured(1e9), energy_joules=measured(energy)),
        )
        story.book.observe(
            make_snapshot(second, gpus, cpu_utilization=measured(cpu), memory_used_bytes=measured(memory))
        )
    story.book.observe(make_snapshot(4, cpu_utilization=unknown("no"), memory_used_bytes=unknown("no")))
    story.tell("j1", stage_completed=completed(1))
    story.book.observe(make_snapshot(5, cpu_utilization=measured(1), memory_used_bytes=measured(9e9)))
    usage = story.book.usage(story.all()[0])
    assert usage.host_cpu_utilization.value == pytest.approx(0.3)
    assert usage.peak_host_memory_bytes == measured(7e9)
    assert usage.peak_gpu_memory_bytes == measured(4e9)
    assert usage.gpu_energy_joules == measured(100)


def test_an_attempt_that_is_heard_of_late_takes_the_kept_readings(make_snapshot: MakeSnapshot) -> None:
    story = Story()
    story.readings = [make_snapshot(0, memory_used_bytes=measured(9e9)), make_snapshot(2), make_snapshot(3)]
    story.start("j1")  # at second 1
    assert story.book.usage(story.all()[0]).peak_host_memory_bytes == measured(4 << 30)


def test_a_session_between_two_readings_has_no_usage(make_snapshot: MakeSnapshot) -> None:
    story = Story()
    story.start("j1")
    story.tell("j1", stage_completed=completed(1))
    usage = story.book.usage(story.all()[0])
    for reading in (usage.host_cpu_utilization, usage.peak_host_memory_bytes, usage.gpu_energy_joules):
        assert reading.availability is Availability.UNKNOWN
    assert usage.peak_gpu_memory_bytes.availability is Availability.UNKNOWN


def test_gpu_usage_is_unsupported_without_gpu_and_unknown_where_it_could_not_be_read(
    make_snapshot: MakeSnapshot, make_gpu: MakeGpu
) -> None:
    story = Story()
    story.start("j1")
    story.book.observe(make_snapshot(2))
    assert story.book.usage(story.all()[0]).peak_gpu_memory_bytes.availability is Availability.UNSUPPORTED
    story.book.observe(make_snapshot(3, (make_gpu(memory_used_bytes=unknown("no"), energy_joules=unsupported("no")),)))
    usage = story.book.usage(story.all()[0])
    assert usage.peak_gpu_memory_bytes.availability is Availability.UNKNOWN
    assert usage.gpu_energy_joules.availability is Availability.UNKNOWN


def test_energy_over_a_driver_reload_does_not_go_backwards(make_snapshot: MakeSnapshot, make_gpu: MakeGpu) -> None:
    story = Story()
    story.start("j1")
    for second, energy in enumerate((1000, 1010, 5, 25)):
        story.book.observe(make_snapshot(second, (make_gpu(energy_joules=measured(energy)),)))
    assert story.book.usage(story.all()[0]).gpu_energy_joules == measured(30)


def test_sessions_at_the_same_time_are_counted_at_most() -> None:
    story = Story()
    story.start("j1")
    story.start("j2")
    story.tell("j1", failed=Failed())
    story.start("j3")
    story.tell("j2", failed=Failed())
    story.tell("j3", failed=Failed())
    story.start("j4")
    assert [session.concurrent for session in story.all()] == [1, 2, 2, 2]


def test_a_tenant_sees_his_own_newest_first() -> None:
    story = Story()
    for job, tenant in (("j1", "a"), ("j2", "b"), ("j3", "a")):
        story.start(job, tenant=tenant)
    assert [session.job for session in story.all("a")] == ["j3", "j1"]
    assert [session.job for session in story.all("b")] == ["j2"]
    assert [session.job for session in story.all()] == ["j3", "j2", "j1"]
    assert [session.job for session in story.book.newest_first("a", "j1")] == ["j1"]
    assert list(story.book.newest_first("b", "j1")) == []


def test_memory_is_bounded_and_ended_sessions_go_first() -> None:
    story = Story(max_sessions=3, max_workers=2)
    story.start("runs")
    for number in range(5):
        story.start(f"j{number}")
        story.tell(f"j{number}", failed=Failed())
    assert [session.job for session in story.all()] == ["j4", "j3", "runs"]
    for number in range(5):
        story.start(f"k{number}", f"unknown-{number}")
    for number in range(5):
        story.book.place_worker(f"unknown-{number}", "here")
    assert len(story.all()) == 3
    assert story.book.get("runs", 1) is None  # more run than are kept: the oldest goes
    story.start("last", "w1")
    assert story.book.get("last", 1) is None  # w1 was forgotten for newer workers: its node is not known now


def test_a_wrong_clock_makes_no_session_that_ends_before_it_begins() -> None:
    story = Story()
    story.start("j1")
    story.second = -100
    story.tell("j1", failed=Failed())
    (session,) = story.all()
    assert session.end == session.start
