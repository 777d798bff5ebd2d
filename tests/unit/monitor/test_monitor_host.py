"""Host figures: the real ones, and the limits of a container."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kerf_monitor.adapters.host import Cgroup, HostReader
from kerf_monitor.domain.snapshot import Availability, HostFigures, readings_of

SPIN_SECONDS = 5.0


def make_group(root: Path, own: str = "/", **files: str) -> Cgroup:
    """A cgroup v2 tree with one group, and a process in it."""
    folder = root / "cgroup" / own.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (root / "cgroup" / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    (root / "membership").write_text(f"0::{own}\n")
    return Cgroup(root / "cgroup", root / "membership")


def read_until(reader: HostReader, good: Callable[[HostFigures], bool]) -> HostFigures:
    """Read until it is good; computing meanwhile, so that CPU time passes."""
    deadline = psutil.Process().cpu_times().user + SPIN_SECONDS
    while True:
        figures = reader.read()
        if good(figures):
            return figures
        assert psutil.Process().cpu_times().user < deadline
        sum(range(100_000))


def test_the_real_host_is_read_and_the_first_cpu_utilization_is_unknown() -> None:
    reader = HostReader(Path("/"), cgroup=None)
    first = reader.read()
    assert first.cpu_utilization.availability is Availability.UNKNOWN
    assert "two readings" in first.cpu_utilization.reason
    others = {name: each for name, each in readings_of(first).items() if name != "cpu_utilization"}
    assert all(each.measured for each in others.values()), others
    assert first.cpu_count.value == len(os.sched_getaffinity(0))
    assert 0 < first.memory_used_bytes.value < first.memory_total_bytes.value
    assert 0 < first.disk_used_bytes.value <= first.disk_total_bytes.value
    second = read_until(reader, lambda figures: figures.cpu_utilization.measured)
    assert 0 < second.cpu_utilization.value <= 1


def test_a_disk_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    figures = HostReader(tmp_path / "gone", cgroup=None).read()
    assert figures.disk_total_bytes.availability is Availability.UNKNOWN
    assert "gone" in figures.disk_used_bytes.reason
    assert figures.memory_total_bytes.measured


def test_limits_of_a_container_hold(tmp_path: Path) -> None:
    group = make_group(
        tmp_path,
        memory_max=str(64 << 20),
        memory_current=str(30 << 20),
        memory_stat=f"anon 1\ninactive_file {10 << 20}\n",
        cpu_max="50000 100000",
        cpu_stat="usage_usec 1000000\n",
    )
    reader = HostReader(tmp_path, cgroup=group)
    figures = reader.read()
    assert figures.memory_total_bytes.value == 64 << 20
    assert figures.memory_used_bytes.value == 20 << 20
    assert figures.cpu_count.value == 0.5
    (tmp_path / "cgroup" / "cpu.stat").write_text("usage_usec 1000000\n")
    idle = read_until(reader, lambda figures: figures.cpu_utilization.measured)
    assert idle.cpu_utilization.value == 0
    (tmp_path / "cgroup" / "cpu.stat").write_text("usage_usec 99000000\n")
    assert read_until(reader, lambda figures: figures.cpu_utilization.measured).cpu_utilization.value == 1


def test_the_tightest_limit_of_the_groups_above_counts(tmp_path: Path) -> None:
    make_group(tmp_path, "/pod", memory_max=str(8 << 20), memory_current="5000", memory_stat="inactive_file 0\n")
    group = make_group(tmp_path, "/pod/box", memory_max="max", cpu_max="max 100000")
    assert group.memory_limit_bytes() == (8 << 20, tmp_path / "cgroup" / "pod")
    assert group.cpu_limit() is None
    assert HostReader(tmp_path, cgroup=group).read().memory_used_bytes.value == 5000


def test_no_limit_and_no_cgroup_v2_mean_the_whole_host(tmp_path: Path) -> None:
    for group in (make_group(tmp_path, memory_max="max", cpu_max="max 100000"), Cgroup(tmp_path / "none", tmp_path)):
        figures = HostReader(tmp_path, cgroup=group).read()
        assert figures.memory_total_bytes.value == psutil.virtual_memory().total
        assert figures.cpu_count.value == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["", "nonsense", "inactive_fil 3"])
def test_a_group_that_cannot_be_read_makes_memory_unknown_not_zero(tmp_path: Path, text: str) -> None:
    group = make_group(tmp_path, memory_max="4096", memory_current="17", memory_stat=text)
    figures = HostReader(tmp_path, cgroup=group).read()
    assert figures.memory_used_bytes.availability is Availability.UNKNOWN
    assert "memory.stat" in figures.memory_used_bytes.reason
