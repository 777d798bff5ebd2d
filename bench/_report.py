"""What every bench answers with: one JSON object, or a table for people."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_TARGET = re.compile(r"^(<=|>=) (-?\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class Result:
    """One figure. `value` and `peer_value` are None where they were not measured; then `why` says why."""

    name: str
    value: float | None
    unit: str
    lower_is_better: bool
    peer: str = ""
    peer_value: float | None = None
    target: str = ""
    """`<= 3.5` or `>= 100`, speaks of `value`; empty if the figure is only shown."""
    why: str = ""

    def __post_init__(self) -> None:
        if self.target and not _TARGET.match(self.target):
            raise ValueError(f"{self.name}: a target reads '<= 1.5' or '>= 20', not {self.target!r}")
        if self.met is None and not self.why:
            raise ValueError(f"{self.name}: without a verdict it must say why")

    @property
    def ratio(self) -> float | None:
        """`value / peer_value`."""
        if self.value is None or not self.peer_value:
            return None
        return self.value / self.peer_value

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none, or no value."""
        match = _TARGET.match(self.target)
        if match is None or self.value is None:
            return None
        limit = float(match[2])
        return self.value <= limit if match[1] == "<=" else self.value >= limit

    def as_json(self) -> dict[str, Any]:
        """As the house's JSON shape has it."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "lower_is_better": self.lower_is_better,
            "peer": self.peer or None,
            "peer_value": _rounded(self.peer_value),
            "ratio": _rounded(self.ratio),
            "target": self.target or None,
            "met": self.met,
            "why": self.why or None,
        }


def target_against(peer_value: float | None, factor: float, *, lower_is_better: bool) -> str:
    """A target that is a multiple of the peer's figure in the same run; empty if the peer was not measured."""
    if peer_value is None:
        return ""
    return f"{'<=' if lower_is_better else '>='} {factor * peer_value:.3f}"


def machine_facts(versions: Mapping[str, str]) -> dict[str, Any]:
    """What the figures depend on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "gpu": _gpu_model(),
        "python": platform.python_version(),
        "versions": dict(versions),
        "load_average_1m": round(os.getloadavg()[0], 2),
    }


def report(bench: str, machine: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """The JSON object."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"bench": bench, "date": date, "machine": machine, "results": [result.as_json() for result in results]}


def table(results: Sequence[Result]) -> str:
    """The same for people. Peers and remarks stand below, under the marks that the rows carry."""
    header = ["", "kerf", "peer", "ratio", "target", "", ""]
    notes: dict[str, str] = {}
    rows = [header]
    for result in results:
        texts = (f"peer: {result.peer}" if result.peer else "", result.why)
        marks = [notes.setdefault(text, f"[{len(notes) + 1}]") for text in texts if text]
        rows.append([result.name, *_cells(result), " ".join(marks)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        name, *figures, marks_cell = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([name.strip().ljust(widths[0]), *figures, marks_cell.strip()]).rstrip())
    return "\n".join([*lines, "", *(f"{mark} {text}" for text, mark in notes.items())])


def arguments(bench: str, description: str) -> argparse.ArgumentParser:
    """The options that every bench has."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{bench}", description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="a shorter run, for a first look: its figures scatter more"
    )
    parser.add_argument("--keep", action="store_true", help=f"write the result to bench/results/{bench}.json too")
    return parser


def show(options: argparse.Namespace, bench: str, machine: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Print as the options say, and keep the result if they say so."""
    content = json.dumps(report(bench, machine, results), indent=2) + "\n"
    if options.keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{bench}.json").write_text(content, encoding="utf-8")
    print(content if options.json else table(results), end="" if options.json else "\n", flush=True)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _cells(result: Result) -> list[str]:
    def number(value: float | None, unit: str = "") -> str:
        return "–" if value is None else f"{value:,.4g} {unit}".rstrip()

    verdict = {True: "met", False: "MISSED", None: ""}[result.met]
    kerf, peer = number(result.value, result.unit), number(result.peer_value, result.unit)
    return [kerf, peer, number(result.ratio), result.target, verdict]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gpu_model() -> str | None:
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None
