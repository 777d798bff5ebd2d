"""Which file each output of a job becomes. Pure; no name ever comes from the server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job
from kerf_client.recipes import SHAPE, FileFormat

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
    "vector": ("drawing", ".svg"),
    "gcode": ("plan", ".gcode"),
    "svg": ("plan", ".svg"),
    "dxf": ("plan", ".dxf"),
    "preview": ("preview", ".png"),
    "job-sheet": ("job-sheet", ".html"),
    "caption": ("caption", ".txt"),
}
_FORMAT_OF_ROLE = {
    "picture": FileFormat.PNG,
    "raster": FileFormat.PNG,
    "vector": FileFormat.SVG,
    "svg": FileFormat.SVG,
    "gcode": FileFormat.GCODE,
    "dxf": FileFormat.DXF,
    "preview": FileFormat.PREVIEW,
}
REPORT_FILE, MANIFEST_FILE = "report.html", "job.json"


@dataclass(frozen=True)
class NamedOutput:
    """An artifact and the file it becomes. `item` counts pictures from 0; `wanted` = the person asked for the file."""

    artifact: Artifact
    stage: str
    role: str
    item: int
    filename: str
    wanted: bool = True


def name_outputs(job: Job, formats: frozenset[FileFormat] = frozenset(FileFormat)) -> list[NamedOutput]:
    """All outputs whose role is known, in the order of the stages; several of a kind are numbered from 1."""
    found = [
        (stage.id, artifact, artifact.labels.get("role", ""))
        for stage in job.stages
        for artifact in stage.outputs
        if artifact.labels.get("role", "") in _STEM_AND_EXTENSION
    ]
    counts = Counter((stage, role) for stage, _, role in found)
    seen: Counter[tuple[str, str]] = Counter()
    named = []
    for stage, artifact, role in found:
        several = counts[stage, role] > 1
        item = _item_of(artifact, seen[stage, role]) if several else 0
        seen[stage, role] += 1
        filename = _filename(stage, role, artifact.media_type, item + 1 if several else None)
        named.append(NamedOutput(artifact, stage, role, item, filename, _FORMAT_OF_ROLE.get(role) in {*formats, None}))
    return _without_clashes(named)


def source_filename(media_type: str) -> str:
    """The file that a picture given by the person is kept as."""
    return "picture" + _EXTENSION.get(media_type, ".bin")


def possible_filename(filename: str) -> bool:
    """True for a name that a run may write."""
    if filename in {REPORT_FILE, MANIFEST_FILE}:
        return True
    stem, dot, extension = filename.partition(".")
    base, _, number = stem.rpartition("-")
    stems = {"picture", "burn", "shape", "drawing", "plan", "preview", "job-sheet", "caption"}
    known = stem in stems or (base in stems and number.isdecimal())
    return known and f"{dot}{extension}" in {
        ".png",
        ".svg",
        ".gcode",
        ".dxf",
        ".html",
        ".txt",
        ".bin",
        *_EXTENSION.values(),
    }


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
