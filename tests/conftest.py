"""What every test shares: which of them can run on this machine, and a line that names those that did not."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# A landing must not depend on luck: there, properties are tried on the same examples each time. Everybody else's runs
# draw new ones, and so find what those examples miss.
settings.register_profile("landing", derandomize=True)

# Suites that several folders import: without this their assertions would fail without telling the values.
pytest.register_assert_rewrite("protocol_suite", "batch_suite")

if (Path(__file__).parent / "fixtures_stack.py").exists():
    pytest_plugins = ["fixtures_stack"]

HOW = {
    "chaos": "make test-chaos",
    "gpu": "make test-gpu, on a machine with an NVIDIA GPU",
    "install": "make test-install",
    "root": "make test-chaos, as root",
}
"""Mark -> what runs the tests that bear it."""
left_out = pytest.StashKey[Counter[str]]()


def missing_here() -> set[str]:
    """Marks whose tests cannot run on this machine. Asks the driver's device file, so that no test imports torch."""
    missing = set()
    if not Path("/dev/nvidia0").exists():
        missing.add("gpu")
    if os.geteuid() != 0:
        missing.add("root")
    return missing


def pytest_configure(config: pytest.Config) -> None:
    config.stash[left_out] = Counter()
    # A shell that starts a test run in the background ignores Ctrl-C for it, and for every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = missing_here()
    impossible = [item for item in items if any(mark.name in missing for mark in item.iter_markers())]
    if impossible:
        config.hook.pytest_deselected(items=impossible)
        items[:] = [item for item in items if item not in set(impossible)]


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        marks = sorted({mark.name for mark in item.iter_markers()} & HOW.keys())
        if marks:
            item.config.stash[left_out]["+".join(marks)] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for marks, number in sorted(config.stash[left_out].items()):
        ways = "; ".join(HOW[mark] for mark in marks.split("+"))
        terminalreporter.write_line(f"did not run: {number} marked {marks} ({ways})")
