"""Writes the settings tables of the service cards from the settings models: `python .ci/settings_tables.py [--check]`.

A card says where: `<!-- settings: module.Class -->` … `<!-- end of settings -->`.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from kerf_core.settings import ServiceSettings, describe

_PLACE = re.compile(r"(<!-- settings: ([\w.]+) -->\n).*?(<!-- end of settings -->)", re.DOTALL)
_LONGEST_DEFAULT = 40


def table(model: type[ServiceSettings]) -> str:
    """The settings that the model adds to, or changes from, the shared ones; all of them for the shared model."""
    prefix = str(model.model_config.get("env_prefix", ""))
    shared = set() if model is ServiceSettings else set(describe_short(ServiceSettings))
    rows = [row for row in describe_short(model) if row not in shared]
    lines = ["| name | default | meaning |", "|---|---|---|"]
    lines += [f"| {name.removeprefix(prefix)} | {default} | {meaning} |" for name, default, meaning in rows]
    return "\n".join(lines) + "\n"


def describe_short(model: type[ServiceSettings]) -> list[tuple[str, str, str]]:
    """(name without prefix, default, meaning); what is longer than a cell, or a path, is left to `--help`."""
    prefix = str(model.model_config.get("env_prefix", ""))
    rows = []
    for name, default, meaning in describe(model):
        shown = default if len(default) <= _LONGEST_DEFAULT and "/src/" not in default else "see --help"
        rows.append((name.removeprefix(prefix), shown, meaning.replace("|", "\\|")))
    return rows


def rewritten(card: str) -> str:
    """The card with today's tables."""

    def replace(place: re.Match[str]) -> str:
        module, _, name = place[2].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        return place[1] + table(model) + place[3]

    return _PLACE.sub(replace, card)


def main(root: Path, *, check: bool) -> int:
    """Rewrite all cards, or only say which ones are stale; returns the exit status."""
    stale = []
    for path in sorted([*root.glob("services/*/README.md"), *root.glob("libs/*/README.md")]):
        card = path.read_text(encoding="utf-8")
        today = rewritten(card)
        if today != card:
            stale.append(path.relative_to(root))
            if not check:
                path.write_text(today, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'its settings table is stale: run python .ci/settings_tables.py' if check else 'rewritten'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(__file__).resolve().parent.parent, check="--check" in sys.argv[1:]))
