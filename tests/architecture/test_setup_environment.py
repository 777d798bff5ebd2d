"""`make setup` repairs what an interruption left, and never installs into the machine's own Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import setup_env

MACHINE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a `.venv` that is not there yet, in a checkout of its own."""
    folder = tmp_path / "a clone" / ".venv"
    (folder.parent / "build").mkdir(parents=True)
    (folder.parent / "constraints.txt").write_text("")
    monkeypatch.setattr(setup_env, "ROOT", folder.parent)
    monkeypatch.setattr(setup_env, "VENV", folder)
    monkeypatch.setattr(setup_env, "PYTHON", folder / "bin" / "python")
    monkeypatch.setattr(setup_env, "STAMP", folder / "kerf-setup.json")
    monkeypatch.setattr(setup_env, "UNFINISHED", folder / "kerf-setup-unfinished")
    return folder


def half_removed(venv: Path) -> None:
    """What an interrupted removal leaves: `python` is a link to the machine's own, and nothing says otherwise."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(MACHINE_PYTHON)


def test_nothing_is_installed_into_the_machines_python(venv: Path) -> None:
    half_removed(venv)
    assert not setup_env.is_whole()
    with pytest.raises(setup_env.SetupError, match="nothing was installed"):
        setup_env.pip("--version")


def test_pip_itself_refuses_outside_an_environment(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_removed(venv)
    monkeypatch.setattr(setup_env, "is_whole", lambda: True)
    # Even if it did not refuse: a requirement that is there already, from no registry.
    assert not setup_env.pip("--no-index", "--no-deps", "--dry-run", "pip")


def test_a_broken_environment_is_made_afresh_and_a_whole_one_kept(venv: Path) -> None:
    half_removed(venv)
    assert setup_env.why_afresh() == ".venv is not whole"
    setup_env.make_venv()
    assert setup_env.is_whole()
    assert list((venv.parent / "build").iterdir()) == []
    assert setup_env.why_afresh() == "the last set-up was interrupted"
    setup_env.UNFINISHED.unlink()
    (venv / "kept").touch()
    setup_env.make_venv()
    assert (venv / "kept").exists()
    setup_env.UNFINISHED.unlink()
    setup_env.STAMP.write_text(json.dumps({"path": "/elsewhere"}))
    assert setup_env.why_afresh() == "the clone was moved"


def test_an_unreadable_stamp_counts_as_none(venv: Path) -> None:
    venv.mkdir()
    setup_env.STAMP.write_text("{broken")
    assert setup_env.read_stamp() == {}


def test_kernels_are_missed_after_a_clean(venv: Path) -> None:
    assert not setup_env.has_kernels()
    cache = venv.parent / "services" / "optimizer" / "src" / "kerf_optimizer" / "domain" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "tour.kick-1.py311.nbi").touch()
    assert setup_env.has_kernels()


@pytest.mark.usefixtures("venv")
def test_kernels_that_do_not_compile_stop_no_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_env, "PYTHON", MACHINE_PYTHON)  # which has no kerf
    setup_env.compile_kernels()
    told = capsys.readouterr().out
    assert "failed, the optimizer does so when it starts" in told
    assert "kerf_optimizer" in told
