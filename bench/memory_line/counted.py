"""Runs a service as it is, and tells which tasks it has when it is asked: `python -m bench.memory_line.counted`.

Arguments: the service's module, and the file that the answer to SIGUSR1 goes to. With PYTHONTRACEMALLOC set, what holds
the memory goes to the same name with `.snapshot`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import runpy
import signal
import sys
import tracemalloc
from collections import Counter
from pathlib import Path


def _tell(report: Path) -> None:
    gc.collect()
    if tracemalloc.is_tracing():
        tracemalloc.take_snapshot().dump(str(report.with_suffix(".snapshot")))
    names = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    begun = report.with_suffix(".begun")
    begun.write_text(json.dumps(names), encoding="utf-8")
    begun.rename(report)  # whoever waits for the file finds it whole


def main() -> None:
    """Become the service."""
    module, report = sys.argv[1], Path(sys.argv[2])
    # It runs in the main thread, between two steps of the event loop's program: the loop's tasks are all there.
    signal.signal(signal.SIGUSR1, lambda *_: _tell(report))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
