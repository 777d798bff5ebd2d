"""From a job that ended well to the folder that a person gets. Knows no command line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from kerf.jobs.v1.job_pb2 import Job
from kerf_client.aio import AsyncKerf
from kerf_client.facts import PlanFacts, plan_facts
from kerf_client.folder import ResultFolder
from kerf_client.formats import FileFormat
from kerf_client.outputs import PLAN_ROLES, REPORT_FILE, NamedOutput, name_outputs, source_filename
from kerf_client.parallel import map_parallel
from kerf_client.report import Report, ReportFile, render_report

_PARALLEL_DOWNLOADS = 4


@dataclass(frozen=True)
class Description:
    """Words around the result: title and subtitle of the report, and the facts shown below them."""

    title: str
    subtitle: str
    settings: dict[str, str]


async def fetch_outputs(client: AsyncKerf, job: Job, formats: frozenset[FileFormat]) -> list[ReportFile]:
    """Download every output whose role is known, each checked against its SHA-256."""

    async def fetch(output: NamedOutput) -> ReportFile:
        data = await client.download(output.artifact.name, job=job.name)
        return ReportFile(output.filename, output.role, output.item, output.artifact, data, output.wanted)

    return await map_parallel(fetch, name_outputs(job, formats), _PARALLEL_DOWNLOADS)


async def fetch_source(client: AsyncKerf, job: Job) -> list[ReportFile]:
    """The picture that a job of `recipes.picture_job` began with, to be kept; none for any other job."""
    if job.labels.get("recipe") != "picture":
        return []
    name = job.stages[0].inputs[0].artifact
    artifact = await client.get_artifact(name)
    return [ReportFile(source_filename(artifact.media_type), "picture", 0, artifact, await client.download(name))]


def facts_of(files: list[ReportFile]) -> list[PlanFacts]:
    """What each plan says of itself, in the order of the items; none without a plan."""
    items = sorted({file.item for file in files if file.role in PLAN_ROLES})
    return [_facts_of_item([file for file in files if file.item == item]) for item in items]


def _facts_of_item(files: list[ReportFile]) -> PlanFacts:
    labels = [dict(file.artifact.labels) for file in files if file.role in PLAN_ROLES]
    gcode, report = (next((file.data for file in files if file.role == role), b"") for role in ("gcode", "report"))
    return plan_facts(labels, gcode, report)


def write_results(
    folder: ResultFolder, job: Job, files: list[ReportFile], sources: list[ReportFile], words: Description
) -> list[Path]:
    """Write the files that were asked for, `report.html` and `job.json`. Returns their paths; blocking.

    `sources` is what the job began with: shown first, and written too where it is wanted.
    """
    shown = [*sources, *files]
    written = [file for file in shown if file.wanted]
    report = Report(
        title=words.title,
        subtitle=words.subtitle,
        job=job,
        shown=shown,
        written=written,
        facts=facts_of(files),
        settings=words.settings,
    )
    contents = {file.filename: file.data for file in written} | {REPORT_FILE: render_report(report)}
    return folder.write(contents, {"job": message_json(job)})


def message_json(message: Message, *, zeros: bool = False) -> dict[str, object]:
    """A message as JSON (protobuf's mapping, field names as in the proto); `zeros` = also numbers that are 0."""
    result: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=zeros
    )
    return result


def files_json(paths: list[Path]) -> list[dict[str, object]]:
    """Path, size and SHA-256 of written files; blocking."""
    listed: list[dict[str, object]] = []
    for path in paths:
        data = path.read_bytes()
        listed.append({"path": str(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return listed
