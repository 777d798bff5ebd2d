"""Jobs, lengths, file names and folders: everything that needs no connection."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protovalidate import validate

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import AttemptLost, JobEvent, Progress, StageStarted
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf.optimizer.v1.plan_pb2 import OperationKind, OutputFormat
from kerf.optimizer.v1.raster_pb2 import RasterMode
from kerf_client.errors import InvalidRequest
from kerf_client.facts import as_duration, plan_facts
from kerf_client.folder import ResultFolder
from kerf_client.formats import FileFormat
from kerf_client.lengths import parse_length_mm
from kerf_client.outputs import name_outputs, possible_filename
from kerf_client.progress import JobProgress
from kerf_client.recipes import (
    Style,
    Target,
    Words,
    picture_job,
    prompt_job,
    resolve_style,
    styled_prompt,
)

ARTIFACT = "artifacts/" + "a" * 64
STYLES = list(Style)


@pytest.mark.parametrize(
    "text, mm",
    [("80mm", 80.0), ("8cm", 80.0), ("3.1in", 78.74), (" .5 mm ", 0.5), ("3000mm", 3000.0)],
)
def test_lengths(text: str, mm: float) -> None:
    assert parse_length_mm(text) == pytest.approx(mm)


@pytest.mark.parametrize(
    "text",
    ["", "80", "0mm", "0.0cm", "-1mm", "nanmm", "infmm", "1e3mm", "3001mm", "mm", "8 0mm", "80MM", "8٠mm", "80mm;"],
)
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="length"):
        parse_length_mm(text)


@given(st.text(max_size=30))
def test_a_length_is_finite_positive_or_refused(text: str) -> None:
    try:
        mm = parse_length_mm(text)
    except ValueError:
        return
    assert math.isfinite(mm)
    assert 0 < mm <= 3000


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("of_picture", [False, True])
def test_every_recipe_is_a_valid_job_with_machine_files(style: Style, of_picture: bool) -> None:
    target = Target(style=style, title="x" * 500)
    words = Words("a fish", seed=0, guidance=0.0, loras=(("linocut", 0.5),))
    job = picture_job(ARTIFACT, target) if of_picture else prompt_job(words, target)
    validate(job)
    known: set[str] = set()
    for stage in job.stages:
        assert all(not each.HasField("from_stage") or each.from_stage.stage in known for each in stage.inputs)
        known.add(stage.id)
    plan = job.stages[-1].plan
    assert {operation.input for operation in plan.operations} == set(range(len(job.stages[-1].inputs)))
    assert OutputFormat.OUTPUT_FORMAT_GCODE in plan.outputs
    assert OutputFormat.OUTPUT_FORMAT_JOB_SHEET in plan.outputs
    assert len(plan.title) == 120


def test_a_photo_is_dithered_and_burnt_as_raster() -> None:
    job = picture_job(ARTIFACT, Target())
    assert job.stages[0].optimize.mode == RasterMode.RASTER_MODE_FLOYD_STEINBERG
    assert job.stages[0].optimize.size.width_mm == 80
    kinds = [operation.kind for operation in job.stages[-1].plan.operations]
    assert kinds == [OperationKind.OPERATION_KIND_ENGRAVE_RASTER, OperationKind.OPERATION_KIND_SCORE]
    inputs = [each.from_stage.stage for each in job.stages[-1].inputs]
    assert inputs == ["burn", "drawing"]


def test_the_burn_of_one_picture_is_simulated_and_not_planned() -> None:
    for style in Style:
        burn, *_, plan = picture_job(ARTIFACT, Target(style=style)).stages
        assert burn.optimize.burn_preview
        indices = {each.from_stage.stage: list(each.from_stage.indices) for each in plan.inputs}
        assert indices.get("burn", [0]) == [0]
    fine = picture_job(ARTIFACT, Target(dpi=600)).stages
    several = prompt_job(Words("fish", images=2), Target()).stages
    for stages in (fine, several):
        assert not next(stage for stage in stages if stage.id == "burn").optimize.burn_preview
        assert not any(each.from_stage.indices for stage in stages for each in stage.inputs)


def test_line_art_words_fill_the_traced_strokes() -> None:
    job = prompt_job(Words("a line art fish"), Target())
    assert [stage.id for stage in job.stages] == ["generate", "burn", "drawing", "plan"]
    assert job.stages[0].generate.prompt == "a line art fish"
    assert not job.stages[0].generate.HasField("seed")
    assert [operation.kind for operation in job.stages[-1].plan.operations] == [
        OperationKind.OPERATION_KIND_ENGRAVE_FILL
    ]


@pytest.mark.parametrize(
    "prompt, style",
    [("a fish", Style.LINE_ART), ("silhouette of a cat", Style.SILHOUETTE), ("an engraving of a key", Style.ENGRAVING)],
)
def test_auto_listens_to_the_words(prompt: str, style: Style) -> None:
    assert resolve_style(Style.AUTO, prompt) is style
    assert resolve_style(Style.PHOTO, prompt) is Style.PHOTO


def test_the_model_is_told_the_style_once() -> None:
    assert styled_prompt("a fish", Style.LINE_ART) == "a fish, line art"
    assert styled_prompt("Line-art fish", Style.LINE_ART) == "Line-art fish"
    assert styled_prompt("a fish", Style.PHOTO) == "a fish"


def test_formats_narrow_the_plan() -> None:
    plan = prompt_job(Words("x"), Target(formats=frozenset({FileFormat.SVG}))).stages[-1].plan
    assert OutputFormat.OUTPUT_FORMAT_DXF not in plan.outputs
    assert OutputFormat.OUTPUT_FORMAT_LBRN2 not in plan.outputs
    assert OutputFormat.OUTPUT_FORMAT_SVG in plan.outputs
    assert OutputFormat.OUTPUT_FORMAT_GCODE in plan.outputs, "the page draws the path from it"


def _artifact(role: str, item: str = "0", media_type: str = "image/png") -> Artifact:
    return Artifact(name=ARTIFACT, media_type=media_type, labels={"role": role, "item": item})


def test_outputs_get_names_of_ours_only() -> None:
    job = Job(
        stages=[
            Stage(id="generate", outputs=[_artifact("picture", "0"), _artifact("picture", "1")]),
            Stage(id="burn", outputs=[_artifact("raster")]),
            Stage(id="shape", outputs=[_artifact("raster")]),
            Stage(id="plan", outputs=[_artifact("gcode"), _artifact("../../evil"), _artifact("preview")]),
        ]
    )
    names = [output.filename for output in name_outputs(job)]
    assert names == ["picture-1.png", "picture-2.png", "burn.png", "shape.png", "plan.gcode", "preview.png"]
    assert all(possible_filename(name) for name in names)
    wanted = [output.filename for output in name_outputs(job, frozenset({FileFormat.GCODE})) if output.wanted]
    assert wanted == ["plan.gcode"]


@given(st.text(max_size=20), st.text(max_size=10), st.text(max_size=20))
def test_no_output_name_leaves_the_folder(role: str, item: str, media_type: str) -> None:
    outputs = [_artifact(role, item, media_type), _artifact("picture", item, media_type), _artifact("picture", "1")]
    for output in name_outputs(Job(stages=[Stage(id="generate", outputs=outputs)])):
        assert Path(output.filename).name == output.filename
        assert possible_filename(output.filename)


def _folder(path: Path) -> ResultFolder:
    return ResultFolder(path, possible_filename)


def test_own_files_are_replaced_and_leftovers_removed(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    _folder(out).write({"burn.png": b"1", "picture-2.png": b"2"}, {"job": {}})
    (out / "notes.txt").write_text("mine")
    paths = _folder(out).write({"burn.png": b"3"}, {"job": {}})
    assert [path.name for path in paths] == ["burn.png", "job.json"]
    assert sorted(path.name for path in out.iterdir()) == ["burn.png", "job.json", "notes.txt"]
    assert (out / "burn.png").read_bytes() == b"3"


@pytest.mark.parametrize("name", ["plan.gcode", "report.html", "job.json", "picture-3.png"])
def test_foreign_files_stop_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidRequest, match=name):
        _folder(tmp_path).write({"burn.png": b"1"}, {})
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_changed_file_of_ours_is_foreign(tmp_path: Path) -> None:
    _folder(tmp_path).write({"plan.gcode": b"1"}, {})
    (tmp_path / "plan.gcode").write_bytes(b"edited by hand")
    with pytest.raises(InvalidRequest, match=r"plan\.gcode"):
        _folder(tmp_path).write({"plan.gcode": b"2"}, {})
    assert (tmp_path / "plan.gcode").read_bytes() == b"edited by hand"


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_bytes(b"precious")
    _folder(out).write({"burn.png": b"precious"}, {})
    (out / "burn.png").unlink()
    (out / "burn.png").symlink_to(victim)
    with pytest.raises(InvalidRequest):
        _folder(out).write({"burn.png": b"2"}, {})
    assert victim.read_bytes() == b"precious"


def test_a_hostile_manifest_deletes_nothing(tmp_path: Path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_bytes(b"x")
    hashes = {"../victim": "0" * 64, str(victim): "0" * 64}
    (out / "job.json").write_text(json.dumps({"format": "kerf-job/1", "sha256": hashes}))
    with pytest.raises(InvalidRequest, match=r"job\.json"):
        _folder(out).write({"burn.png": b"1"}, {})
    assert victim.exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidRequest, match="output folder"):
        _folder(tmp_path / "file").prepare()


def test_facts_are_read_from_the_header_or_unknown() -> None:
    header = b"; required setting: $30=1000\n; required setting: $32=1\n; time: about 90 s, an estimate\n"
    gcode = header + b"M5 S0\n; time: about 1 s\n"
    facts = plan_facts([], gcode)
    assert facts.estimated_seconds == 90
    assert facts.required_settings == ("$30=1000", "$32=1")
    assert plan_facts([{"estimated_seconds": "12.5"}], gcode).estimated_seconds == 12.5
    assert plan_facts([], b"").estimated_seconds is None
    assert plan_facts([{"estimated_seconds": "nan", "checks": "[[["}], b"").checks == ()
    checks = json.dumps([{"name": "safety-linter", "verdict": "passed", "detail": "12 lines"}])
    assert plan_facts([{"checks": checks}], b"").checks[0].name == "safety-linter"


@pytest.mark.parametrize(
    "seconds, text", [(None, "not known"), (9.4, "9 s"), (247, "4 min 07 s"), (3660, "1 h 01 min")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert as_duration(seconds) == text


def test_progress_never_goes_back_and_says_what_is_unknown() -> None:
    progress = JobProgress(stages=["a", "b"])
    progress.apply(JobEvent(sequence=2, attempt=1, stage_started=StageStarted(stage="a")))
    line = progress.apply(JobEvent(sequence=3, progress=Progress(stage="a", step=3, total=4, eta_seconds=-1)))
    assert line == "a (1/2) step 3/4"
    assert progress.fraction == pytest.approx(0.375)
    progress.apply(JobEvent(sequence=4, attempt_lost=AttemptLost(reason="WORKER_LOST")))
    progress.apply(JobEvent(sequence=5, attempt=2, stage_started=StageStarted(stage="a")))
    progress.apply(JobEvent(sequence=6, progress=Progress(stage="a", step=1, total=4, eta_seconds=2)))
    assert progress.fraction == pytest.approx(0.375)
    assert progress.step_label == "step 1/4, 2 s left"
