"""The `kerf` command and the synchronous client against a gateway over real gRPC."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

import kerf_client
from kerf.jobs.v1.job_pb2 import Job, NoopTask, Stage
from kerf_client import Kerf
from kerf_client.cli import main
from unit.client.client_fake_gateway import API_KEY
from unit.client.client_products import HOSTILE, png
from unit.client.client_threaded import ThreadedGateway

RESULTS = {
    "picture.png",
    "burn.png",
    "drawing.svg",
    "plan.gcode",
    "plan.svg",
    "plan.dxf",
    "preview.png",
    "job-sheet.html",
    "report.html",
    "job.json",
}
NOOP = Job(stages=[Stage(id="one", noop=NoopTask())])


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    value: dict[str, object] = json.loads(capsys.readouterr().out)
    return value


@pytest.mark.usefixtures("gateway")
def test_make_of_words_writes_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make", "a line art fish", "--seed", "7"]) == 0
    out = tmp_path / "out" / "a-line-art-fish"
    assert {path.name for path in out.iterdir()} == RESULTS
    said = capsys.readouterr()
    assert "out/a-line-art-fish/report.html" in said.out
    assert "burn time about 4 min 07 s" in said.out
    assert "plan (4/4) started" in said.err
    assert main(["make", "a line art fish", "--seed", "7"]) == 0, "a second run replaces its own files"


@pytest.mark.usefixtures("gateway")
def test_make_of_a_picture_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cat.png").write_bytes(png(3))
    assert main(["make", "cat.png", "-o", "made", "--json"]) == 0
    result = _json(capsys)
    assert {path.name for path in (tmp_path / "made").iterdir()} == RESULTS | {"shape.png"}
    assert (tmp_path / "made" / "picture.png").read_bytes() == png(3)
    assert result["estimated_seconds_by_item"] == [247]
    files = result["files"]
    assert isinstance(files, list)
    assert {Path(str(each["path"])).name for each in files} == RESULTS | {"shape.png"}


@pytest.mark.usefixtures("gateway")
def test_a_file_that_is_no_picture_is_not_even_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = b"hello, this is no picture"
    (tmp_path / "hello.jpg").write_bytes(text)
    assert main(["make", "hello.jpg"]) == 2
    assert "hello.jpg is no PNG, JPEG, WebP, GIF or BMP picture; nothing was sent" in capsys.readouterr().err
    assert main(["artifacts", "get", "artifacts/" + hashlib.sha256(text).hexdigest()]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("gateway")
def test_several_images_are_numbered(tmp_path: Path) -> None:
    assert main(["make", "fish", "--images", "3", "-o", "three"]) == 0
    names = {path.name for path in (tmp_path / "three").iterdir()}
    assert {"picture-1.png", "picture-2.png", "picture-3.png"} <= names


@pytest.mark.usefixtures("gateway")
def test_formats_choose_what_is_written(tmp_path: Path) -> None:
    assert main(["make", "fish", "--format", "svg,gcode", "-o", "few"]) == 0
    names = {path.name for path in (tmp_path / "few").iterdir()}
    assert names == {"drawing.svg", "plan.svg", "plan.gcode", "job-sheet.html", "report.html", "job.json"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.usefixtures("gateway")
def test_the_report_shows_all_and_runs_nothing(tmp_path: Path) -> None:
    assert main(["make", f"a fish {HOSTILE} <img src=x onerror=alert(1)>", "-o", "r"]) == 0
    page = _Page()
    page.feed((tmp_path / "r" / "report.html").read_text(encoding="utf-8"))
    assert not [tag for tag, _ in page.tags if tag in {"script", "iframe", "object", "link", "a", "form"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    pictures = [str(attributes["src"]) for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4
    assert all(re.match(r"data:image/(png|svg\+xml);base64,", source) for source in pictures)
    for text in (
        "80.0 × 80.0 mm",
        "4 min 07 s",
        "$32=1",
        f"unknown word: {HOSTILE}",
        "seed 7",
        "kerf 0.1.0",
        "plan.dxf",
    ):
        assert text in page.text


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["make", "missing.jpg"], "no such file"),
        (["make", "   "], "empty"),
        (["make", "a\x1b[2Jb"], "control characters"),
        (["make", "fish", "--lora", ":1"], "NAME:WEIGHT"),
        (["make", "fish", "--lora", "x:y"], "number from -4 to 4"),
        (["make", "fish", "--lora", "none.safetensors"], "no such file"),
        (["make", "fish", "--width", "0mm"], "more than 0"),
        (["make", "fish", "--width", "80"], "unit"),
        (["make", "fish", "--seed", "-1"], "whole number"),
        (["make", "fish", "--guidance", "nan"], "number from"),
        (["make", "fish", "--style", "oil"], "line-art"),
        (["make", "fish", "--format", "svg,exe"], "gcode"),
        (["make", "cat.png", "--seed", "1"], "only for a prompt"),
        (["plan", "cat.png", "--operation", "burn"], "engrave-raster"),
        (["plan", "cat.png", "--operation", "cut:2"], "no file (1 to 1)"),
        (["optimize", "none.png"], "No such file"),
        (["jobs", "get", "nope"], "there is no jobs/nope"),
        (["artifacts", "get", "0" * 64], "there is no artifacts/"),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_wrong_usage_is_said_on_stderr(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(png(3))
    try:
        code = main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    said = capsys.readouterr()
    assert code == 2
    assert text in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_failed_job_is_exit_1(gateway: ThreadedGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.gateway.faults.fail_stage = "generate"
    assert main(["make", "fish", "--json", "-o", "failed"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["reason"] == "NO_MODEL"
    assert "model 'x' is not installed" in said.err


@pytest.mark.usefixtures("gateway")
def test_a_wrong_key_is_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KERF_CLIENT_API_KEY", "another")
    assert main(["jobs", "list"]) == 2
    assert "KERF_CLIENT_API_KEY" in capsys.readouterr().err
    monkeypatch.setenv("KERF_CLIENT_API_KEY", "")
    assert main(["jobs", "list"]) == 2


def test_nothing_runs_is_exit_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KERF_CLIENT_GATEWAY", raising=False)
    monkeypatch.setenv("KERF_EMBEDDED_ROOT", str(tmp_path / "root"))
    assert main(["jobs", "list"]) == 3
    assert "kerf up" in capsys.readouterr().err


def test_jobs_and_artifacts(gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make", "fish", "-o", "x"]) == 0
    name = list(gateway.gateway.jobs)[-1]
    capsys.readouterr()
    assert main(["jobs", "list", "--state", "succeeded", "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == name
    assert main(["jobs", "watch", name]) == 0
    assert main(["jobs", "get", name.removeprefix("jobs/")]) == 0
    assert "drawing  SUCCEEDED" in capsys.readouterr().out
    assert main(["jobs", "retry", name]) == 0
    assert main(["jobs", "cancel", name]) == 0
    (tmp_path / "f.bin").write_bytes(b"hello" * 1000)
    capsys.readouterr()
    assert main(["artifacts", "upload", "f.bin"]) == 0
    stored = capsys.readouterr().out.strip()
    assert main(["artifacts", "download", stored, "-o", "g.bin"]) == 0
    assert (tmp_path / "g.bin").read_bytes() == b"hello" * 1000
    assert main(["artifacts", "download", stored, "-o", "g.bin"]) == 2, "an existing file stays"
    assert main(["artifacts", "list", "--json"]) == 0


@pytest.mark.parametrize(
    "arguments, files",
    [
        (["optimize", "cat.png", "--mode", "halftone", "--width", "5cm"], {"burn.png"}),
        (["vectorize", "cat.png", "--silhouette"], {"drawing.svg"}),
        (
            ["plan", "cat.png", "d.svg", "--operation", "engrave-raster", "--operation", "cut", "--offset-x", "5"],
            {"plan.gcode", "plan.svg", "plan.dxf", "preview.png", "job-sheet.html"},
        ),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_single_stages(arguments: list[str], files: set[str], tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(png(3))
    (tmp_path / "d.svg").write_text("<svg/>")
    assert main([*arguments, "-o", "s"]) == 0
    assert {path.name for path in (tmp_path / "s").iterdir()} == files | {"report.html", "job.json"}


def test_help_exists_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        "make",
        "jobs",
        "artifacts",
        "optimize",
        "vectorize",
        "plan",
        "caption",
        "train",
        "presets",
        "grid",
        "gpu",
        "admin",
    ]
    commands += ["doctor", "up", "demo"]
    for arguments in ([], *([command] for command in commands), ["jobs", "watch"], ["artifacts", "download"]):
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--help"])
        assert left.value.code == 0
    assert "exit codes" in capsys.readouterr().out


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_cancels_the_job(
    gateway: ThreadedGateway, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    gateway.gateway.faults.hang_stage = "burn"
    before = len(gateway.gateway.jobs)
    command = [sys.executable, "-m", "kerf_client", "make", "fish", "-o", str(tmp_path / "cut")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        heard = ""
        while "burn (2/4) step 2/2" not in heard:
            line = process.stderr.readline()
            assert line, heard
            heard += line
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code, heard + err
    assert out == ""
    assert "cancelled" in err
    assert "Traceback" not in err
    assert not (tmp_path / "cut").exists()
    name = list(gateway.gateway.jobs)[before]
    assert gateway.gateway.logs[name][-1].cancelled.reason == "interrupted by the user"


def test_the_synchronous_client_does_the_same(gateway: ThreadedGateway) -> None:
    gateway.gateway.faults.cut_watch_after = [1, 2]
    with Kerf(gateway.gateway.target, API_KEY) as client:
        events = list(client.run(NOOP))
        numbered = [event.sequence for event in events if event.sequence]
        assert numbered == list(range(1, len(numbered) + 1))
        name = events[0].job
        assert client.wait(name).name == name
        stream = client.watch(name)
        assert next(stream).sequence == 1
        stream.close()  # type: ignore[attr-defined]  # a generator, typed as the iterator that callers need
        assert name in [job.name for job in client.list_jobs(page_size=3)]
        stored = client.upload(b"bytes")
        assert client.download(stored.name) == b"bytes"
        with pytest.raises(kerf_client.NotFound):
            client.get_job("jobs/none")
    with pytest.raises(ValueError, match="API key"):
        Kerf(gateway.gateway.target, "")


def test_leaving_leaves_no_open_stream(gateway: ThreadedGateway) -> None:
    deadline = time.monotonic() + 5
    while gateway.gateway.open_streams and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gateway.gateway.open_streams == 0
