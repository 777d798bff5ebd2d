"""Host figures: the kernel's through psutil, and the limits of the container (cgroup v2)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from kerf_monitor.domain.snapshot import HostFigures, Reading, measured, unknown

_UNLIMITED = "max"
_LEAST_SECONDS = 0.05


class Cgroup:
    """The cgroup v2 that this process runs in, and its parents: the tightest limit counts."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> None:
        self._folders = _folders(root, membership)

    def memory_limit_bytes(self) -> tuple[int, Path] | None:
        """The limit, and the folder of the group that has it; None = unlimited, or no cgroup v2."""
        limits = [
            (int(text), folder)
            for folder in self._folders
            if (text := _text(folder / "memory.max")) not in ("", _UNLIMITED)
        ]
        return min(limits, key=lambda each: each[0]) if limits else None

    def cpu_limit(self) -> tuple[float, Path] | None:
        """CPUs' worth of time, and the folder of the group; None = unlimited, or no cgroup v2."""
        limits = []
        for folder in self._folders:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
            if quota not in ("", _UNLIMITED) and int(period or 0) > 0:
                limits.append((int(quota) / int(period), folder))
        return min(limits, key=lambda each: each[0]) if limits else None

    @staticmethod
    def memory_used_bytes(folder: Path) -> int:
        """What the group holds, without cache that the kernel would drop. Raises OSError, ValueError."""
        current = int((folder / "memory.current").read_text(encoding="ascii"))
        return max(0, current - _field(folder / "memory.stat", "inactive_file"))

    @staticmethod
    def cpu_seconds(folder: Path) -> float:
        """CPU time that the group has used. Raises OSError, ValueError."""
        return _field(folder / "cpu.stat", "usage_usec") / 1e6


class HostReader:
    """Reads the host. One read at a time."""

    def __init__(self, disk: Path, *, cgroup: Cgroup | None) -> None:
        """`cgroup`: whose limits hold; None = figures of the whole host."""
        self._disk = disk
        self._cgroup = cgroup
        self._last_cpu: tuple[float, float] | None = None
        self._last_group: Path | None = None

    def read(self) -> HostFigures:
        """See HostProbe. The first CPU utilization is unknown: it is a difference of two readings."""
        memory_total, memory_used = _pair(self._memory, "memory")
        disk_total, disk_used = _pair(self._disk_space, f"the file system of {self._disk}")
        return HostFigures(
            cpu_utilization=_single(self._cpu_utilization, "CPU time"),
            cpu_count=_single(self._cpu_count, "CPUs"),
            memory_total_bytes=memory_total,
            memory_used_bytes=memory_used,
            disk_total_bytes=disk_total,
            disk_used_bytes=disk_used,
            load_1m=_single(lambda: measured(os.getloadavg()[0]), "the load"),
        )

    def _cpu_count(self) -> Reading:
        usable = len(os.sched_getaffinity(0))
        limit = self._cgroup.cpu_limit() if self._cgroup else None
        return measured(min(usable, limit[0]) if limit else usable)

    def _cpu_utilization(self) -> Reading:
        limit = self._cgroup.cpu_limit() if self._cgroup else None
        group = limit[1] if limit else None
        if limit:
            now = (Cgroup.cpu_seconds(limit[1]), time.monotonic() * limit[0])
        else:
            now = _busy_and_all()
        before, same = self._last_cpu, group == self._last_group
        if before is not None and same and now[1] - before[1] < _LEAST_SECONDS:
            return unknown("it is a difference of two readings, and the last one was too short ago")
        self._last_cpu, self._last_group = now, group
        if before is None or not same:
            return unknown("it is a difference of two readings, and there is only one yet")
        return measured(min(1.0, max(0.0, (now[0] - before[0]) / (now[1] - before[1]))))

    def _memory(self) -> tuple[float, float]:
        memory = psutil.virtual_memory()
        limit = self._cgroup.memory_limit_bytes() if self._cgroup else None
        if limit and limit[0] < memory.total:
            return limit[0], Cgroup.memory_used_bytes(limit[1])
        return memory.total, memory.total - memory.available

    def _disk_space(self) -> tuple[float, float]:
        usage = psutil.disk_usage(str(self._disk))
        # What is kept for root counts as used: without it, a disk that is full for us would never look full.
        return usage.total, usage.total - usage.free


def _busy_and_all() -> tuple[float, float]:
    """CPU seconds of work, and in all, since the host started."""
    times = psutil.cpu_times()
    # `user` and `nice` hold `guest` and `guest_nice` already.
    idle = times.idle + getattr(times, "iowait", 0.0)
    busy = times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq", "steal"))
    return busy, busy + idle


def _single(read: Callable[[], Reading], what: str) -> Reading:
    try:
        return read()
    except (OSError, ValueError, psutil.Error) as error:
        return unknown(f"{what} could not be read: {error}")


def _pair(read: Callable[[], tuple[float, float]], what: str) -> tuple[Reading, Reading]:
    try:
        total, used = read()
    except (OSError, ValueError, psutil.Error) as error:
        reading = unknown(f"{what} could not be read: {error}")
        return reading, reading
    return measured(total), measured(used)


def _folders(root: Path, membership: Path) -> list[Path]:
    """The group's folder and its parents below `root`; in a container the root is the group itself."""
    if not (root / "cgroup.controllers").exists():
        return []  # cgroup v1, whose limits are not read
    own = next((line[3:] for line in _text(membership).splitlines() if line.startswith("0::/")), "/")
    parts = [part for part in own.split("/") if part not in ("", "..")]
    folders = [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [folder for folder in folders if folder.is_dir()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _field(path: Path, name: str) -> int:
    for line in path.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{path} has no line {name}")
