"""A gate that never failed is no gate: every rule finds its planted offender, and lets an innocent neighbour pass."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import house_rules
from checkout import ROOT, Checkout
from house_rules import RULES, Rule

PYPROJECT = """
[project]
name = "kerf-optimizer"
dependencies = ["numpy"]
[build-system]
requires = ["hatchling"]
[tool.hatch.build.targets.wheel]
packages = ["src/kerf_optimizer"]
"""
PINS = "hatchling==1.0\nnumpy==2.0\n"
PACKAGE = "services/optimizer/src/kerf_optimizer"
UNFINISHED = "TO" + "DO"
SKIP = "@pytest.mark.skip"

OFFENDERS: list[tuple[Rule, str, str]] = [
    (house_rules.modules_are_short, f"{PACKAGE}/long.py", "x = 1\n" * 401),
    (house_rules.functions_fit_a_screen, f"{PACKAGE}/long.py", "def f():\n" + "    x = 1\n" * 60),
    (house_rules.names_say_the_role, f"{PACKAGE}/utils.py", "x = 1\n"),
    (house_rules.names_say_the_role, f"{PACKAGE}/common/words.py", "x = 1\n"),
    (house_rules.names_say_the_role, "bench/plot_helpers.py", "x = 1\n"),
    (house_rules.only_settings_read_the_environment, f"{PACKAGE}/servicer.py", "import os\nx = os.environ.get('A')\n"),
    (house_rules.only_settings_read_the_environment, f"{PACKAGE}/servicer.py", "from os import getenv\n"),
    (house_rules.domains_are_pure, f"{PACKAGE}/domain/plan.py", "import grpc.aio\n"),
    (house_rules.domains_are_pure, f"{PACKAGE}/domain/plan.py", "from kerf.optimizer.v1 import plan_pb2\n"),
    (house_rules.domains_are_pure, f"{PACKAGE}/domain/plan.py", "from google.protobuf import message\n"),
    (house_rules.domains_are_pure, f"{PACKAGE}/domain/plan.py", "def f():\n    from minio import Minio\n"),
    (house_rules.domains_are_pure, f"{PACKAGE}/domain/plan.py", "from kerf_core.blobs import BlobStore\n"),
    (house_rules.domains_are_pure, f"{PACKAGE}/domain/plan.py", "from kerf_optimizer.adapters import onnx\n"),
    (house_rules.suppressions_say_why, f"{PACKAGE}/a.py", "x = 1  # noqa\n"),
    (house_rules.suppressions_say_why, f"{PACKAGE}/a.py", "x = 1  # noqa: S301\n"),
    (house_rules.suppressions_say_why, f"{PACKAGE}/a.py", "x = 1  # type: ignore  # because it is so\n"),
    (house_rules.suppressions_say_why, f"{PACKAGE}/a.py", "x = 1  # type: ignore[misc]  # noqa  # because it is so\n"),
    (house_rules.suppressions_say_why, f"{PACKAGE}/a.py", "# ruff: noqa: S301  because it is so everywhere\n"),
    (house_rules.suppressions_say_why, "tests/test_a.py", f"{SKIP}\ndef test_a(): ...\n"),
    (house_rules.suppressions_say_why, "tests/test_a.py", f"{SKIP}if(True)\ndef test_a(): ...\n"),
    (house_rules.nothing_is_unfinished, f"{PACKAGE}/a.py", f"x = 1  # {UNFINISHED}: more\n"),
    (house_rules.nothing_is_unfinished, f"{PACKAGE}/a.py", "def f():\n    raise NotImplementedError\n"),
    (house_rules.everything_is_pinned, "constraints.txt", "hatchling==1.0\n"),
    (house_rules.everything_is_pinned, "constraints.txt", PINS + "scipy>=1\n"),
    (house_rules.everything_is_pinned, "constraints.txt", PINS + "scipy @ file:///somewhere/scipy.whl\n"),
    (house_rules.everything_is_pinned, "constraints.txt", PINS + "--index-url https://registry.example/simple\n"),
    (house_rules.everything_is_pinned, "constraints.txt", PINS + "NumPy==2.1\n"),
    (house_rules.readme_is_short, "README.md", "word\n" * 251),
]
INNOCENT = '''"""Says what it is."""

from kerf_core.errors import InvalidArgument

TEXT = "# noqa"  # noqa: S105  # a word, not a password
OTHER: int = "1"  # type: ignore[assignment]  # noqa: S106  # shows how two are written


def f() -> None:
    """Raises InvalidArgument."""
    raise InvalidArgument("A", "b")
'''


def innocent_checkout(root: Path) -> Checkout:
    """A small checkout that breaks no rule."""
    files = {
        "constraints.txt": PINS,
        "README.md": "word\n" * 250,
        "services/optimizer/pyproject.toml": PYPROJECT,
        f"{PACKAGE}/domain/words.py": INNOCENT,
        f"{PACKAGE}/settings.py": "import os\nHOME = os.environ['HOME']\n",
        f"{PACKAGE}/fit.py": "def f():\n    '''" + "word\n" * 80 + "'''\n" + "    x = 1\n" * 59,
        "tests/test_a.py": f"{SKIP}(reason='needs a moon')\ndef test_a(): ...\n",
    }
    for name, text in files.items():
        plant(root, name, text)
    return Checkout(root)


def plant(root: Path, name: str, text: str) -> None:
    """Write a file and the folders above it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_innocent_pass(rule: Rule, tmp_path: Path) -> None:
    assert list(rule(innocent_checkout(tmp_path))) == []


