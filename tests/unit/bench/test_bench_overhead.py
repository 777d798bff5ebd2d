"""`bench.overhead`: its arithmetic, its line protocol, kerf on a real stack. Celery runs only where its peers are."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from bench.no_work import celery_side
from bench.no_work.client_loop import WITH_REQUEST_ID, Load, Moments, Window
from bench.no_work.kerf_side import kerf_sides
from bench.no_work.rows import CELERY, CELERY_TRACKED, KERF, KERF_REQUEST_ID, LEVELS, WRITES, Measured, percentile, rows
from bench.no_work.sides import client_process
from bench.overhead import per_job
from bench.peers import setup


def measured(*, kerf_ms: float, celery_ms: float | None) -> Measured:
    found = Measured(peer="Celery", peer_missing="" if celery_ms else "no redis-server", fsync_ms=0.3)
    sides = {KERF: kerf_ms, KERF_REQUEST_ID: kerf_ms * 1.2}
    if celery_ms is not None:
        sides |= {CELERY: celery_ms, CELERY_TRACKED: celery_ms}
    for name, milliseconds in sides.items():
        for _ in range(2):
            some = [milliseconds / 1000] * 50
            found.add_latency(name, Moments(accepted=some, started=some, ended=some))
    for name in (*sides, WRITES):
        for clients in LEVELS:
            for jobs in (90, 100, 500):  # the median of the rounds counts
                load = Load(jobs=jobs, seconds=1.0, all_jobs=2 * jobs, all_seconds=1.0, client_cpu_seconds=0.9)
                found.add_load(name, clients, load, {"gateway": jobs / 1000})
    found.writes_per_job = dict.fromkeys(sides, 4.0)
    return found


def test_a_latency_of_twice_the_peers_is_met_and_more_is_not() -> None:
    just = {row.name: row for row in rows(measured(kerf_ms=2.0, celery_ms=1.0))}
    over = {row.name: row for row in rows(measured(kerf_ms=2.1, celery_ms=1.0))}
    for percent in (50, 99):
        name = f"create → terminal, p{percent}"
        assert just[name].met is True
        assert over[name].met is False
        assert over[name].ratio == pytest.approx(2.1)


def test_throughput_is_the_median_of_the_rounds() -> None:
    by_name = {row.name: row for row in rows(measured(kerf_ms=1, celery_ms=1))}
    for name, target in (("1 client", ">= 50.000"), ("8 clients", ">= 50.000"), ("64 clients", ">= 100.000")):
        assert by_name[name].value == 100
        assert by_name[name].target == target
        assert by_name[name].met is True
    assert by_name["64 clients, beside the protocol's own writes"].ratio == 1


def test_the_client_is_named_where_it_is_the_bottleneck() -> None:
    by_name = {row.name: row for row in rows(measured(kerf_ms=1, celery_ms=1))}
    assert "the client process is the bottleneck of kerf, celery" in by_name["CPU time per job at 64 clients"].why
    assert by_name["CPU time per job at 1 client"].value == pytest.approx((0.69 + 3 * 0.9) * 1000 / (2 * 690))


def test_without_the_peer_nothing_is_claimed_and_the_reason_is_given() -> None:
    found = rows(measured(kerf_ms=1, celery_ms=None))
    assert all(row.met is None for row in found)
    for row in found:
        assert row.peer_value is None or "own writes" in row.name
    assert "no redis-server" in next(row.why for row in found if row.name == "8 clients")


def test_jobs_count_between_the_warm_up_of_the_last_caller_and_the_end_of_the_window() -> None:
    window = Window(callers=2, seconds=0.05)
    for number in (1, 2, 3):
        window.ended(number)
    assert window.load()["jobs"] == 0  # the second caller is cold
    for number in (1, 2):
        window.ended(number)
    window.ended(4)
    while not window.over:  # real time passes: it is what is measured
        pass
    window.ended(5)
    load = window.load()
    assert load["all_jobs"] == 7
    assert load["jobs"] == 1
    assert load["all_seconds"] >= 0.05


def test_percentiles() -> None:
    assert percentile([], 50) is None
    assert percentile([1.0], 99) is None
    assert percentile([float(value) for value in range(101)], 50) == 50
    assert percentile([float(value) for value in range(101)], 99) == 99


async def test_kerfs_side_runs_real_jobs_counts_synced_writes_and_leaves_nothing(tmp_path: Path) -> None:
    async with kerf_sides(tmp_path / "kerf") as sides:
        pids = [pid for group in sides.kerf.processes().values() for pid in group]
        moments = await sides.kerf.driver.latency(5)
        for accepted, started, ended in zip(*(moments[key] for key in ("accepted", "started", "ended")), strict=True):
            assert 0 < accepted <= started <= ended
        load = await sides.kerf.driver.load(4, 0.3)
        assert load["jobs"] >= 4
        assert load["client_cpu_seconds"] > 0
        assert set(sides.kerf.cpu_seconds()) == {"gateway", "noop", "nats", "s3"}
        assert (await sides.writes.driver.load(4, 0.3))["jobs"] >= 4

        async def stored() -> int:
            return sum((await sides.stored_messages()).values())

        # Accepted, the dispatched stage, StageStarted, Succeeded; and the reservation of a request_id.
        assert await per_job(stored, sides.kerf) == pytest.approx(4, abs=0.1)
        assert await per_job(stored, sides.kerf, WITH_REQUEST_ID) == pytest.approx(5, abs=0.1)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not (tmp_path / "kerf").exists()


async def test_a_client_process_that_dies_is_reported_not_waited_for() -> None:
    async with client_process(sys.executable, "kerf_client", {"target": "127.0.0.1:1"}) as driver:  # no api_key
        with pytest.raises(RuntimeError, match="the client process ended"):
            await asyncio.wait_for(driver.latency(1), 20)


def test_what_celery_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "redis-server" in celery_side.missing()
    (tmp_path / "redis-server").touch(mode=0o755)
    monkeypatch.setattr(setup, "ENVIRONMENTS", tmp_path / "none")
    assert celery_side.missing() == "Celery is not installed: make bench-setup"


def test_the_peers_are_pinned_and_a_changed_pin_makes_their_environment_stale(tmp_path: Path) -> None:
    wanted = setup.requirements()[setup.CELERY]
    pins = [line for line in wanted.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert "celery==5.7.0" in pins
    assert all("==" in pin for pin in pins)
    empty = tmp_path / "nothing.txt"
    empty.write_text("# nothing\n", encoding="utf-8")
    environment = tmp_path / "environment"
    environment.mkdir()
    assert not setup.is_current(environment, setup.digest_of(environment, empty))
    setup.mark(environment, setup.digest_of(environment, empty))
    assert setup.is_current(environment, setup.digest_of(environment, empty))
    assert not setup.set_up(environment, empty)
    empty.write_text("# something else\n", encoding="utf-8")
    assert not setup.is_current(environment, setup.digest_of(environment, empty))
