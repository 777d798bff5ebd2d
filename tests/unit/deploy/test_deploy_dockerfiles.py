"""The Dockerfiles fit the checkout, and every rule about them finds what is planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.checks.dockerfiles import RULES, DockerIgnore, Rule, needed_folders, read_dockerfile
from deploy.checks.planted import changed_dockerfile, named
from deploy.checks.planted_containers import DOCKERFILE
from deploy.checks.service_settings import ROOT, services, settings_model


@pytest.mark.parametrize("service", services())
def test_a_dockerfile_keeps_all_rules(service: str) -> None:
    docker = read_dockerfile(ROOT, service)
    assert [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(docker)] == []


@pytest.mark.parametrize(("rule", "what", "text", "instead"), DOCKERFILE, ids=named)
def test_a_planted_offender_is_found(rule: Rule, what: str, text: str, instead: str) -> None:
    docker = read_dockerfile(ROOT, "gateway")
    found = set(rule(changed_dockerfile(docker, text, instead))) - set(rule(docker))
    assert found, what


def test_every_service_has_settings() -> None:
    assert [service for service in services() if settings_model(service) is None] == []


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("constraints.txt", False),
        ("libs/kerf_core/src/kerf_core/bus.py", False),
        ("models/starter/weights/unet/model.safetensors", False),
        ("models/starter/kerf_starter/dataset.py", True),
        ("libs/kerf_core/src/kerf_core/__pycache__/bus.pyc", True),
        (".venv/bin/python", True),
        (".git/config", True),
        ("deploy/compose/.env", True),
        ("deploy/images/.env", True),
        ("out/fox.gcode", True),
    ],
)
def test_the_build_context_holds_what_is_needed_and_no_secrets(path: str, ignored: bool) -> None:
    ignore = DockerIgnore((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    assert ignore.ignores(path) is ignored


def test_the_last_fitting_pattern_decides() -> None:
    ignore = DockerIgnore("# nothing\n*\n!a\na/b*\n!a/bc/d?.txt\n")
    answers = {path: ignore.ignores(path) for path in ("x", "a/x", "a/bc/x", "a/bc/d1.txt", "a/bc/d12.txt")}
    assert answers == {"x": True, "a/x": False, "a/bc/x": True, "a/bc/d1.txt": False, "a/bc/d12.txt": True}


def test_needed_folders_follow_the_libraries() -> None:
    assert needed_folders(ROOT, "monitor") == ["libs/kerf_core", "libs/kerf_proto", "services/monitor"]
    assert "libs/kerf_media" in needed_folders(ROOT, "gateway")


@pytest.mark.parametrize("service", ["captioner", "diffusion", "trainer"])
def test_the_settings_find_the_starter_model_in_the_image(service: str, tmp_path: Path) -> None:
    """The settings are read from where pip puts them in the image, and name a folder that the Dockerfile fills."""
    installed = tmp_path / "opt/kerf/lib/python3.11/site-packages" / f"kerf_{service}" / "settings.py"
    installed.parent.mkdir(parents=True)
    shutil.copy(ROOT / f"services/{service}/src/kerf_{service}/settings.py", installed)
    # In a process of its own: the models would be known under two names here.
    script = "import runpy, sys; print(*map(str, runpy.run_path(sys.argv[1]).values()), sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", script, str(installed)], capture_output=True, text=True, check=True, timeout=60
    )
    named = [line.removeprefix(str(tmp_path)) for line in result.stdout.splitlines() if line.startswith(str(tmp_path))]
    folders = [path for path in named if path.startswith("/opt/kerf/models/")]
    copied = [entry.rest.split()[-1] for entry in read_dockerfile(ROOT, service).stages[-1] if entry.word == "COPY"]
    assert folders
    assert set(folders) <= set(copied)
