"""The jobs' door: stages to and from the domain, nothing else."""

from __future__ import annotations

import hashlib

from kerf.jobs.v1.job_pb2 import ModelUse
from kerf_core.errors import InvalidArgument
from kerf_core.stages import StageContext, StageResult
from kerf_diffusion.adapters.lora_artifacts import LoraArtifacts, artifacts_among
from kerf_diffusion.domain.engine import Picture
from kerf_diffusion.domain.requests import SEED_RANGE, PictureRequest
from kerf_diffusion.domain.studio import Drawing, Studio
from kerf_diffusion.servicer import read_request


class DiffusionHandler:
    """Does the `generate` stages of jobs: one PNG artifact per picture."""

    kind = "diffusion"

    def __init__(self, studio: Studio, loras: LoraArtifacts) -> None:
        self._studio = studio
        self._loras = loras

    async def run(self, context: StageContext) -> StageResult:
        """See `kerf_core.stages.StageHandler`. Outputs are in the order of their seeds."""
        request = _read_stage(context)
        await self._loras.fetch(context.tenant, artifacts_among(request.loras))
        listener = _StageListener(context)
        drawing = await context.compute(self._studio.draw, request, listener, context.cancel.raise_if_cancelled)
        outputs = [
            await context.store(
                picture.png,
                "image/png",
                size_px=(picture.width_px, picture.height_px),
                labels={"role": "picture", "seed": str(picture.seed), "item": str(item)},
                rebuildable=True,
            )
            for item, picture in enumerate(listener.pictures)
        ]
        return StageResult(
            outputs=outputs,
            warnings=drawing.warnings,
            models=_models_used(drawing),
            seeds=drawing.seeds,
            numeric_class=drawing.numeric_class,
            versions=drawing.versions,
            device_seconds=drawing.device_seconds,
        )


class _StageListener:
    """Passes on what the studio tells, and keeps the pictures."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self.pictures: list[Picture] = []

    def progress(self, step: int, total: int, eta_seconds: float, message: str) -> None:
        """See `Listener`."""
        self._context.progress(step, total, eta_seconds=eta_seconds, message=message)

    def preview(self, image: int, step: int, png: bytes) -> None:
        """See `Listener`."""
        self._context.preview(image, step, png)

    def picture(self, image: int, picture: Picture) -> None:
        """See `Listener`."""
        self.pictures.append(picture)


def _read_stage(context: StageContext) -> PictureRequest:
    task = context.stage.WhichOneof("task")
    if task != "generate":
        raise InvalidArgument.of_field("task", f"the diffusion worker does generate, not {task}")
    if any(context.inputs):
        raise InvalidArgument.of_field("inputs", "generate draws from words and takes no inputs; leave them out")
    return read_request(context.stage.generate, _stage_seed(context))


def _stage_seed(context: StageContext) -> int:
    """The seed where the task has none: of the job and the stage, so that every attempt draws the same pictures."""
    digest = hashlib.sha256(f"{context.job}/{context.stage.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % SEED_RANGE


def _models_used(drawing: Drawing) -> list[ModelUse]:
    models = [ModelUse(name=drawing.model.name, sha256=drawing.model.sha256)]
    return models + [ModelUse(name=lora.name, sha256=lora.sha256) for lora in drawing.loras]
