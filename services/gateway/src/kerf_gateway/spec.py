"""Whether a job makes sense as a whole, beyond what its fields' own rules say; and its choices, made once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf_core.blobs import BlobStore
from kerf_core.catalog import CatalogReader
from kerf_core.errors import InvalidArgument, NotFound, Violation
from kerf_core.jobs.log import now
from kerf_core.stages import JobId, TenantId
from kerf_gateway.settings import GatewaySettings

KIND_OF_TASK = {
    "generate": "diffusion",
    "optimize": "optimizer",
    "vectorize": "optimizer",
    "plan": "optimizer",
    "caption": "captioner",
    "train": "trainer",
    "noop": "noop",
}
_ARTIFACT = "artifacts/"
_NO_INPUTS = frozenset({"generate", "train", "noop"})
_PICTURE_FIELD = {"optimize": "source", "vectorize": "source", "caption": "picture"}
"""Tasks that work on one picture, and the field that a direct call gives it in."""


def kinds_of(job: Job) -> list[str]:
    """Kind of worker that each stage needs."""
    return [KIND_OF_TASK[str(stage.WhichOneof("task"))] for stage in job.stages]


def clean(job: Job) -> Job:
    """A copy with what the caller chooses only: output-only fields are dropped."""
    kept = Job(priority=job.priority, labels=dict(job.labels), reproducible=job.reproducible)
    if job.HasField("deadline"):
        kept.deadline.CopyFrom(job.deadline)
    for stage in job.stages:
        copy = kept.stages.add(id=stage.id)
        copy.inputs.extend(stage.inputs)
        task = str(stage.WhichOneof("task"))
        getattr(copy, task).CopyFrom(getattr(stage, task))
    return kept


def make_choices(job: Job, job_id: JobId | None = None) -> Job:
    """A copy in which nothing is left to chance: every attempt at a stage computes the same.

    With a `job_id` the choices follow from it, so that they are the same whenever they are made again.
    """
    chosen = Job()
    chosen.CopyFrom(job)
    for stage in chosen.stages:
        if stage.HasField("generate") and not stage.generate.HasField("seed"):
            stage.generate.seed = _draw_seed(job_id, stage.id) % (1 << 32)
        if stage.HasField("train") and not stage.train.parameters.HasField("seed"):
            stage.train.parameters.seed = _draw_seed(job_id, stage.id) % (1 << 31)
    return chosen


def _draw_seed(job_id: JobId | None, stage: str) -> int:
    if job_id is None:
        return secrets.randbits(64)
    return int.from_bytes(hashlib.sha256(f"{job_id}/{stage}".encode()).digest()[:8], "big")


def check_shape(jobs: Mapping[str, Job], settings: GatewaySettings) -> None:
    """Raise InvalidArgument naming everything that is wrong with the jobs themselves. `jobs`: by their field's name."""
    violations: list[Violation] = []
    for where, job in jobs.items():
        violations += _job_violations(job, where, settings)
        for index, stage in enumerate(job.stages):
            earlier = [other.id for other in job.stages[:index]]
            violations += _stage_violations(stage, f"{where}.stages[{index}]", earlier)
    if violations:
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise InvalidArgument("INVALID_FIELD", text, violations=tuple(violations))


def _job_violations(job: Job, where: str, settings: GatewaySettings) -> Iterator[Violation]:
    size = job.ByteSize()
    if size > settings.max_spec_bytes:
        limit = settings.max_spec_bytes
        yield Violation(where, f"has {size} bytes, at most {limit} fit: upload pictures as artifacts")
    label_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in job.labels.items())
    if label_bytes > settings.max_label_bytes:
        yield Violation(f"{where}.labels", f"have {label_bytes} bytes together, at most {settings.max_label_bytes} fit")
    if job.HasField("deadline") and job.deadline.ToNanoseconds() <= now().ToNanoseconds():
        yield Violation(f"{where}.deadline", "has passed")


def _stage_violations(stage: Stage, where: str, earlier: list[str]) -> Iterator[Violation]:
    task = str(stage.WhichOneof("task"))
    if stage.id in earlier:
        yield Violation(f"{where}.id", f"{stage.id!r} is the id of an earlier stage")
    for number, source in enumerate(stage.inputs):
        if source.HasField("from_stage") and source.from_stage.stage not in earlier:
            known = ", ".join(earlier) or "there is none"
            text = f"no earlier stage has the id {source.from_stage.stage!r} (earlier: {known})"
            yield Violation(f"{where}.inputs[{number}].from_stage.stage", text)
    if task in _NO_INPUTS and stage.inputs:
        yield Violation(f"{where}.inputs", f"{task} takes no inputs")
    if task not in _NO_INPUTS and not stage.inputs and not stage.plan.drawings:
        yield Violation(f"{where}.inputs", f"{task} needs at least one input")
    field = _PICTURE_FIELD.get(task)
    if field is not None and getattr(stage, task).HasField(field):
        yield Violation(f"{where}.{task}.{field}", "must be unset in a job: the stage's inputs are the pictures")
    if task == "plan":
        yield from _plan_violations(stage, where)