@pytest.mark.parametrize("rule,name,text", OFFENDERS)
def test_the_offender_is_found(rule: Rule, name: str, text: str, tmp_path: Path) -> None:
    checkout = innocent_checkout(tmp_path)
    plant(tmp_path, name, text)
    (violation,) = rule(checkout)
    assert name in violation or name == "constraints.txt"


def test_every_rule_has_an_offender() -> None:
    assert {rule for rule, _, _ in OFFENDERS} == set(RULES)


def test_an_undeclared_import_is_found(tmp_path: Path) -> None:
    checkout = innocent_checkout(tmp_path)
    plant(tmp_path, "libs/kerf_core/pyproject.toml", PYPROJECT.replace("optimizer", "core").replace("numpy", "scipy"))
    plant(tmp_path, "libs/kerf_core/src/kerf_core/a.py", "import os\nimport scipy\n")
    providers = {"numpy": ["numpy"], "scipy": ["SciPy"]}
    plant(tmp_path, f"{PACKAGE}/domain/words.py", "import os\nimport numpy as np\n")
    assert list(house_rules.only_declared_imports(checkout, providers)) == []
    plant(tmp_path, f"{PACKAGE}/a.py", "def f():\n    import scipy.ndimage\n")
    (violation,) = house_rules.only_declared_imports(checkout, providers)
    assert violation == f"{PACKAGE}/a.py:2: imports scipy, which kerf-optimizer does not declare"
    plant(tmp_path, f"{PACKAGE}/a.py", "from kerf_core.errors import KerfError\n")
    (violation,) = house_rules.only_declared_imports(checkout, providers)
    assert "imports kerf_core" in violation


