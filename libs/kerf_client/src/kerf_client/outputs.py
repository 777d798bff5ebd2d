"""Which file each output of a job becomes. Pure; no name ever comes from the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job
from kerf.optimizer.v1.plan_pb2 import OutputFormat
from kerf_client.formats import DEFAULT_FORMATS, FileFormat
from kerf_client.recipes import SHAPE

_EXTENSION = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
}
_STEM_AND_EXTENSION = {
    "picture": ("picture", ""),
    "raster": ("burn", ".png"),
    "layer": ("slice", ".png"),
    "power-map": ("power-map", ".png"),
    "burn-preview": ("simulated-burn", ".png"),
    "vector": ("drawing", ".svg"),
    "gcode": ("plan", ".gcode"),
    "svg": ("plan", ".svg"),
    "dxf": ("plan", ".dxf"),
    "preview": ("preview", ".png"),
    "job-sheet": ("job-sheet", ".html"),
    "pdf": ("plan", ".pdf"),
    "lbrn2": ("plan", ".lbrn2"),
    "burn-picture": ("plan-burn", ".png"),
    "report": ("plan-report", ".json"),
    "frame": ("frame", ".gcode"),
    "caption": ("caption", ".txt"),
}
_FORMAT_OF_ROLE = {
    "picture": FileFormat.PNG,
    "raster": FileFormat.PNG,
    "layer": FileFormat.PNG,
    "power-map": FileFormat.PNG,
    "burn-preview": FileFormat.PNG,
    "vector": FileFormat.SVG,
    "svg": FileFormat.SVG,
    "gcode": FileFormat.GCODE,
    "dxf": FileFormat.DXF,
    "preview": FileFormat.PREVIEW,
    "pdf": FileFormat.PDF,
    "lbrn2": FileFormat.LBRN2,
    "burn-picture": FileFormat.BURN,
    "report": FileFormat.REPORT,
    "frame": FileFormat.FRAME,
}

ROLE_OF_OUTPUT = {
    OutputFormat.OUTPUT_FORMAT_GCODE: "gcode",
    OutputFormat.OUTPUT_FORMAT_SVG: "svg",
    OutputFormat.OUTPUT_FORMAT_DXF: "dxf",
    OutputFormat.OUTPUT_FORMAT_PREVIEW_PNG: "preview",
    OutputFormat.OUTPUT_FORMAT_JOB_SHEET: "job-sheet",
    OutputFormat.OUTPUT_FORMAT_PDF: "pdf",
    OutputFormat.OUTPUT_FORMAT_LBRN2: "lbrn2",
    OutputFormat.OUTPUT_FORMAT_BURN_PNG: "burn-picture",
    OutputFormat.OUTPUT_FORMAT_REPORT_JSON: "report",
    OutputFormat.OUTPUT_FORMAT_FRAME_GCODE: "frame",
}
"""The role that a plan's file has as an artifact of a job."""

PLAN_ROLES = frozenset(ROLE_OF_OUTPUT.values())

_SLICE = "layer"
"""What the slices of a relief but its first are here: rasters of one item, numbered by their order."""

REPORT_FILE, MANIFEST_FILE = "report.html", "job.json"
_STEMS = {stem for stem, _ in _STEM_AND_EXTENSION.values()} | {"shape"}
_EXTENSIONS = {extension for _, extension in _STEM_AND_EXTENSION.values()} - {""} | {*_EXTENSION.values(), ".bin"}


@dataclass(frozen=True)
class NamedOutput:
    """An artifact and the file it becomes. `item` counts pictures from 0; `wanted` = the person asked for the file."""

    artifact: Artifact
    stage: str
    role: str
    item: int
    filename: str
    wanted: bool = True


def name_outputs(job: Job, formats: frozenset[FileFormat] = DEFAULT_FORMATS) -> list[NamedOutput]:
    """All outputs whose role is known, in the order of the stages; several of a kind are numbered from 1."""
    found = [
        (stage.id, artifact, _role_of(artifact))
        for stage in job.stages
        for artifact in stage.outputs
        if _role_of(artifact) in _STEM_AND_EXTENSION
    ]
    counts = Counter((stage, role) for stage, _, role in found)
    seen: Counter[tuple[str, str]] = Counter()
    named = []
    for stage, artifact, role in found:
        several = counts[stage, role] > 1
        item = _item_of(artifact, seen[stage, role]) if several else 0
        number = seen[stage, role] if role == _SLICE else item
        seen[stage, role] += 1
        filename = _filename(stage, role, artifact.media_type, number + 1 if several else None)
        named.append(NamedOutput(artifact, stage, role, item, filename, wanted_format(role, formats)))
    return _without_clashes(named)


def wanted_format(role: str, formats: Collection[FileFormat]) -> bool:
    """True if a file of this role is written; what no format stands for always is."""
    return _FORMAT_OF_ROLE.get(role) in {*formats, None}


def plan_filename(role: str) -> str:
    """The file that an output of a single plan becomes; `role` is one of PLAN_ROLES."""
    stem, extension = _STEM_AND_EXTENSION[role]
    return stem + extension


def source_filename(media_type: str) -> str:
    """The file that a picture given by the person is kept as."""
    return "picture" + _EXTENSION.get(media_type, ".bin")


def possible_filename(filename: str) -> bool:
    """True for a name that a run may write."""
    if filename in {REPORT_FILE, MANIFEST_FILE}:
        return True
    stem, dot, extension = filename.partition(".")
    base, _, number = stem.rpartition("-")
    known = stem in _STEMS or (base in _STEMS and number.isdecimal())
    return known and f"{dot}{extension}" in _EXTENSIONS


def _role_of(artifact: Artifact) -> str:
    role = artifact.labels.get("role", "")
    return _SLICE if role == "raster" and artifact.labels.get("layer", "0") != "0" else role


def _item_of(artifact: Artifact, position: int) -> int:
    label = artifact.labels.get("item", "")
    return int(label) if label.isdecimal() and len(label) <= 4 else position


def _filename(stage: str, role: str, media_type: str, number: int | None) -> str:
    stem, extension = _STEM_AND_EXTENSION[role]
    if stage == SHAPE and role == "raster":
        stem = "shape"
    suffix = "" if number is None else f"-{number}"
    return f"{stem}{suffix}{extension or _EXTENSION.get(media_type, '.bin')}"


def _without_clashes(named: list[NamedOutput]) -> list[NamedOutput]:
    """The first of each file name: a job of an unusual shape must not make one file overwrite another."""
    by_name: dict[str, NamedOutput] = {}
    for output in named:
        by_name.setdefault(output.filename, output)
    return list(by_name.values())