def _plan_violations(stage: Stage, where: str) -> Iterator[Violation]:
    if stage.plan.sources:
        yield Violation(f"{where}.plan.sources", "must be empty in a job: the stage's inputs are the sources")
    for number, operation in enumerate(stage.plan.operations):
        field = f"{where}.plan.operations[{number}]"
        if operation.HasField("drawing"):
            if operation.drawing >= len(stage.plan.drawings):
                text = f"is {operation.drawing}, but the plan has {len(stage.plan.drawings)} drawings (counted from 0)"
                yield Violation(f"{field}.drawing", text)
        elif operation.input >= len(stage.inputs):
            text = f"is {operation.input}, but the stage has {len(stage.inputs)} inputs (counted from 0)"
            yield Violation(f"{field}.input", text)
        if operation.kind == 0:
            yield Violation(f"{field}.kind", "must be given")
    if 0 in stage.plan.outputs:
        yield Violation(f"{where}.plan.outputs", "must not name OUTPUT_FORMAT_UNSPECIFIED")


async def check_names(job: Job, field: str, tenant: TenantId, catalog: CatalogReader, blobs: BlobStore) -> None:
    """Raise NotFound, FailedPrecondition or InvalidArgument if the job names what is not there or cannot serve."""
    for index, stage in enumerate(job.stages):
        where = f"{field}.stages[{index}]"
        task = str(stage.WhichOneof("task"))
        await _check_catalog(stage, catalog)
        for named, name in _artifacts_named(stage):
            await _check_artifact(name, tenant, blobs, f"{where}.{named}")
        for number, source in enumerate(stage.inputs):
            if source.HasField("artifact"):
                named = f"{where}.inputs[{number}].artifact"
                artifact = await _check_artifact(source.artifact, tenant, blobs, named)
                if task in _PICTURE_FIELD and not artifact.media_type.startswith("image/"):
                    text = f"is {artifact.media_type or 'of unknown type'}, not a picture that can be decoded"
                    raise InvalidArgument.of_field(named, text, reason="NOT_A_PICTURE")


async def _check_catalog(stage: Stage, catalog: CatalogReader) -> None:
    if stage.HasField("generate"):
        await catalog.check("diffusion", "model", stage.generate.model, "MODEL_NOT_INSTALLED")
        for lora in stage.generate.loras:
            if not lora.name.startswith(_ARTIFACT):
                await catalog.check("diffusion", "lora", lora.name, "LORA_NOT_INSTALLED")
    elif stage.HasField("plan"):
        await catalog.check("optimizer", "material", stage.plan.material, "MATERIAL_UNKNOWN")
        await catalog.check("optimizer", "machine", stage.plan.machine, "MACHINE_UNKNOWN")
    elif stage.HasField("caption"):
        await catalog.check("captioner", "model", stage.caption.options.model, "MODEL_NOT_INSTALLED")
    elif stage.HasField("train"):
        await catalog.check("trainer", "model", stage.train.base_model, "MODEL_NOT_INSTALLED")
        await catalog.check("trainer", "preset", stage.train.preset, "PRESET_UNKNOWN")


def _artifacts_named(stage: Stage) -> Iterator[tuple[str, str]]:
    """(field, name) of the artifacts that a task names itself. A dataset's single files are the trainer's to check."""
    for number, lora in enumerate(stage.generate.loras):
        if lora.name.startswith(_ARTIFACT):
            yield f"generate.loras[{number}].name", lora.name
    if stage.train.dataset.HasField("manifest"):
        yield "train.dataset.manifest", stage.train.dataset.manifest


async def _check_artifact(name: str, tenant: TenantId, blobs: BlobStore, field: str) -> Artifact:
    try:
        return await blobs.stat(tenant, name.removeprefix(_ARTIFACT))
    except NotFound as error:
        text = f"{name} does not exist: upload it first"
        raise NotFound("ARTIFACT_NOT_FOUND", f"{field}: {text}", violations=(Violation(field, text),)) from error
