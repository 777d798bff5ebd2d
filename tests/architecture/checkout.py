"""The sources of a checkout as the rules of the house see them."""

from __future__ import annotations

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("libs", "services", "models", "bench")
EVERYTHING = (*PRODUCT, "tests", ".ci")
GENERATED = ("libs/kerf_proto/src",)


@dataclass(frozen=True)
class Source:
    """One Python file; `name` is its path from the root of the checkout, with slashes."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Every comment with its line number, `#` included. Text inside strings is none."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Every module that is imported from outside the file's package, with its line number."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.append((node.lineno, node.module))
        return found


@dataclass(frozen=True)
class Package:
    """One folder of libs/ or services/ with a pyproject.toml."""

    folder: Path
    config: dict[str, Any]

    @property
    def distribution(self) -> str:
        """Its name in the registry, `kerf-core`."""
        return str(self.config["project"]["name"])

    @property
    def modules(self) -> list[str]:
        """What it makes importable, `["kerf_core"]`."""
        return [Path(path).name for path in self.config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]

    @property
    def requirements(self) -> list[str]:
        """Every requirement as written, those of extras and of the build included."""
        project = self.config["project"]
        extras = [name for names in project.get("optional-dependencies", {}).values() for name in names]
        return [*project.get("dependencies", []), *extras, *self.config["build-system"]["requires"]]


@dataclass(frozen=True)
class Checkout:
    """A tree of folders laid out like this repository."""

    root: Path

    def sources(self, folders: tuple[str, ...] = PRODUCT) -> Iterator[Source]:
        """The Python files below some of its folders that people wrote."""
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*.py")):
                name = path.relative_to(self.root).as_posix()
                if not name.startswith(GENERATED) and "node_modules" not in path.parts:
                    yield Source(name, path.read_text(encoding="utf-8"))

    def packages(self) -> list[Package]:
        """All of its packages, libraries first."""
        files = [
            file for folder in ("libs", "services") for file in sorted(self.root.glob(f"{folder}/*/pyproject.toml"))
        ]
        return [Package(file.parent, tomllib.loads(file.read_text(encoding="utf-8"))) for file in files]
