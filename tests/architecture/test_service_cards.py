"""The settings tables of the service cards are today's."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings_tables import main, rewritten

HERE = Path(__file__).resolve().parents[2]
MARK = "<!-- settings: kerf_core.settings.ServiceSettings -->\n{}<!-- end of settings -->\n"


def test_every_card_tells_todays_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(HERE, check=True) == 0, capsys.readouterr().out
    for service in (HERE / "services").iterdir():
        if (service / "pyproject.toml").exists():
            assert "<!-- settings: " in (service / "README.md").read_text(encoding="utf-8"), service.name


def test_a_stale_card_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "libs" / "plant" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text(rewritten(MARK.format("")).replace("| ACK_WAIT | 15 |", "| ACK_WAIT | 16 |"), encoding="utf-8")
    assert main(tmp_path, check=True) == 1
    assert "libs/plant/README.md" in capsys.readouterr().out
    assert main(tmp_path, check=False) == 0
    assert main(tmp_path, check=True) == 0
