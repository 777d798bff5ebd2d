"""`kerf batch`, `kerf queue`, `kerf estimate` and what operators do with `kerf jobs`, over real gRPC."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kerf.jobs.v1.job_pb2 import JobState
from kerf_client.cli import main
from kerf_client.cli.batch_file import LINE_OPTIONS
from kerf_client.cli.orders import add_order_options
from unit.client.client_fake_queue import TENANT
from unit.client.client_products import png, safetensors
from unit.client.client_threaded import ThreadedGateway

NOOP = {"job": {"stages": [{"id": "one", "noop": {}}]}}


def _file(path: Path, *lines: object) -> str:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return str(path)


def _json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_batch_becomes_a_folder_for_each_line(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "anna.png").write_bytes(png(3))
    (tmp_path / "ink.safetensors").write_bytes(safetensors())
    options = {"make": "a fish", "style": "engraving", "seed": 7, "lora": ["ink.safetensors:0.5"], "width": "3cm"}
    names = _file(tmp_path / "names.jsonl", "a line art cat", {"make": "anna.png"}, options, NOOP)
    uploads = len([call for call in gateway.gateway.calls if call[0] == "UploadArtifact"])
    assert main(["batch", names, "--width", "50mm", "--format", "svg", "--lora", "both"]) == 2
    assert "line 2: --lora: only for a prompt, but anna.png is a picture" in capsys.readouterr().err
    assert main(["batch", names, "--width", "50mm", "--format", "svg"]) == 0
    said = capsys.readouterr()
    out = tmp_path / "out" / "names"
    assert {path.name for path in out.iterdir()} == {"0001-a-line-art-cat", "0002-anna-png", "0003-a-fish"}
    assert (out / "0002-anna-png" / "picture.png").read_bytes() == png(3)
    assert not (out / "0001-a-line-art-cat" / "plan.gcode").exists()
    assert (out / "0001-a-line-art-cat" / "plan.svg").exists()
    name = list(gateway.gateway.batches)[-1]
    jobs = [gateway.gateway.jobs[each] for each in gateway.gateway.batches[name]]
    assert [job.stages[1].optimize.size.width_mm for job in (jobs[0], jobs[2])] == [50, 30]
    assert jobs[2].stages[0].generate.seed == 7
    assert jobs[2].stages[0].generate.loras[0].name.startswith("artifacts/")
    assert f"{name}  of 4: 4 succeeded" in said.out
    assert f"{jobs[3].name}  SUCCEEDED  no files" in said.out
    assert "4 jobs accepted" in said.err
    assert len([call for call in gateway.gateway.calls if call[0] == "UploadArtifact"]) == uploads + 2
    assert main(["batch", "fetch", name, "-o", "again", "--json"]) == 0
    told = _json(capsys)
    assert [each["state"] for each in told["jobs"]] == ["SUCCEEDED"] * 4
    assert told["batch"]["failed"] == 0
    assert {Path(each["path"]).name for each in told["jobs"][1]["files"]} >= {"picture.png", "plan.gcode"}


def test_all_wrong_lines_are_told_before_anything_is_sent(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.png").write_bytes(b"text")
    lines = [
        '"a good one"',
        "{not json",
        "",
        '{"make": "fish", "width": "80"}',
        '{"make": "fish", "colour": "red"}',
        '{"make": "fish", "seed": true}',
        '{"make": "missing.png"}',
        '{"make": "no.png"}',
        "[1]",
        '{"job": {"stages": [{"id": "a", "boil": {}}]}}',
        '{"job": 3}',
        '{"job": {}, "width": "8cm"}',
        '{"make": ["a"]}',
        '{"make": "a\\u001b[2Jb"}',
        "[" * 100_000,
        '{"make": "--help"}',
        '{"make": "fish", "images": 99}',
        '{"make": "fish", "format": "svg"}',
    ]
    (tmp_path / "bad.jsonl").write_text("\r\n".join(lines), encoding="utf-8-sig")
    assert main(["batch", "bad.jsonl", "--json"]) == 2
    error = _json(capsys)["error"]
    told = {each["field"]: each["description"] for each in error["violations"]}
    good = {1, 3, 16}
    assert set(told) == {f"line {number}" for number in range(1, len(lines) + 1) if number not in good}
    assert "15 of 17 lines are wrong; nothing was sent" in error["message"]
    assert "unit" in told["line 4"]
    assert "colour" in told["line 5"]
    assert "no PNG" in told["line 8"]
    assert "boil" in told["line 10"]
    assert gateway.gateway.calls == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content, text",
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b"\n \n", "0 lines with work"),
        (b'"fish"\n' * 1001, "1,001 lines"),
        (b"", "nothing in it"),
    ],
)
def test_a_file_that_is_no_batch_is_refused(
    gateway: ThreadedGateway, tmp_path: Path, content: bytes, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_bytes(content)
    assert main(["batch", "f"]) == 2
    assert text in capsys.readouterr().err
    assert main(["batch", "none"]) == 2
    assert "No such file" in capsys.readouterr().err
    assert gateway.gateway.calls == []


def test_what_the_gateway_refuses_is_told_by_line(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text('\n"a"\n\n{"make": "b", "model": "none"}\n', encoding="utf-8")
    assert main(["batch", "f", "--json"]) == 2
    assert _json(capsys)["error"]["violations"] == [
        {"field": "line 4: stages[0].generate.model", "description": "is not installed"}
    ]
    assert [call for call, _ in gateway.gateway.calls] == ["CreateBatch"]


def test_a_failed_job_is_exit_1_and_the_others_are_written(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.gateway.faults.fail_stage = "bad"
    bad = {"job": {"stages": [{"id": "bad", "noop": {}}]}}
    assert main(["batch", _file(tmp_path / "f", bad, "a fish"), "--json"]) == 1
    told = _json(capsys)
    assert [each["state"] for each in told["jobs"]] == ["FAILED", "SUCCEEDED"]
    assert told["jobs"][0]["error"]["reason"] == "NO_MODEL"
    report = tmp_path / "out" / "f" / "0002-a-fish" / "report.html"
    assert report.exists()
    report.write_text("mine", encoding="utf-8")
    assert main(["batch", "fetch", told["batch"]["name"], "-o", "out/f", "--json"]) == 1
    again = _json(capsys)["jobs"]
    assert again[1]["error"]["reason"] == "FILE_IN_THE_WAY"
    assert report.read_text(encoding="utf-8") == "mine"


def test_a_batch_is_left_shown_and_cancelled(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.gateway.faults.hang_stage = "one"
    assert main(["batch", _file(tmp_path / "f", NOOP, NOOP), "--detach"]) == 0
    name = capsys.readouterr().out.strip()
    assert main(["batch", "show", name.removeprefix("batches/")]) == 0
    said = capsys.readouterr().out
    assert f"{name}  of 2: " in said
    assert all(each in said for each in gateway.gateway.batches[name])
    assert main(["batch", "cancel", name, "--reason", "enough", "--json"]) == 0
    assert (_json(capsys)["cancelled"]) == 2
    assert main(["batch", "fetch", name]) == 1
    assert "was cancelled" in capsys.readouterr().out
    assert main(["batch", "show", "none"]) == 2


def _interrupted(arguments: list[str], until: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that gets Ctrl-C after it said `until`."""
    command = [sys.executable, "-m", "kerf_client", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ, cwd=folder
    ) as process:
        stream = process.stdout if until.startswith("queue") else process.stderr
        assert stream is not None
        heard = ""
        while until not in heard:
            line = stream.readline()
            assert line, heard
            heard += line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def test_an_interrupt_says_how_to_go_on(gateway: ThreadedGateway, tmp_path: Path) -> None:
    gateway.gateway.faults.hang_stage = "one"
    code, out, err = _interrupted(["batch", _file(tmp_path / "f", NOOP)], "running", tmp_path)
    name = list(gateway.gateway.batches)[-1]
    assert (code, out) == (130, "")
    assert f"`kerf batch fetch {name}`" in err
    assert "Traceback" not in err
    (job,) = gateway.gateway.batches[name]
    assert gateway.gateway.jobs[job].state == JobState.JOB_STATE_RUNNING, "the batch goes on"
    code, _, err = _interrupted(["jobs", "watch", job], "step 2/2", tmp_path)
    assert code == 130
    assert f"`kerf jobs watch {job} --after 4`" in err
    code, _, err = _interrupted(["queue", "--watch", "--interval", "0.2"], "queue at", tmp_path)
    assert code == 130
    assert "kerf queue --watch" in err
    assert main(["batch", "cancel", name]) == 0


