"""Loops that run as machine code: written in Python, compiled by numba, in one place for the whole service.

A kernel is compiled at its first call, or before by `compile_all`, and kept in numba's cache: beside the source, or
where that cannot be written in the user's cache folder, or nowhere (`kernel_cache`). In any case it is the same code.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from kerf_optimizer.domain.kernel_cache import KernelCache, choose_processor

P = ParamSpec("P")
R = TypeVar("R")

_kernels: list[Kernel[Any, Any]] = []
_compiling = threading.RLock()


class Kernel(Generic[P, R]):
    """A function that is machine code from its first call on, and lets go of the interpreter's lock while it runs.

    `signature` is numba's, such as `"void(uint8[:, ::1], int64)"`: arguments of other types are cast where numba can,
    and refused with TypeError where it cannot. Without one it is compiled for the types of each first call. `python` is
    the function as it is written. A kernel may call kernels of its own module (the cache notices changes within one
    file only).
    """

    def __init__(self, python: Callable[P, R], signature: str) -> None:
        self.python = python
        self.__doc__ = python.__doc__
        self._signature = signature
        self._native: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it."""
        return (self._native or self.compile())(*args, **kwargs)

    def compile(self) -> Callable[P, R]:
        """The machine code; made, or read from the cache, if this is the first time."""
        with _compiling:
            if self._native is None:
                self._native = self._compiled()
            return self._native

    def _compiled(self) -> Callable[P, R]:
        # Imported late: it takes half a second that a command line or a test without kernels need not wait. By name:
        # numba has no annotations, and a type checker would read all of it to find that out.
        numba: Any = import_module("numba")
        choose_processor()
        python = self._with_native_callees()
        native = numba.njit(nogil=True)(python)
        # As `cache=True` does, which however gives up where nothing can be written, and knows no other cache.
        native._cache = KernelCache(python)
        if self._signature:
            native.compile(self._signature)
            native.disable_compile()
        return cast(Callable[P, R], native)

    def _with_native_callees(self) -> FunctionType:
        """The same function, with the kernels that it calls replaced by what numba knows: their compiled functions."""
        python = cast(FunctionType, self.python)
        names = [name for name in python.__code__.co_names if isinstance(python.__globals__.get(name), Kernel)]
        callees = {name: python.__globals__[name].compile() for name in names}
        twin = FunctionType(python.__code__, {**python.__globals__, **callees}, python.__name__, python.__defaults__)
        twin.__qualname__, twin.__module__ = python.__qualname__, python.__module__
        return twin


def compiled(signature: str = "") -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Make the function below a kernel."""

    def register(python: Callable[P, R]) -> Kernel[P, R]:
        kernel = Kernel(python, signature)
        _kernels.append(kernel)
        return kernel

    return register


def compile_all() -> float:
    """Compile the kernels with a signature of all modules that are imported; the seconds that it took.

    Blocks: it belongs into a thread at the start of a service.
    """
    began = time.monotonic()
    for kernel in _kernels:
        kernel.compile()
    return time.monotonic() - began
