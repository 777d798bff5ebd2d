"""Writes the README's performance table from the kept results: `python .ci/performance_table.py [--check]`.

Every row that has a target is shown, met or missed; of a bench with many, those that it missed, and how many it met.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_MANY = 12
_PLACE = re.compile(r"(<!-- performance -->\n).*?(<!-- end of performance -->)", re.DOTALL)


def table(results: list[dict[str, Any]]) -> str:
    """The rows with a target of all kept results, and where and when they were measured."""
    lines = []
    for result in results:
        machine = result["machine"]
        cpu = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB"
        lines += [
            f"`{result['bench']}`, {result['date'][:10]}, {cpu}, GPU: {machine['gpu'] or 'none'}",
            "",
            "| figure | kerf | peer | ratio | target | |",
            "|---|---|---|---|---|---|",
        ]
        lines += [*_rows([row for row in result["results"] if row["target"]]), ""]
    return "\n".join(lines[:-1]) + "\n"


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    if len(rows) <= _MANY:
        return [_row(row) for row in rows]
    missed = [_row(row) for row in rows if not row["met"]]
    return [*missed, f"| {len(rows) - len(missed)} others of {len(rows)} | | | | | met |"]


def _row(row: dict[str, Any]) -> str:
    verdict = {True: "met", False: "**missed**", None: "not run"}[row["met"]]
    numbers = (_number(row["value"]), _number(row["peer_value"]), _number(row["ratio"]))
    return f"| {row['name']} | {numbers[0]} {row['unit']} | {numbers[1]} | {numbers[2]} | {row['target']} | {verdict} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def rewritten(readme: str, results: list[dict[str, Any]]) -> str:
    """The README with today's table."""
    return _PLACE.sub(lambda place: place[1] + table(results) + place[2], readme)


def main(root: Path, *, check: bool) -> int:
    """Rewrite the README, or only say that it is stale; returns the exit status."""
    kept = sorted((root / "bench" / "results").glob("*.json"))
    results = [json.loads(path.read_text(encoding="utf-8")) for path in kept]
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    today = rewritten(text, results)
    if today == text:
        return 0
    if check:
        print("README.md: its performance table is stale: run python .ci/performance_table.py")
        return 1
    readme.write_text(today, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(__file__).resolve().parent.parent, check="--check" in sys.argv[1:]))
