"""Each package installs alone: a clean environment with it and what it declares, where it imports and starts.

The packages are built as wheels first, so that what a wheel lacks shows here too. Uses the package registry.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
SAME_TORCH = f"torch==={version('torch')}"
"""The build that set-up has found here."""
HEAVY = ("torch", "diffusers", "transformers")
IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
heavy = [name for name in sys.argv[2:] if importlib.util.find_spec(name)]
sys.exit(f"installed, and must not be: {heavy}" if heavy else 0)
"""
"""Imports every module of the package named first; fails if one of the others is installed at all."""


class NotAlone(Exception):
    """A package does not install, import or start with what it declares; says which and why."""


@dataclass(frozen=True)
class Package:
    """One package of the checkout and how it starts; `start` is empty where nothing starts."""

    folder: Path
    module: str
    start: tuple[str, ...] = ()
    absent: tuple[str, ...] = HEAVY
    """What must not be installed beside it."""


PACKAGES = [
    Package(ROOT / "libs/kerf_proto", "kerf"),
    Package(ROOT / "libs/kerf_core", "kerf_core"),
    Package(ROOT / "libs/kerf_client", "kerf_client", ("bin/kerf", "--help")),
    Package(ROOT / "services/gateway", "kerf_gateway", ("bin/python", "-m", "kerf_gateway", "--help")),
    Package(ROOT / "services/monitor", "kerf_monitor", ("bin/python", "-m", "kerf_monitor", "--help")),
    Package(ROOT / "services/optimizer", "kerf_optimizer", ("bin/python", "-m", "kerf_optimizer", "--help")),
    Package(
        ROOT / "services/captioner",
        "kerf_captioner",
        ("bin/python", "-m", "kerf_captioner", "--help"),
        absent=("diffusers", "peft", "kerf_sd", "kerf_diffusion", "kerf_trainer"),
    ),
    Package(
        ROOT / "services/trainer",
        "kerf_trainer",
        ("bin/python", "-m", "kerf_trainer", "--help"),
        absent=("kerf_captioner", "kerf_diffusion", "kerf_optimizer"),
    ),
]


def name_and_requirements(folder: Path) -> tuple[str, list[str]]:
    """The distribution's name, and the names that it requires without any extra."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in project.get("dependencies", [])]
    return str(project["name"]), requirements


def local_folders(extra: Sequence[Path] = ()) -> dict[str, Path]:
    """Distribution name -> folder, for all packages that are not to come from the registry."""
    folders = [
        *(path.parent for kind in ("libs", "services") for path in ROOT.glob(f"{kind}/*/pyproject.toml")),
        *extra,
    ]
    return {name_and_requirements(folder)[0]: folder for folder in folders}


def needed_folders(folder: Path, local: dict[str, Path]) -> list[Path]:
    """A package and those of its requirements, direct or not, that are local."""
    found = [folder]
    for each in found:
        found += [local[name] for name in name_and_requirements(each)[1] if name in local and local[name] not in found]
    return found


def run(command: Sequence[str | Path], what: str, folder: Path) -> None:
    """Run a command outside the checkout, with none of this process's Python settings; raise NotAlone if it fails."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise NotAlone(f"{what}: exit {result.returncode}\n{(result.stdout + result.stderr)[-4000:]}")


def check_alone(package: Package, local: dict[str, Path], work: Path) -> None:
    """Install a package with what it declares into a clean environment below `work`, import all of it, start it."""
    wheels, clean = work / "wheels", work / "clean"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build: list[str | Path] = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels]
    run([*build, *needed_folders(package.folder, local)], "does not build", work)
    run([sys.executable, "-m", "venv", "--without-pip", clean], "no clean environment", work)
    install: list[str | Path] = [
        *pip,
        "--require-virtualenv",
        "--python",
        clean / "bin" / "python",
        "install",
        "--constraint",
        CONSTRAINTS,
        *([SAME_TORCH] if "torch" not in package.absent else []),
    ]
    run([*install, *sorted(wheels.glob("*.whl"))], "does not install", work)
    probe: list[str | Path] = [clean / "bin" / "python", "-I", "-c", IMPORT_ALL, package.module, *package.absent]
    run(probe, "does not import alone", work)
    if package.start:
        program, *arguments = package.start
        run([clean / program, *arguments], "does not start alone", work)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.module)
def test_installs_imports_and_starts_alone(package: Package, tmp_path: Path) -> None:
    check_alone(package, local_folders(), tmp_path)


def planted(folder: Path, name: str, requires: list[str], text: str) -> Path:
    """A small package with one module."""
    source = folder / "src" / name
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "work.py").write_text(text)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\ndependencies = {requires}\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[tool.hatch.build.targets.wheel]\npackages = ["src/{name}"]\n'
    )
    return folder


def test_an_innocent_package_passes(tmp_path: Path) -> None:
    folder = planted(tmp_path / "innocent", "innocent", ["typing-extensions"], "import typing_extensions\n")
    check_alone(Package(folder, "innocent", ("bin/python", "-c", "import innocent")), {}, tmp_path)


def test_an_undeclared_import_is_caught(tmp_path: Path) -> None:
    folder = planted(tmp_path / "offender", "offender", [], "import typing_extensions\n")
    with pytest.raises(NotAlone, match=r"does not import alone.*(\n.*)*No module named 'typing_extensions'"):
        check_alone(Package(folder, "offender"), {}, tmp_path)


def test_a_heavy_dependency_is_caught(tmp_path: Path) -> None:
    light = planted(tmp_path / "offender", "offender", ["diffusers"], "")
    # A stand-in of that name, so that the test downloads nothing big; what counts is that it is installed.
    heavy = planted(tmp_path / "diffusers", "diffusers", [], "")
    (heavy / "pyproject.toml").write_text((heavy / "pyproject.toml").read_text().replace('"1.0"', '"0.42.1"'))
    with pytest.raises(NotAlone, match=r"installed, and must not be: \['diffusers'\]"):
        check_alone(Package(light, "offender"), local_folders([heavy]), tmp_path)


def test_a_program_that_does_not_start_is_caught(tmp_path: Path) -> None:
    folder = planted(tmp_path / "offender", "offender", [], "")
    with pytest.raises(NotAlone, match="does not start alone: exit 3"):
        check_alone(Package(folder, "offender", ("bin/python", "-c", "raise SystemExit(3)")), {}, tmp_path)
