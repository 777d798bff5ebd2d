"""Captions of any number of pictures, in as few jobs as it takes. Knows no command line."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from google.rpc.status_pb2 import Status

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, JobState, Stage
from kerf_client.errors import JobFailed, unpack_details
from kerf_client.recipes import CAPTION, MAX_CAPTIONED, Captioning, caption_job, caption_slices

_MAX_CAPTION_BYTES = 64 * 1024

RunJob = Callable[[Job], Awaitable[Job]]
"""Runs a job to its end. Raises JobFailed and other KerfErrors."""

Download = Callable[[str, int], Awaitable[bytes]]
"""The bytes of an artifact, at most so many."""


@dataclass(frozen=True)
class Uncaptioned:
    """Why a picture has no caption."""

    reason: str
    message: str


@dataclass
class CaptionOutcome:
    """By artifact name: its caption, or why it has none. `jobs` did the work; `warnings` are theirs."""

    captions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Uncaptioned] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def caption_pictures(
    artifacts: Sequence[str], captioning: Captioning, run: RunJob, download: Download
) -> CaptionOutcome:
    """Caption `artifacts/<sha256>` pictures, each once.

    A picture that fails is told and the others go on. Raises JobFailed where not even one stage worked at first:
    then it is the captioner, not the pictures.
    """
    outcome = CaptionOutcome()
    remaining = list(dict.fromkeys(artifacts))
    while remaining:
        batch = remaining[:MAX_CAPTIONED]
        job, failed = await _run(run, caption_job(batch, captioning))
        outcome.jobs.append(job.name)
        not_run: list[str] = []
        for (start, end), stage in zip(caption_slices(len(batch)), job.stages, strict=True):
            if stage.state == JobState.JOB_STATE_SUCCEEDED:
                await _collect(stage, batch[start:end], download, outcome)
            elif stage.state == JobState.JOB_STATE_FAILED:
                outcome.failures |= dict.fromkeys(batch[start:end], _why(job.error))
            else:
                not_run += batch[start:end]
        remaining = not_run + remaining[len(batch) :]
        if failed is not None and not _any_succeeded(job):
            if not outcome.captions:
                raise failed
            outcome.failures |= dict.fromkeys(remaining, _why(job.error))
            break
    return outcome


async def _run(run: RunJob, job: Job) -> tuple[Job, JobFailed | None]:
    try:
        return await run(job), None
    except JobFailed as failed:
        return failed.job, failed


def _any_succeeded(job: Job) -> bool:
    return any(stage.state == JobState.JOB_STATE_SUCCEEDED for stage in job.stages)


async def _collect(stage: Stage, pictures: list[str], download: Download, outcome: CaptionOutcome) -> None:
    outcome.warnings += [text for text in stage.warnings if text not in outcome.warnings]
    for position, artifact in enumerate(stage.outputs):
        if artifact.labels.get("role", "") != CAPTION:
            continue
        item = item_of(artifact, position)
        if item < len(pictures):
            outcome.captions[pictures[item]] = await caption_text(artifact, download)
    for failure in stage.item_failures:
        if 0 <= failure.item < len(pictures):
            outcome.failures[pictures[failure.item]] = _why(failure.error)
    for name in pictures:
        if name not in outcome.captions and name not in outcome.failures:
            text = "the captioner gave neither a caption nor a reason for this picture"
            outcome.failures[name] = Uncaptioned("NO_CAPTION", text)


def item_of(artifact: Artifact, position: int) -> int:
    """Index of the input that an output was made from; its `position` where it does not say."""
    label = artifact.labels.get("item", "")
    return int(label) if label.isascii() and label.isdecimal() and len(label) <= 4 else position


async def caption_text(artifact: Artifact, download: Download) -> str:
    """The caption. Its label is taken where it is the whole of the bytes, which saves a download."""
    label = artifact.labels.get("text", "")
    if label and hashlib.sha256(label.encode()).hexdigest() == artifact.sha256:
        return label.strip()
    data = await download(artifact.name, _MAX_CAPTION_BYTES)
    return data.decode(errors="replace").strip()


def _why(error: Status) -> Uncaptioned:
    details = unpack_details(error)
    reason = details.reason or "UNKNOWN"
    violations = "; ".join(each.description for each in details.violations if each.description not in error.message)
    return Uncaptioned(reason, ": ".join(text for text in (error.message, violations) if text) or reason)