@pytest.mark.usefixtures("gateway")
def test_the_queue_is_shown_and_what_nobody_measured_is_no_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue"]) == 0
    said = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in said.splitlines()}
    assert rows["all"][1:] == ["3", "1", "1", "min", "02", "s", "4", "3", "0.25", "s"]
    assert rows["kind diffusion"][-1] == "–"
    assert "\x1b" not in said
    assert "free slots: optimizer 2" in said
    assert main(["queue", "--json"]) == 0
    told = _json(capsys)
    assert told["kinds"][0]["mean_wait_seconds"] is None
    assert told["kinds"][0]["running"] == 0
    assert told["tenants"][0]["oldest_wait_seconds"] is None
    assert main(["queue", "--interval", "1"]) == 2


def test_an_estimate_says_intervals_and_what_is_not_known(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = len(gateway.gateway.jobs)
    (tmp_path / "cat.png").write_bytes(png(3))
    assert main(["estimate", "cat.png", "--width", "8cm", "-o", "unused"]) == 0
    said = capsys.readouterr().out
    assert "total   about 8 s (4 s to 2 min 00 s)" in said
    assert "wait  0 s" in said
    assert "cost    not known" in said
    assert gateway.gateway.estimated[-1].stages[0].optimize.size.width_mm == 80
    gateway.gateway.queue_faults.never_measured = "generate"
    assert main(["estimate", "a fish"]) == 0
    said = capsys.readouterr().out
    assert "total   not known" in said
    assert "generate  not known  [2 such stages measured here]" in said
    assert main(["estimate", "a fish", "--json"]) == 0
    told = _json(capsys)
    assert told["total_seconds"] is None
    assert told["peak_memory_bytes"] is None
    assert told["wait_seconds"] == {"low": 0.0, "expected": 0.0, "high": 0.0}
    assert told["stages"][0]["computed_seconds"] is None
    assert len(gateway.gateway.jobs) == jobs
    assert not (tmp_path / "unused").exists()


def test_dead_letters_and_filters(gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.gateway.faults.fail_stage = "one"
    assert main(["batch", _file(tmp_path / "f", NOOP)]) == 1
    name = list(gateway.gateway.batches)[-1]
    (job,) = gateway.gateway.batches[name]
    capsys.readouterr()
    assert main(["jobs", "dead", "--limit", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{TENANT}  diffusion  {job}  FAILED")
    assert "--tenant" in said.err
    gateway.gateway.faults.fail_stage = ""
    assert main(["jobs", "retry", job, "--tenant", TENANT, "--json"]) == 0
    assert _json(capsys)["retry_of"] == job
    assert main(["jobs", "retry", job, "--tenant", "other"]) == 2
    words = ["--batch", name, "--kind", "noop", "--label", "a=b", "--since", "2h", "--json"]
    assert main(["jobs", "list", *words]) == 0
    wanted = gateway.gateway.filters[-1]
    assert (wanted.batch, wanted.kind, dict(wanted.labels)) == (name, "noop", {"a": "b"})
    assert wanted.created_after.seconds > 0
    assert main(["jobs", "list", "--since", "999999d"]) == 0
    assert main(["jobs", "show", job]) == 0


def test_a_line_takes_every_option_of_make() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_order_options(parser)
    assert set(re.findall(r"\[--([a-z]+)", parser.format_usage())) == {*LINE_OPTIONS, "out", "format"}


@pytest.mark.parametrize(
    "words",
    [
        ["batch"],
        *(["batch", action] for action in ("send", "show", "fetch", "cancel")),
        *(["jobs", action] for action in ("list", "show", "cancel", "retry", "dead")),
        *(["admin", action] for action in ("dead-letters", "retry", "delete-tenant", "deletion")),
        ["queue"],
        ["estimate"],
    ],
)
def test_help_is_there(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "--json" in said or words == ["batch"]
