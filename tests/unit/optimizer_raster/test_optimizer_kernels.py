"""Kernels: the same answers as the Python they are written in."""

from __future__ import annotations

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
