"""`kerf train`, LoRAs for `kerf make`, and the datasets behind them, against a gateway over real gRPC."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import BadRequest
from protovalidate import validate
from rich.console import Console

from kerf.jobs.v1.event_pb2 import JobEvent, Progress
from kerf.jobs.v1.job_pb2 import Job
from kerf.trainer.v1.dataset_pb2 import Dataset, DatasetFile, DatasetFiles
from kerf_client import InvalidRequest, Kerf
from kerf_client.cli import main
from kerf_client.cli.console import BarView
from kerf_client.datasets import scan_dataset
from kerf_client.progress import JobProgress
from kerf_client.recipes import Training, Words, comparison_job, train_job
from kerf_client.training import CurveRecorder, read_curve, training_filename
from kerf_client.training_report import LossCurve
from unit.client.client_fake_gateway import API_KEY, Faults
from unit.client.client_products import png, safetensors
from unit.client.client_threaded import ThreadedGateway

FILES = {"fox.safetensors", "sample-before.png", "sample-after.png", "training.json", "report.html", "job.json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    (made / "sub").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "sub/c")):
        (made / f"{name}.png").write_bytes(png(number))
        (made / f"{name}.txt").write_text(f"drawing {number}")
    (made / "empty.png").write_bytes(b"")
    (made / ".hidden.png").write_bytes(png(9))
    (made / "notes.md").write_text("no part of it")
    return made


def _last_job(gateway: ThreadedGateway) -> Job:
    return list(gateway.gateway.jobs.values())[-1]


def test_a_folder_becomes_a_lora(
    gateway: ThreadedGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(folder), "--name", "fox", "--preset", "starter", "--steps", "2", "--rank", "4"]
    words += ["--learning-rate", "1e-4", "--resolution", "128", "--batch-size", "2", "--seed", "3"]
    words += ["--trigger-word", "foxy", "--sample-prompt", "a fox <b>", "--base-model", "starter"]
    assert main(words) == 0
    said = capsys.readouterr()
    out = tmp_path / "out" / "fox"
    assert {path.name for path in out.iterdir()} == FILES
    assert (out / "fox.safetensors").read_bytes() == safetensors()
    assert "step 1/2, loss 0.5, smoothed 0.5, learning rate 0.0001, 1 s left" in said.err
    assert "left out, neither pictures nor captions: notes.md" in said.err
    facts = json.loads((out / "training.json").read_text())
    assert facts["curve"]["loss"] == [0.5, 0.25]
    assert facts["request"]["preset"] == "starter"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<polyline") == 3
    assert page.count("data:image/png;base64,") == 2
    assert "a fox &lt;b&gt;" in page
    assert "smoothed loss 0.5" in said.out
    request = _last_job(gateway).stages[0].train
    validate(_last_job(gateway))
    assert [file.path for file in request.dataset.files.files] == [
        "a.png",
        "a.txt",
        "b.png",
        "b.txt",
        "empty.png",
        "sub/c.png",
        "sub/c.txt",
    ]
    assert request.dataset.files.files[1].data == b"drawing 0"
    assert request.dataset.files.files[4].HasField("data"), "an upload is never empty"
    assert gateway.gateway.blobs[request.dataset.files.files[5].artifact] == png(2)
    parameters = request.parameters
    assert (parameters.rank, parameters.steps, parameters.resolution_px, parameters.batch_size) == (4, 2, 128, 2)
    assert parameters.learning_rate == 1e-4
    assert (parameters.seed, request.trigger_word, request.base_model) == (3, "foxy", "starter")
    assert main(words) == 0, "a second run replaces its own files"


def test_what_is_not_given_is_left_to_the_preset(gateway: ThreadedGateway, folder: Path) -> None:
    assert main(["train", str(folder), "--name", "x", "--caption-suffix", ".md", "-o", "x"]) == 0
    request = _last_job(gateway).stages[0].train
    assert not request.parameters.ListFields()
    assert request.dataset.caption_suffix == ".md"
    assert "notes.md" in [file.path for file in request.dataset.files.files]
    assert "a.txt" not in [file.path for file in request.dataset.files.files]


def test_every_defect_is_told_line_by_line(
    gateway: ThreadedGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = BadRequest()
    bad.field_violations.add(field="train.dataset[b.txt]", description="CAPTION_NOT_UTF8: save it as UTF-8")
    bad.field_violations.add(field="train.dataset[c.png]", description="PICTURE_BROKEN: it is cut off")
    gateway.gateway.faults = Faults(fail_stage="train", fail_details=[bad], refuse_uploads_of=png(1))
    assert main(["train", str(folder), "--name", "fox", "--json"]) == 1
    said = capsys.readouterr()
    lines = [line.strip() for line in said.err.splitlines()]
    assert "train.dataset[b.txt]: CAPTION_NOT_UTF8: save it as UTF-8" in lines
    assert "train.dataset[c.png]: PICTURE_BROKEN: it is cut off" in lines
    assert "kerf: warning: b.png: the picture is damaged" in lines
    assert len(json.loads(said.out)["error"]["violations"]) == 2
    sent = {file.path: file for file in _last_job(gateway).stages[0].train.dataset.files.files}
    assert sent["b.png"].data == png(1), "the trainer tells its defect among all others"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["nowhere", "--name", "fox"], "is no folder"),
        (["bare", "--name", "fox"], "neither pictures nor captions"),
        (["set"], "--name"),
        (["set", "--name", "Fox!"], "is no name for a LoRA"),
        (["set", "--name", "fox", "--learning-rate", "0"], "is no number"),
        (["set", "--name", "fox", "--steps", "0"], "is no whole number"),
    ],
)
@pytest.mark.usefixtures("gateway", "folder")
def test_what_is_wrong_here_is_said_before_anything_is_sent(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare").mkdir()
    try:
        code = main(["train", *arguments])
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert text in capsys.readouterr().err


def test_a_name_that_is_no_utf8_is_told(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(png(1))
    with pytest.raises(InvalidRequest) as found:
        scan_dataset(tmp_path)
    assert found.value.reason == "BAD_FILE_NAME"
    assert len(found.value.violations) == 1


def test_a_long_list_of_files_travels_as_a_manifest(gateway: ThreadedGateway, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(30):
        (many / f"{number:02}.txt").write_text("word " * 2000)
    with Kerf(gateway.gateway.target, API_KEY) as client:
        told: list[tuple[int, int]] = []
        sent = client.upload_dataset(many, uploaded=lambda done, total: told.append((done, total)))
    assert sent.dataset.WhichOneof("source") == "manifest"
    stored = DatasetFiles.FromString(gateway.gateway.blobs[sent.dataset.manifest])
    assert [file.path for file in stored.files] == [f"{number:02}.txt" for number in range(30)]
    assert sorted(told) == [(number, 30) for number in range(1, 31)]
    job = train_job(Training("x"), sent.dataset)
    validate(job)
    assert job.ByteSize() < 1024


@pytest.mark.parametrize("second", [False, True])
def test_ctrl_c_stops_the_training_which_saves(
    gateway: ThreadedGateway, folder: Path, tmp_path: Path, second: bool
) -> None:
    saved = gateway.gateway.put(safetensors(), labels={"role": "lora"})
    gateway.gateway.faults = Faults(hang_stage="train", saved_on_cancel=[saved], never_cancelled=second)
    command = [sys.executable, "-m", "kerf_client", "train", str(folder), "--name", "fox", "-o", str(tmp_path / "cut")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        heard = _read_until(process, "train (1/1) step 2/2")
        process.send_signal(signal.SIGINT)
        heard += _read_until(process, "Ctrl-C again leaves at once")
        if second:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, heard + err
    assert "Traceback" not in err
    if second:
        assert "left before the training had saved" in err
        assert not (tmp_path / "cut").exists()
    else:
        assert (tmp_path / "cut").exists(), heard + err + out
        assert (tmp_path / "cut" / "fox-unfinished.safetensors").read_bytes() == safetensors()
        assert "stopped before its end" in (tmp_path / "cut" / "report.html").read_text(encoding="utf-8")
        assert "fox-unfinished.safetensors" in out


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    heard = ""
    while text not in heard:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line, heard
        heard += line
    return heard


def test_make_takes_loras_by_name_artifact_and_file(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fox.safetensors").write_bytes(safetensors())
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors at all")
    artifact = "artifacts/" + "a" * 64
    words = ["make", "a fish", "-o", "x"]
    for lora in ("linocut", "linocut:0.5", artifact, f"{artifact}:-1", "fox.safetensors", "fox.safetensors:0.25"):
        words += ["--lora", lora]
    assert main(words) == 0
    stored = gateway.gateway.put(safetensors()).name
    loras = [(lora.name, lora.weight) for lora in _last_job(gateway).stages[0].generate.loras]
    assert loras == [
        ("linocut", 1.0),
        ("linocut", 0.5),
        (artifact, 1.0),
        (artifact, -1.0),
        (stored, 1.0),
        (stored, 0.25),
    ]
    jobs = len(gateway.gateway.jobs)
    capsys.readouterr()
    assert main(["make", "a fish", "--lora", "bad.safetensors"]) == 2
    assert "is no safetensors file; nothing was sent" in capsys.readouterr().err
    assert len(gateway.gateway.jobs) == jobs


def test_a_comparison_differs_in_the_lora_alone() -> None:
    job = comparison_job(Words("owl", seed=7), "artifacts/" + "b" * 64, 0.5)
    validate(job)
    before, after = (stage.generate for stage in job.stages)
    assert [(lora.name, lora.weight) for lora in after.loras] == [("artifacts/" + "b" * 64, 0.5)]
    after.ClearField("loras")
    assert before == after
    with pytest.raises(ValueError, match="seed"):
        comparison_job(Words("owl"), "x")


def test_a_minimal_training_is_a_valid_job() -> None:
    dataset = Dataset(files=DatasetFiles(files=[DatasetFile(path="a.png", data=b"")]))
    job = train_job(Training("fox"), dataset)
    validate(job)
    assert not job.stages[0].train.parameters.ListFields()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff", b"{}", b'{"steps": 5}', b'{"steps": [null]}', b'{"steps": [true, 1]}', b"[" * 100_000]
)
def test_a_curve_that_is_none_is_empty(data: bytes) -> None:
    assert read_curve(data) == LossCurve()


def test_a_curve_keeps_its_gaps() -> None:
    data = b'{"steps": [1, 2, 3], "loss": [0.5, null, NaN], "smoothed_loss": [1, 2, 3, 4], "learning_rate": "x"}'
    assert read_curve(data) == LossCurve([1, 2, 3], [0.5, None, None], [1.0, 2.0, 3.0], [None] * 3)


def test_a_later_attempt_overwrites_the_steps_that_it_does_again() -> None:
    recorder = CurveRecorder()
    for step, loss in ((1, 0.9), (2, 0.8), (3, 0.7), (2, 0.75)):
        recorder.note(JobEvent(progress=Progress(stage="train", step=step, metrics={"loss": loss})))
    recorder.note(JobEvent(progress=Progress(stage="train", step=9, message="saving")))
    assert recorder.curve == LossCurve([1, 2], [0.9, 0.75], [None, None], [None, None])


def test_an_endless_training_is_told_in_minutes() -> None:
    progress = JobProgress(stages=["train"], stage="train")
    metrics = {"loss": 0.123456, "learning_rate": 1e-4, "else": 1.0}
    progress.apply(JobEvent(progress=Progress(step=1, total=1000, eta_seconds=754, metrics=metrics)))
    assert progress.step_label == "step 1/1000, loss 0.1235, learning rate 0.0001, 12 min 34 s left"
    progress.apply(JobEvent(progress=Progress(step=2, total=1000, eta_seconds=float("inf"))))
    assert progress.step_label == "step 2/1000"


@pytest.mark.parametrize(
    "name, possible",
    [
        ("fox.safetensors", True),
        ("fox-unfinished.safetensors", True),
        ("sample-before.png", True),
        ("sample-after-2.png", True),
        ("new-after.png", True),
        ("training.json", True),
        ("job.json", True),
        ("wolf.safetensors", False),
        ("a.png", False),
        ("../sample-before.png", False),
        ("sample-before-x.png", False),
    ],
)
def test_only_files_of_this_training_are_ours(name: str, possible: bool) -> None:
    assert training_filename("fox")(name) is possible


def test_the_figures_have_a_line_of_their_own_under_the_bar() -> None:
    progress = JobProgress(stages=["train"], stage="train")
    metrics = {"loss": 0.12345, "smoothed_loss": 0.1301, "learning_rate": 9.5e-5}
    told = Progress(stage="train", step=231, total=1000, eta_seconds=754, metrics=metrics)
    line = progress.apply(JobEvent(sequence=5, progress=told))
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    with BarView(terminal) as view:
        view.update(progress, line)
    assert isinstance(terminal.file, io.StringIO)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.file.getvalue())
    assert "train (1/1)" in shown
    assert "step 231/1000, 12 min 34 s left" in shown
    assert "loss 0.1235, smoothed 0.1301, learning rate 9.5e-05" in shown
