"""The kernels' cache: read where nothing can be written, for a class of processors; no damage to it stops a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kerf_optimizer.domain.kernel_cache import PORTABLE_CPU

MODULE = """
from kerf_optimizer.domain.compiled import compiled

@compiled("int64(int64)")
def next_one(number):
    return number + 1

@compiled()
def after_next(number):
    return next_one(number) + 1
"""
PROBE = """
import json, sys
{before}
from numba.core import event
listener = event.RecordingListener()
event.register("numba:compile", listener)
import alone
answers = [alone.next_one(41), alone.after_next(41)]
compiled = [happened.data["dispatcher"].py_func.__name__ for _, happened in listener.buffer if happened.is_start]
print(json.dumps([answers, sorted(compiled)]))
"""
READ_ONLY = "from bench.optimizer_rows.sealed import refuse_writes; refuse_writes()"
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
ROOT = Path(__file__).resolve().parents[3]
BOTH = ["after_next", "next_one"]


@dataclass(frozen=True)
class Installed:
    """A module with two kernels in a folder, and a home, which may be a file: then nothing can be kept in it."""

    folder: Path
    home: Path

    @property
    def cache(self) -> Path:
        return self.folder / "__pycache__"

    def compiles(self, before: str = "", **environment: str) -> list[str]:
        """What a new process compiles; the kernels' answers must be right."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA", "PYTHON"))}
        places = {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home), "PYTHONPATH": f"{self.folder}:{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-B", "-c", PROBE.format(before=before)],
            env={**inherited, **places, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers, compiled = json.loads(done.stdout)
        assert answers == [42, 43]
        return list(compiled)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    folder, home = tmp_path / "package", tmp_path / "home"
    folder.mkdir()
    (folder / "alone.py").write_text(MODULE, encoding="utf-8")
    home.write_text("", encoding="utf-8")
    return Installed(folder, home)


def test_a_read_only_cache_is_read(installed: Installed) -> None:
    assert installed.compiles() == BOTH
    assert installed.compiles(READ_ONLY) == []
    for file in installed.cache.glob("*.nbi"):
        file.unlink()
    assert installed.compiles(READ_ONLY) == BOTH  # and the probe sees it
    assert list(installed.cache.glob("*.nbi")) == []


def test_a_read_only_folder_of_the_operators_choice_is_read(installed: Installed, tmp_path: Path) -> None:
    chosen = str(tmp_path / "chosen")
    assert installed.compiles(NUMBA_CACHE_DIR=chosen) == BOTH
    assert installed.compiles(READ_ONLY, NUMBA_CACHE_DIR=chosen) == []
    assert not installed.cache.exists()


def test_what_was_compiled_for_another_processor_is_compiled_again(installed: Installed) -> None:
    old = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    assert installed.compiles(**old) == BOTH
    assert installed.compiles(READ_ONLY) == BOTH
    assert installed.compiles() == BOTH
    assert installed.compiles() == installed.compiles(**old) == []


def test_kernels_are_compiled_where_no_folder_can_be_written(installed: Installed) -> None:
    installed.cache.write_text("", encoding="utf-8")  # a name that is taken stops even root
    assert installed.compiles() == BOTH


def test_a_full_disk_stops_no_kernel(installed: Installed) -> None:
    assert installed.compiles(FULL_DISK) == BOTH
    assert [file.name for file in installed.cache.iterdir() if ".tmp." in file.name] == []


def test_a_damaged_cache_is_written_anew(installed: Installed) -> None:
    installed.compiles()
    for file in [*installed.cache.glob("*next_one*.nbi"), *installed.cache.glob("*after_next*.nbc")]:
        file.write_bytes(file.read_bytes()[:40])
    assert installed.compiles(READ_ONLY) == BOTH
    assert installed.compiles() == BOTH
    assert installed.compiles() == []


def test_the_class_of_processors_is_taken_where_this_one_belongs_to_it() -> None:
    said = "from kerf_optimizer.domain.kernel_cache import choose_processor; print(choose_processor())"

    def chosen(**environment: str) -> str:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
        command = [sys.executable, "-c", said]
        return subprocess.run(
            command, env={**inherited, **environment}, capture_output=True, text=True, check=True
        ).stdout.strip()

    flags = Path("/proc/cpuinfo").read_text(encoding="ascii").split()
    assert chosen() == (PORTABLE_CPU if {"avx2", "bmi2", "fma", "movbe"} <= set(flags) else "")
    assert chosen(NUMBA_ENABLE_AVX="0") == ""
    assert chosen(NUMBA_CPU_NAME="x86-64") == "x86-64"
