"""Where compiled kernels are kept, so that a service that starts reads what was compiled when it was installed.

numba passes over a folder that it cannot write, and an image is read-only where it runs; and it compiles for the very
processor that it runs on, while an image is built on another one. So a folder is read whether it can be written or not,
and kernels are compiled for a class of processors instead (`choose_processor`). What fits no entry is compiled, and
kept where something can be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

LOG = logging.getLogger(__name__)

PORTABLE_CPU = "x86-64-v3"
_V3_FEATURES = frozenset(
    {"avx", "avx2", "bmi", "bmi2", "cx16", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sse4.2", "ssse3", "xsave"}
)
"""What the x86-64 psABI (2020) asks of the class, as LLVM names it; the rest of it comes with these."""


def choose_processor() -> str:
    """Compile for a class of processors if this one belongs to it: servers and PCs since 2013 to 2017 do.

    Returns what kernels are compiled for, "" = this very processor. NUMBA_CPU_NAME, if set, is left as it is. To be
    called before the first kernel is compiled.
    """
    config: Any = import_module("numba.core.config")
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        told = str(import_module("numba.core.codegen").get_host_cpu_features())
        if {f"+{name}" for name in _V3_FEATURES} <= set(told.split(",")):
            config.CPU_NAME, config.CPU_FEATURES = PORTABLE_CPU, ""
    return config.CPU_NAME or ""


class KernelCache:
    """The machine code of one function in files; numba's dispatcher loads from it and saves to it.

    Nothing that happens to the files stops a kernel from being compiled and run.
    """

    def __init__(self, python: Callable[..., Any]) -> None:
        caching: Any = import_module("numba.core.caching")
        self._name = python.__name__
        self._readable = _made(_readable_type(caching), python)
        self._own = _made(caching.FunctionCache, python)

    def load_overload(self, signature: Any, target: Any) -> Any:  # numba's own type, without annotations
        """The compiled function for a signature; None = it must be compiled."""
        for cache in (self._readable, self._own):
            try:
                found = None if cache is None else cache.load_overload(signature, target)
            except Exception as error:  # noqa: BLE001 - a damaged file can fail in any way that unpickling can
                LOG.warning("kernel cache is damaged", extra={"kernel": self._name, "why": repr(error)})
                self._forget(cache)
                continue
            if found is not None:
                return found
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep a compiled function, if there is a place."""
        if self._own is None:
            LOG.info("kernel was compiled and is not kept: no folder can be written", extra={"kernel": self._name})
            return
        try:
            self._own.save_overload(signature, compiled)
        except OSError as error:
            LOG.warning("kernel was compiled and is not kept", extra={"kernel": self._name, "why": str(error)})

    def _forget(self, cache: Any) -> None:
        """Empty what is damaged, so that it is written anew."""
        try:
            cache.flush()
        except OSError as error:
            LOG.info("damaged kernel cache stays as it is", extra={"kernel": self._name, "why": str(error)})


def _made(kind: Any, python: Callable[..., Any]) -> Any:
    """A cache of numba's; None where it finds no folder."""
    try:
        return kind(python)
    except RuntimeError:  # "no locator available": there is no folder that can be written
        return None


def _readable_type(caching: Any) -> Any:
    """numba's cache in NUMBA_CACHE_DIR or beside the source, without its question whether it can be written."""
    locators = [
        type(f"Readable{base.__name__}", (base,), {"ensure_cache_path": lambda self: None})
        for base in (caching.UserProvidedCacheLocator, caching.InTreeCacheLocator)
    ]
    files = type("ReadableCacheImpl", (caching.CompileResultCacheImpl,), {"_locator_classes": locators})
    return type("ReadableCache", (caching.FunctionCache,), {"_impl_class": files})
