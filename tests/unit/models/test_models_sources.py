"""A model is a folder, or a repository in the local cache; nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from kerf_core.errors import FailedPrecondition
from kerf_models.sources import resolve_source

WANTED = ("*.json", "*.safetensors")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of `owner/name`, as a download leaves it in the hub's cache."""
    repository = tmp_path / "cache" / "models--owner--name"
    commit = "0123456789abcdef0123456789abcdef01234567"
    for revision in ("main", "v1"):
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(repository.parent))
    return repository / "snapshots" / commit


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve_source(str(tmp_path), wanted=WANTED) == tmp_path


@pytest.mark.parametrize("source", ["owner/name", "owner/name@v1"])
def test_a_repository_is_found_in_the_cache(cached: Path, source: str) -> None:
    assert resolve_source(source, wanted=WANTED, unwanted=("*.fp16.*",)) == cached


@pytest.mark.parametrize(
    "source",
    [
        "owner/no-such-model",
        "owner/name@v2",
        "owner/name@-v1",
        "owner/name\n",
        "owner/name@v1\n",
        "/nowhere/at/all",
        "./owner/name",
        "../owner",
        "~/owner",
        "a b",
        "a b c",
    ],
)
def test_what_is_nowhere_is_not_installed(
    cached: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cached.is_dir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FailedPrecondition) as caught:
        resolve_source(source, wanted=WANTED)
    assert caught.value.reason == "MODEL_NOT_INSTALLED"


def test_a_hub_that_cannot_be_reached_is_told_from_one_that_lacks_the_model(tmp_path: Path) -> None:
    program = (
        "from kerf_core.errors import Unavailable\n"
        "from kerf_models.sources import resolve_source\n"
        "try:\n"
        "    resolve_source('owner/name', wanted=['*.json'], local_files_only=False)\n"
        "except Unavailable as error:\n"
        "    print(error.reason, error.message)\n"
    )
    # The hub's address is read when its library is imported. Nobody listens on port 9 of the loopback.
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.startswith("MODEL_DOWNLOAD_FAILED"), done.stdout + done.stderr
    assert "cannot be reached" in done.stdout
