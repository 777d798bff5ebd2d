"""Kernels: the same answers as the Python they are written in, compiled where no cache can be written too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import Kernel, compile_all, compiled


@compiled("int64(int64)")
def doubled(number: int) -> int:
    """Twice."""
    return number * 2


@compiled("int64(Array(uint8, 1, 'C', readonly=True))")
def sum_of_doubles(numbers: NDArray[np.uint8]) -> int:
    total = 0
    for number in numbers:
        total += doubled(number)
    return total


@compiled()
def larger(one: float, other: float) -> float:
    return one if one > other else other


def test_kernels_call_kernels_and_keep_their_docstring() -> None:
    numbers = np.arange(200, dtype=np.uint8)
    numbers.setflags(write=False)
    assert sum_of_doubles(numbers) == 2 * sum(range(200))
    assert doubled(21) == doubled.python(21) == 42
    assert doubled.__doc__ == "Twice."
    assert larger(2.5, 1.0) == 2.5
    assert isinstance(larger, Kernel)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError):
        sum_of_doubles(np.arange(3.0))  # type: ignore[arg-type]  # this is what is refused


def test_everything_can_be_compiled_ahead() -> None:
    assert compile_all() >= 0
    assert compile_all() < 0.1  # nothing is left to do


def test_a_kernel_is_compiled_without_a_place_for_a_cache(tmp_path: Path) -> None:
    module = tmp_path / "sealed"
    module.mkdir()
    (module / "alone.py").write_text(
        "from kerf_optimizer.domain.compiled import compiled\n\n"
        '@compiled("int64(int64)")\n'
        "def next_one(number):\n"
        "    return number + 1\n",
        encoding="utf-8",
    )
    # Neither the module's folder nor the home's can hold a file: names that are taken, which stops even root.
    (module / "__pycache__").write_text("", encoding="utf-8")
    home = tmp_path / "home"
    home.write_text("", encoding="utf-8")
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": str(module)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-B", "-c", "import alone; print(alone.next_one(41))"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "42"), done.stderr
