"""The shape that every bench answers in."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from bench import _report
from bench._report import Result, arguments, machine_facts, report, show, table, target_against


def row(value: float | None, target: str = "", why: str = "", **more: float) -> Result:
    return Result("r", value, "ms", lower_is_better=True, target=target, why=why, **more)  # type: ignore[arg-type]  # peer_value only


def test_a_target_is_compared_with_the_value() -> None:
    assert row(3.5, "<= 3.5").met is True
    assert row(3.6, "<= 3.5").met is False
    assert row(390, ">= 390").met is True
    assert row(389.9, ">= 390").met is False


def test_without_a_value_or_a_target_there_is_no_verdict_but_a_reason() -> None:
    assert row(None, "<= 3", why="no GPU").met is None
    assert row(1.0, why="no target").met is None
    with pytest.raises(ValueError, match="must say why"):
        row(None, "<= 3")
    with pytest.raises(ValueError, match="must say why"):
        row(1.0)


def test_a_target_that_cannot_be_read_is_refused() -> None:
    for wrong in ("< 3", "<=3", "<= 3 x peer", "about 3"):
        with pytest.raises(ValueError, match="a target reads"):
            row(1.0, wrong)


def test_a_target_against_the_peer_follows_the_peers_figure() -> None:
    assert target_against(3.5, 3, lower_is_better=True) == "<= 10.500"
    assert target_against(390, 0.5, lower_is_better=False) == ">= 195.000"
    assert target_against(None, 3, lower_is_better=True) == ""


def test_the_json_object_has_the_houses_keys() -> None:
    kept = row(8.0, "<= 10.5", peer_value=3.5)
    answer = json.loads(json.dumps(report("overhead", machine_facts({"grpcio": "1"}), [kept])))
    assert set(answer) == {"bench", "date", "machine", "results"}
    assert {"cpu", "cores", "memory_gib", "gpu", "python", "versions"} <= set(answer["machine"])
    (result,) = answer["results"]
    assert result["ratio"] == pytest.approx(8 / 3.5, rel=1e-3)
    assert result["met"] is True
    keys = "name value unit lower_is_better peer peer_value ratio target met why"
    assert list(result) == keys.split()


def test_the_table_shows_what_was_missed_and_every_remark_once() -> None:
    lines = table([row(9.0, "<= 3"), row(1.0, why="shown only"), row(2.0, why="shown only")]).splitlines()
    assert "MISSED" in lines[1]
    assert [line for line in lines if "shown only" in line] == ["[1] shown only"]
    assert lines[2].endswith("[1]")


def test_only_a_kept_result_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_report, "RESULTS", tmp_path / "results")
    options: Namespace = arguments("x", "").parse_args(["--json"])
    show(options, "x", {}, [row(1.0, "<= 3")])
    assert json.loads(capsys.readouterr().out)["bench"] == "x"
    assert not (tmp_path / "results").exists()
    show(arguments("x", "").parse_args(["--keep"]), "x", {}, [row(1.0, "<= 3")])
    assert "met" in capsys.readouterr().out
    assert json.loads((tmp_path / "results" / "x.json").read_text())["results"][0]["met"] is True
