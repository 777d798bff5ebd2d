"""What a training made: its curve, and the folder that a person gets. Knows no command line."""

from __future__ import annotations

import asyncio
import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job
from kerf_client.aio import AsyncKerf
from kerf_client.folder import ResultFolder
from kerf_client.outputs import MANIFEST_FILE, REPORT_FILE
from kerf_client.report import ReportFile
from kerf_client.training_report import LossCurve, TrainingReport, render_training_report

TRAINING_FILE = "training.json"
SAMPLE_BEFORE, SAMPLE_AFTER = "sample-before", "sample-after"
NEW_BEFORE, NEW_AFTER = "new-before", "new-after"
_LORA, _CURVE = "lora", "training-curve"
_PICTURES = (SAMPLE_BEFORE, SAMPLE_AFTER, NEW_BEFORE, NEW_AFTER)
_MAX_CURVE_BYTES = 64 * 1024 * 1024
_UNFINISHED = "-unfinished"


@dataclass
class CurveRecorder:
    """Notes the figures of every step that a job's events tell."""

    curve: LossCurve = field(default_factory=LossCurve)

    def note(self, event: JobEvent) -> None:
        """Take an event in. A later attempt that goes back to a checkpoint overwrites what it does again."""
        if event.WhichOneof("body") != "progress" or "loss" not in event.progress.metrics:
            return
        step, metrics, curve = event.progress.step, dict(event.progress.metrics), self.curve
        kept = bisect_left(curve.steps, step)
        del curve.steps[kept:]
        curve.steps.append(step)
        for name, values in (
            ("loss", curve.loss),
            ("smoothed_loss", curve.smoothed_loss),
            ("learning_rate", curve.learning_rate),
        ):
            del values[kept:]
            values.append(metrics.get(name))


def read_curve(data: bytes) -> LossCurve:
    """The curve in an artifact of role `training-curve`; empty where it is none. What is no finite number is None."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return LossCurve()
    if not isinstance(found, dict):
        return LossCurve()
    steps = [_number(step) for step in _listed(found, "steps")]
    length = next((index for index, step in enumerate(steps) if step is None), len(steps))
    columns = [_column(found, name, length) for name in ("loss", "smoothed_loss", "learning_rate")]
    return LossCurve([int(step) for step in steps[:length] if step is not None], *columns)


def _listed(found: dict[str, object], name: str) -> list[object]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _column(found: dict[str, object], name: str, length: int) -> list[float | None]:
    values = [_number(value) for value in _listed(found, name)[:length]]
    return values + [None] * (length - len(values))


def _number(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable and isinstance(value, int | float) else None


def training_filename(name: str) -> Callable[[str], bool]:
    """True for a file that a training of this name may write."""
    fixed = {REPORT_FILE, MANIFEST_FILE, TRAINING_FILE, f"{name}.safetensors", f"{name}{_UNFINISHED}.safetensors"}

    def possible(filename: str) -> bool:
        stem, _, extension = filename.partition(".")
        base, _, number = stem.rpartition("-")
        numbered = stem in _PICTURES or (base in _PICTURES and number.isdecimal())
        return filename in fixed or (numbered and extension == "png")

    return possible


@dataclass(frozen=True)
class TrainingOutputs:
    """The files of a training, downloaded, and its curve."""

    files: list[ReportFile]
    curve: LossCurve


async def fetch_training(
    client: AsyncKerf, name: str, artifacts: Iterable[Artifact], recorded: LossCurve, *, finished: bool = True
) -> TrainingOutputs:
    """Download what a training stored, each checked against its SHA-256.

    `recorded`: the curve that the events told, for a training that stored none. Raises KerfError.
    """
    files: list[ReportFile] = []
    curve = recorded
    counts: dict[str, int] = {}
    for artifact in artifacts:
        role = artifact.labels.get("role", "")
        if role == _CURVE:
            found = read_curve(await client.download(artifact.name, max_bytes=_MAX_CURVE_BYTES))
            curve = found if found.steps else recorded
        elif role in {_LORA, SAMPLE_BEFORE, SAMPLE_AFTER}:
            item = counts.get(role, 0)
            counts[role] = item + 1
            filename = _filename(name, role, item, finished=finished)
            if filename not in {file.filename for file in files}:
                files.append(ReportFile(filename, role, item, artifact, await client.download(artifact.name)))
    return TrainingOutputs(files, curve)


def _filename(name: str, role: str, item: int, *, finished: bool) -> str:
    if role == _LORA:
        return f"{name}{'' if finished else _UNFINISHED}.safetensors"
    return f"{role}.png" if item == 0 else f"{role}-{item + 1}.png"


def lora_of(job: Job) -> Artifact | None:
    """The LoRA that a training job made; None if it made none."""
    outputs = (artifact for stage in job.stages for artifact in stage.outputs)
    return next((artifact for artifact in outputs if artifact.labels.get("role") == _LORA), None)


def write_training(
    folder: ResultFolder, job: Job, outputs: TrainingOutputs, *, settings: dict[str, str], new_prompt: str = ""
) -> list[Path]:
    """Write the files, `training.json`, `report.html` and `job.json`. Returns their paths; blocking.

    `new_prompt`: words of the pictures `new-before` and `new-after` among the files.
    """
    described = MessageToDict(job, preserving_proto_field_name=True)
    facts = json.dumps({**_summary(job), "curve": asdict(outputs.curve)}, indent=2, ensure_ascii=False) + "\n"
    written = [*outputs.files, _own_file(TRAINING_FILE, facts.encode())]
    report = TrainingReport(job=job, files=written, curve=outputs.curve, settings=settings, new_prompt=new_prompt)
    contents = {file.filename: file.data for file in written} | {REPORT_FILE: render_training_report(report)}
    return folder.write(contents, {"job": described})


def _own_file(filename: str, data: bytes) -> ReportFile:
    return ReportFile(filename, "facts", 0, Artifact(media_type="application/json", size_bytes=len(data)), data)


def _summary(job: Job) -> dict[str, object]:
    """What was asked for and how it went, without the list of files."""
    stage = job.stages[0]
    request = MessageToDict(stage.train, preserving_proto_field_name=True)
    request.pop("dataset", None)
    return {
        "job": job.name,
        "request": request,
        "receipt": MessageToDict(stage.receipt, preserving_proto_field_name=True),
        "warnings": list(stage.warnings),
    }


async def fetch_comparison(client: AsyncKerf, job: Job) -> list[ReportFile]:
    """The pictures of a comparison job: `new-before.png` and `new-after.png`. Raises KerfError."""
    pictures = [
        (role, artifact)
        for role, stage in zip((NEW_BEFORE, NEW_AFTER), job.stages, strict=False)
        for artifact in stage.outputs[:1]
    ]
    datas = await asyncio.gather(*(client.download(artifact.name, job=job.name) for _, artifact in pictures))
    found = zip(pictures, datas, strict=True)
    return [ReportFile(f"{role}.png", role, 0, artifact, data) for (role, artifact), data in found]


def with_files(outputs: TrainingOutputs, more: list[ReportFile]) -> TrainingOutputs:
    """The same with more files."""
    return replace(outputs, files=[*outputs.files, *more])
