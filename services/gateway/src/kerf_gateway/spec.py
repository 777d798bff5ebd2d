"""Whether a job makes sense as a whole, beyond what its fields' own rules say; and its choices, made once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf_core.blobs import BlobStore
from kerf_core.catalog import CatalogReader
from kerf_core.errors import InvalidArgument, NotFound, Violation
from kerf_core.jobs.log import now
from kerf_core.stages import TenantId
from kerf_gateway.settings import GatewaySettings

KIND_OF_TASK = {
    "generate": "diffusion",
    "optimize": "optimizer",
    "vectorize": "optimizer",
    "plan": "optimizer",
    "noop": "noop",
}
_NO_INPUTS = frozenset({"generate", "noop"})


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


def make_choices(job: Job) -> Job:
    """A copy in which nothing is left to chance: every attempt at a stage computes the same."""
    chosen = Job()
    chosen.CopyFrom(job)
    for stage in chosen.stages:
        if stage.HasField("generate") and not stage.generate.HasField("seed"):
            stage.generate.seed = secrets.randbelow(1 << 32)
    return chosen


def check_shape(job: Job, settings: GatewaySettings) -> None:
    """Raise InvalidArgument naming everything that is wrong with the job itself."""
    violations = list(_job_violations(job, settings))
    for index, stage in enumerate(job.stages):
        earlier = [other.id for other in job.stages[:index]]
        violations += _stage_violations(stage, f"job.stages[{index}]", earlier)
    if violations:
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise InvalidArgument("INVALID_FIELD", text, violations=tuple(violations))


def _job_violations(job: Job, settings: GatewaySettings) -> Iterator[Violation]:
    size = job.ByteSize()
    if size > settings.max_spec_bytes:
        limit = settings.max_spec_bytes
        yield Violation("job", f"has {size} bytes, at most {limit} fit: upload pictures as artifacts")
    label_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in job.labels.items())
    if label_bytes > settings.max_label_bytes:
        yield Violation("job.labels", f"have {label_bytes} bytes together, at most {settings.max_label_bytes} fit")
    if job.HasField("deadline") and job.deadline.ToNanoseconds() <= now().ToNanoseconds():
        yield Violation("job.deadline", "has passed")


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
    if task not in _NO_INPUTS and not stage.inputs:
        yield Violation(f"{where}.inputs", f"{task} needs at least one input")
    if task in ("optimize", "vectorize") and getattr(stage, task).HasField("source"):
        yield Violation(f"{where}.{task}.source", "must be unset in a job: the stage's inputs are the source")
    if task == "plan":
        yield from _plan_violations(stage, where)


def _plan_violations(stage: Stage, where: str) -> Iterator[Violation]:
    if stage.plan.sources:
        yield Violation(f"{where}.plan.sources", "must be empty in a job: the stage's inputs are the sources")
    for number, operation in enumerate(stage.plan.operations):
        field = f"{where}.plan.operations[{number}]"
        if operation.input >= len(stage.inputs):
            text = f"is {operation.input}, but the stage has {len(stage.inputs)} inputs (counted from 0)"
            yield Violation(f"{field}.input", text)
        if operation.kind == 0:
            yield Violation(f"{field}.kind", "must be given")
    if 0 in stage.plan.outputs:
        yield Violation(f"{where}.plan.outputs", "must not name OUTPUT_FORMAT_UNSPECIFIED")


async def check_names(job: Job, tenant: TenantId, catalog: CatalogReader, blobs: BlobStore) -> None:
    """Raise NotFound, FailedPrecondition or InvalidArgument if the job names what is not there or cannot serve."""
    for index, stage in enumerate(job.stages):
        where = f"job.stages[{index}]"
        task = str(stage.WhichOneof("task"))
        if task == "generate":
            await _check_models(stage.generate, catalog)
        elif task == "plan":
            await catalog.check("optimizer", "material", stage.plan.material, "MATERIAL_UNKNOWN")
            await catalog.check("optimizer", "machine", stage.plan.machine, "MACHINE_UNKNOWN")
        for number, source in enumerate(stage.inputs):
            if source.HasField("artifact"):
                await _check_artifact(source.artifact, tenant, blobs, task, f"{where}.inputs[{number}].artifact")


async def _check_models(request: GenerateRequest, catalog: CatalogReader) -> None:
    await catalog.check("diffusion", "model", request.model, "MODEL_NOT_INSTALLED")
    for lora in request.loras:
        await catalog.check("diffusion", "lora", lora.name, "LORA_NOT_INSTALLED")


async def _check_artifact(name: str, tenant: TenantId, blobs: BlobStore, task: str, field: str) -> None:
    try:
        artifact = await blobs.stat(tenant, name.removeprefix("artifacts/"))
    except NotFound as error:
        text = f"{name} does not exist: upload it first"
        raise NotFound("ARTIFACT_NOT_FOUND", f"{field}: {text}", violations=(Violation(field, text),)) from error
    if task in ("optimize", "vectorize") and not artifact.media_type.startswith("image/"):
        text = f"is {artifact.media_type or 'of unknown type'}, not a picture that can be decoded"
        raise InvalidArgument.of_field(field, text, reason="NOT_A_PICTURE")
