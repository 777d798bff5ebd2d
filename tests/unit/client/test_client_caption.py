"""`kerf caption` and the jobs behind it, against a gateway over real gRPC."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from protovalidate import validate

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf_client.captioning import caption_pictures, caption_text
from kerf_client.cli import main
from kerf_client.errors import JobFailed
from kerf_client.recipes import MAX_CAPTIONED, Captioning, caption_job, caption_slices
from unit.client.client_products import BROKEN, HOSTILE, png
from unit.client.client_threaded import ThreadedGateway


def _name(number: int) -> str:
    return f"artifacts/{number:064x}"


def _caption_of(data: bytes) -> str:
    return f"a drawing of {hashlib.sha256(data).hexdigest()[-4:]} {HOSTILE}"


def test_a_caption_job_is_valid_and_keeps_the_order() -> None:
    job = caption_job([_name(number) for number in range(40)], Captioning("blip", "a", 3, 80, "fox-style"))
    validate(job)
    assert [stage.id for stage in job.stages] == ["caption", "caption-2", "caption-3"]
    named = [source.artifact for stage in job.stages for source in stage.inputs]
    assert named == [_name(number) for number in range(40)]
    options = job.stages[2].caption.options
    assert (options.model, options.prompt, options.beams, options.max_chars, options.trigger_word) == (
        "blip",
        "a",
        3,
        80,
        "fox-style",
    )
    validate(caption_job([_name(number) for number in range(MAX_CAPTIONED)], Captioning()))
    for number in (0, MAX_CAPTIONED + 1):
        with pytest.raises(ValueError, match="pictures"):
            caption_job([_name(each) for each in range(number)], Captioning())


@pytest.mark.parametrize("pictures", [1, 16, 17, 33, 255, 256])
def test_stages_are_even_and_hold_at_most_16(pictures: int) -> None:
    sizes = [end - start for start, end in caption_slices(pictures)]
    assert sum(sizes) == pictures
    assert max(sizes) <= 16
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.usefixtures("gateway")
def test_a_folder_is_captioned_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set" / "sub").mkdir(parents=True)
    for number, path in enumerate(("a.png", "b.png", "sub/c.PNG")):
        (tmp_path / "set" / path).write_bytes(png(number))
    (tmp_path / "set" / "notes.md").write_text("no picture")
    assert main(["caption", "set", "--write"]) == 0
    said = capsys.readouterr().out
    assert f"set/a.png: {_caption_of(png(0))}" in said
    assert (tmp_path / "set" / "sub" / "c.txt").read_text() == _caption_of(png(2)) + "\n"
    before = {path: path.read_text() for path in (tmp_path / "set").rglob("*.txt")}
    assert main(["caption", "set", "--write"]) == 2, "captions that are there stay"
    assert "set/a.txt" in capsys.readouterr().err
    (tmp_path / "set" / "a.txt").write_text("mine")
    assert main(["caption", "set/a.png", "--write", "--force"]) == 0
    assert {path: path.read_text() for path in (tmp_path / "set").rglob("*.txt")} == before


def test_what_fails_is_told_by_file_and_the_others_go_on(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = b"\x89PNG\r\n\x1a\nDAMAGED"
    gateway.gateway.faults.refuse_uploads_of = damaged
    files = {
        "good.png": png(1),
        "same.png": png(1),
        "cut.png": png(2) + BROKEN,
        "damaged.png": damaged,
        "text.jpg": b"hello",
        "empty.png": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert main(["caption", *files, "--write", "--json"]) == 1
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert {each["path"]: each["caption"] for each in result["captions"]} == dict.fromkeys(
        ("good.png", "same.png"), _caption_of(png(1))
    )
    assert {each["path"]: each["reason"] for each in result["failures"]} == {
        "cut.png": "PICTURE_BROKEN",
        "damaged.png": "PICTURE_BROKEN",
        "text.jpg": "NOT_A_PICTURE",
        "empty.png": "FILE_EMPTY",
    }
    assert "cut.png: the picture is cut off" in said.err
    assert "4 of 6 pictures failed" in said.err
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["good.txt", "same.txt"]
    inputs = gateway.gateway.jobs[result["jobs"][0]].stages[0].inputs
    assert len(inputs) == 2, "equal pictures are captioned once"


def test_a_captioner_that_fails_is_exit_1(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.gateway.faults.fail_stage = "caption"
    (tmp_path / "a.png").write_bytes(png(1))
    assert main(["caption", "a.png", "--write", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "NO_MODEL"
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["caption", "none.png"], "no such file or folder"),
        (["caption", "empty"], "no pictures in this folder"),
        (["caption", "a.png", "--beams", "0"], "whole number"),
        (["caption", "a.png", "a.gif", "--write"], "would both be captioned by a.txt"),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_wrong_usage(arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "a.gif"):
        (tmp_path / name).write_bytes(png(1))
    try:
        code = main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert text in capsys.readouterr().err


async def _nothing(name: str, max_bytes: int) -> bytes:
    raise AssertionError((name, max_bytes))


def _with_captions(stage: Stage) -> None:
    stage.state = JobState.JOB_STATE_SUCCEEDED
    for item, source in enumerate(stage.inputs):
        text = source.artifact
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        labels = {"role": "caption", "item": str(item), "text": text}
        stage.outputs.append(Artifact(name=f"artifacts/{sha256}", sha256=sha256, labels=labels))


async def test_a_stage_that_fails_costs_only_its_own_pictures() -> None:
    jobs: list[Job] = []

    async def run(job: Job) -> Job:
        """The second stage of the first job fails, so its third never runs."""
        job.name = f"jobs/j{len(jobs)}"
        jobs.append(job)
        for number, stage in enumerate(job.stages):
            if len(jobs) == 1 and number == 1:
                stage.state = job.state = JobState.JOB_STATE_FAILED
                job.error.message = "all cut off"
                raise JobFailed("failed", job)
            _with_captions(stage)
        return job

    names = [_name(number) for number in range(48)]
    outcome = await caption_pictures(names, Captioning(), run, _nothing)
    assert outcome.jobs == ["jobs/j0", "jobs/j1"]
    assert sorted(outcome.failures) == names[16:32]
    assert outcome.failures[names[16]].message == "all cut off"
    assert outcome.captions == {name: name for name in names[:16] + names[32:]}


async def test_a_label_that_is_not_the_whole_text_is_not_believed() -> None:
    text = "a long caption of a fox"
    artifact = Artifact(name="artifacts/x", sha256=hashlib.sha256(text.encode()).hexdigest())
    artifact.labels["text"] = "a long cap"

    async def download(name: str, max_bytes: int) -> bytes:
        assert name == "artifacts/x"
        assert max_bytes > len(text)
        return text.encode()

    assert await caption_text(artifact, download) == text