MODULES = {
    "kerf": ("__init__",),
    "buf": ("__init__",),
    "kerf_core": ("__init__", "errors"),
    "kerf_client": ("__init__",),
    "kerf_embedded": ("__init__",),
    "kerf_media": ("__init__",),
    "kerf_models": ("__init__", "files", "sources"),
    "kerf_sd": ("__init__",),
    "kerf_gateway": ("__init__", "__main__", "servicer"),
    "kerf_diffusion": ("__init__", "__main__", "servicer", "domain", "adapters"),
    "kerf_optimizer": ("__init__", "__main__", "servicer", "domain"),
}
FORBIDDEN_IMPORTS = {
    "a service imports another": ("kerf_gateway/servicer.py", "import kerf_optimizer.servicer", "layers"),
    "a library imports a service": ("kerf_media/__init__.py", "import kerf_gateway", "layers"),
    "kerf_core imports a library": ("kerf_core/errors.py", "import kerf_media", "layers"),
    "generated code imports the runtime": ("kerf/__init__.py", "import kerf_core", "layers"),
    "a domain imports an adapter": ("kerf_diffusion/domain.py", "import kerf_diffusion.adapters", "service"),
    "a servicer imports the root": ("kerf_gateway/servicer.py", "import kerf_gateway.__main__", "service"),
    "a domain imports gRPC": ("kerf_optimizer/domain.py", "import grpc", "domain"),
    "the model files import torch": ("kerf_models/files.py", "import torch", "light"),
    "the gateway imports torch": ("kerf_gateway/servicer.py", "import torch", "light"),
}


def lint_planted_imports(root: Path) -> str:
    """The report of import-linter on one line, under the repository's own contracts, on a tree of the same packages."""
    lint = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from importlinter.cli import lint_imports_command as c; c()"
    )
    arguments = [str(root), "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    command = [sys.executable, "-P", "-c", lint, *arguments]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return " ".join(result.stdout.split())


@pytest.fixture
def empty_packages(tmp_path: Path) -> Path:
    for package, modules in MODULES.items():
        for module in modules:
            plant(tmp_path, f"{package}/{module}.py", "")
    return tmp_path


def test_innocent_imports_pass(empty_packages: Path) -> None:
    plant(
        empty_packages,
        "kerf_optimizer/servicer.py",
        "import grpc\nimport kerf_optimizer.domain\nimport kerf_core.errors\n",
    )
    assert "4 kept, 0 broken" in lint_planted_imports(empty_packages)


@pytest.mark.parametrize("what", FORBIDDEN_IMPORTS)
def test_a_forbidden_import_is_found(what: str, empty_packages: Path) -> None:
    name, statement, contract = FORBIDDEN_IMPORTS[what]
    plant(empty_packages, name, f"{statement}\n")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (title,) = [each["name"] for each in contracts if each["id"] == contract]
    assert f"{title} BROKEN" in lint_planted_imports(empty_packages)


def ruff(text: str) -> str:
    """What ruff says, under the repository's own configuration, about a module of a service."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    command += ["--config", str(ROOT / "pyproject.toml"), "--stdin-filename", str(ROOT / PACKAGE / "planted.py"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout


DOC = '"""Doc."""\n'
BRANCHES = "".join(f"    if a == {i}:\n        a = {i + 1}\n" for i in range(11))


@pytest.mark.parametrize(
    "rule,text",
    [
        ("C901", f'def f(a: int) -> int:\n    """Doc."""\n{BRANCHES}    return a\n'),
        ("D103", "def f() -> None:\n    pass\n"),
        ("E501", f"x = '{'a' * 120}'\n"),
        ("ASYNC251", 'import time\n\n\nasync def f() -> None:\n    """Doc."""\n    time.sleep(1)\n'),
        ("S602", 'import subprocess\n\nsubprocess.run("ls", shell=True, check=False)\n'),
        ("BLE001", "try:\n    x = 1\nexcept Exception:\n    x = 2\n"),
    ],
)
def test_ruff_finds(rule: str, text: str) -> None:
    assert f" {rule} " in ruff(DOC + text)


def test_ruff_lets_the_innocent_pass() -> None:
    assert "All checks passed" in ruff(DOC + 'def f(a: int) -> int:\n    """Doc."""\n    return a\n')


@pytest.mark.parametrize("text,clean", [("def f(x): return x", False), ("def f(x: int) -> int: return x", True)])
def test_mypy_is_strict(text: str, clean: bool, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(tmp_path),
    ]
    result = subprocess.run([*command, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode == 0) is clean, result.stdout + result.stderr
