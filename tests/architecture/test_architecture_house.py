"""The repository keeps the rules of the house."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from checkout import ROOT, Checkout
from house_rules import RULES, Rule, only_declared_imports

HERE = Checkout(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps(rule: Rule) -> None:
    violations = list(rule(HERE))
    assert not violations, "\n".join([rule.__doc__ or "", *violations])


def test_every_import_is_declared() -> None:
    providers = {module: list(names) for module, names in packages_distributions().items()}
    violations = list(only_declared_imports(HERE, providers))
    assert not violations, "\n".join(violations)


def test_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_gates_know_every_package() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = HERE.packages()
    sources = {f"{package.folder.relative_to(ROOT).as_posix()}/src" for package in packages}
    assert sources <= set(config["mypy"]["mypy_path"])
    modules = {module for package in packages for module in package.modules}
    assert modules == set(config["importlinter"]["root_packages"])
    services = {package.modules[0] for package in packages if package.folder.parent.name == "services"}
    contracts = {contract["id"]: contract for contract in config["importlinter"]["contracts"]}
    assert services == set(contracts["service"]["containers"])
    assert services == set(re.split(r"\s*[|]\s*", contracts["layers"]["layers"][0]))
    with_domain = {f"{name}.domain" for name in services if any(HERE.root.glob(f"services/*/src/{name}/domain*"))}
    assert with_domain == set(contracts["domain"]["source_modules"])


def test_every_package_says_python_and_licence() -> None:
    for package in HERE.packages():
        assert package.config["project"]["license"] == "Apache-2.0", package.distribution
        assert package.config["project"]["requires-python"] == ">=3.11,<3.14", package.distribution
        assert all((package.folder / "src" / module / "py.typed").exists() for module in package.modules)
