"""The generated tables of the documents are today's: settings in the service cards, performance in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

import performance_table
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


def test_the_readme_shows_the_kept_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert performance_table.main(HERE, check=True) == 0, capsys.readouterr().out
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    for kept in (HERE / "bench" / "results").glob("*.json"):
        assert f"\n`{kept.stem}`, 20" in readme


def test_a_stale_performance_table_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "bench" / "results"
    results.mkdir(parents=True)
    kept = (HERE / "bench" / "results" / "overhead.json").read_text(encoding="utf-8")
    (results / "overhead.json").write_text(kept, encoding="utf-8")
    (tmp_path / "README.md").write_text(
        "<!-- performance -->\nfaster!\n<!-- end of performance -->\n", encoding="utf-8"
    )
    assert performance_table.main(tmp_path, check=True) == 1
    assert "stale" in capsys.readouterr().out
    assert performance_table.main(tmp_path, check=False) == 0
    assert performance_table.main(tmp_path, check=True) == 0
