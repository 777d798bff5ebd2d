"""The power fails: every job that was accepted ends with its result, and no upload that was answered for is lost."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import stack
from chaos.faults.originals import UPLOADS
from chaos.faults.power import SYSTEM, Mains, mains
from chaos.faults.run import Plan, Report, run_plan
from chaos.faults.schedule import MACHINE, Fault, draw_schedule
from chaos.faults.violations import Kind
from kerf_embedded import nats_server
from kerf_embedded.credentials import Credentials
from kerf_embedded.files import write_private

pytestmark = [pytest.mark.chaos, pytest.mark.root, pytest.mark.timeout(900)]
SEED = "KERF_CHAOS_SEED"
PATIENCE = "KERF_CHAOS_PATIENCE"
CUTS = "KERF_CHAOS_POWER_CUTS"
SECONDS_PER_CUT = 6.0
SYNCS = "sync_interval: always"
TARGETS = Fault.POWER_CUT.targets


@pytest.fixture
def power(tmp_path: Path) -> Iterator[Mains]:
    with mains(tmp_path / "images", tmp_path / "run" / stack.STACK) as on:
        yield on


@pytest.fixture
def one_late_cut() -> Plan:
    """Of the machine, while jobs and uploads are some seconds old. Short bounds: it is not to pass."""
    for seed in itertools.count():
        plan = Plan(seed, 8, 0, 8.0, 0.25, power_cuts=1)
        cut = draw_schedule(seed, 0, plan.seconds, power_cuts=1)[0]
        if cut.target == MACHINE and 4.0 < cut.at_s < 6.0:
            return plan
    raise AssertionError("the loop never ends")


def kinds_of(report: Report) -> set[tuple[Kind, bool]]:
    """What was found, each with whether it concerns an upload."""
    return {(violation.kind, violation.job == UPLOADS) for violation in report.violations}


async def test_nothing_that_was_answered_for_is_lost(power: Mains, tmp_path: Path) -> None:
    cuts = int(os.environ.get(CUTS) or len(TARGETS))
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 31))
    patience = float(os.environ.get(PATIENCE) or "1")
    plan = Plan(seed, 6 * cuts, 0, SECONDS_PER_CUT * cuts, patience, power_cuts=cuts)
    report = await run_plan(plan, tmp_path / "run", power=power)
    print(report)
    assert report.clean, f"{SEED}={seed}\n{report}"
    assert report.faults == {Fault.POWER_CUT.name: cuts}
    assert report.bodies["accepted"] >= 3 * cuts
    assert sum(each.job == UPLOADS for each in report.history.deliveries) >= 3 * cuts


async def test_a_log_that_is_not_synced_is_found(
    power: Mains, one_late_cut: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = nats_server.nats_config

    def with_nats_own_default(folder: Path, port: int, credentials: Credentials) -> str:
        config = written(folder, port, credentials)
        assert SYNCS in config
        return config.replace(SYNCS, "sync_interval: 2m")

    monkeypatch.setattr(nats_server, "nats_config", with_nats_own_default)
    report = await run_plan(one_late_cut, tmp_path / "run", power=power)
    assert (Kind.LOST_JOB, False) in kinds_of(report), str(report)


async def test_originals_that_are_not_flushed_are_found(
    power: Mains, one_late_cut: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stack.SETTINGS, "S3_FLUSH_PATH", "/dev/shm")  # another file system than the store's
    report = await run_plan(one_late_cut, tmp_path / "run", power=power)
    assert (Kind.UNDELIVERED, True) in kinds_of(report), str(report)
    assert Kind.LOST_JOB not in {kind for kind, _ in kinds_of(report)}, str(report)


def test_what_the_stack_writes_for_itself_is_synced(power: Mains, tmp_path: Path) -> None:
    kept, lost = (tmp_path / "run" / stack.STACK / name for name in ("kept.json", "lost.json"))
    write_private(lost, "not worth a flush", durable=False)
    write_private(kept, "a customer's key")
    again = kept.with_name("again.json")
    write_private(again, "old")
    write_private(again, "new, not synced", durable=False)
    power.fail([SYSTEM])
    assert kept.read_text() == "a customer's key"
    assert again.read_text() in ("old", "new, not synced"), "a part"
    assert not lost.exists() or not lost.read_text(), "nothing was lost: this power cut proves nothing"
