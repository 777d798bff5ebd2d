"""The jobs' door: stages to and from the domain, nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import ModelUse
from kerf_core.errors import InvalidArgument, ResourceExhausted, Unavailable
from kerf_core.stages import StageContext, StageResult
from kerf_trainer.adapters.datasets import DatasetReader
from kerf_trainer.domain.workshop import FinishedTraining, PreparedTraining, TrainingOrder, Workshop
from kerf_trainer.messages import curve_json, read_dataset, read_order

LOG = logging.getLogger(__name__)
LORA_MEDIA_TYPE = "application/octet-stream"
_SEED_RANGE = 1 << 31


class TrainerHandler:
    """Does the `train` stages of jobs: a LoRA, its curve, and pictures from before and after."""

    kind = "trainer"

    def __init__(self, workshop: Workshop, reader: DatasetReader) -> None:
        self._workshop = workshop
        self._reader = reader

    async def run(self, context: StageContext) -> StageResult:
        """See `kerf_core.stages.StageHandler`. Goes on from the latest checkpoint."""
        order = await self._read_stage(context)
        listener = _StageListener(context)
        prepared = await context.compute(self._prepare, order, listener, context)
        found = await context.latest_checkpoint()
        checkpoint = found[1] if found is not None else None
        finished = await context.compute(
            self._workshop.train, prepared, listener, context.cancel.raise_if_cancelled, checkpoint
        )
        return StageResult(
            outputs=await _store(context, finished),
            warnings=list(finished.warnings),
            models=[ModelUse(name=finished.plan.base_model, sha256=finished.model_sha256)],
            seeds=[finished.plan.parameters.seed],
            numeric_class=finished.numeric_class,
            versions=finished.versions,
            device_seconds=finished.device_seconds,
        )

    def _prepare(self, order: TrainingOrder, listener: _StageListener, context: StageContext) -> PreparedTraining:
        def check() -> None:
            context.cancel.raise_if_cancelled()
            context.progress(0, 0, message="looking at the dataset")

        try:
            return self._workshop.prepare(order, check)
        except InvalidArgument as error:
            if error.reason == "DATASET_BROKEN":  # the error names some in full, the log all
                for defect in self._workshop.lint(order.dataset).defects:
                    listener.log(f"{defect.path or 'dataset'}: {defect.reason}: {defect.message}", "error")
            raise

    async def _read_stage(self, context: StageContext) -> TrainingOrder:
        task = context.stage.WhichOneof("task")
        if task != "train":
            raise InvalidArgument.of_field("task", f"the trainer does train, not {task}")
        if any(context.inputs):
            raise InvalidArgument.of_field("inputs", "train takes its pictures from `dataset`; leave inputs out")
        request = context.stage.train
        dataset = await read_dataset(request.dataset, context.tenant, self._reader)
        return read_order(request, dataset, _stage_seed(context))


class _StageListener:
    """Passes on what the workshop tells; called in the thread that computes."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()

    def progress(self, step: int, total: int, eta_seconds: float, message: str, metrics: dict[str, float]) -> None:
        """See `Listener`."""
        self._context.progress(step, total, eta_seconds=eta_seconds, message=message, metrics=metrics)

    def log(self, message: str, level: str = "info") -> None:
        """See `Listener`."""
        self._context.log(message, level)

    def checkpoint(self, step: int, data: bytes) -> None:
        """See `Listener`. A store that is away costs a checkpoint, not the training."""
        try:
            self._wait_for(self._context.save_checkpoint(step, data))
        except (Unavailable, ResourceExhausted) as error:
            LOG.warning("checkpoint after step %d: %s", step, error.message)
            self._context.log(f"the checkpoint after step {step} could not be saved: {error.message}", "warning")

    def unfinished(self, step: int, lora: bytes) -> None:
        """See `Listener`."""
        labels = {"role": "lora", "name": self._context.stage.train.name, "steps": str(step), "unfinished": "true"}
        try:
            self._wait_for(self._save(lora, labels))
        except (Unavailable, ResourceExhausted) as error:
            LOG.warning("unfinished LoRA after step %d: %s", step, error.message)

    async def _save(self, lora: bytes, labels: dict[str, str]) -> None:
        await self._context.save_on_cancel(lora, LORA_MEDIA_TYPE, labels=labels)

    def _wait_for(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _store(context: StageContext, finished: FinishedTraining) -> list[Artifact]:
    """Everything counts as an original: made again it would cost the whole training."""
    plan = finished.plan
    outputs = [
        await context.store(
            finished.lora,
            LORA_MEDIA_TYPE,
            labels={"role": "lora", "name": plan.name, "base_model": plan.base_model, "steps": str(plan.total_steps)},
        )
    ]
    side_px = (plan.resolution_px, plan.resolution_px)
    for role, png in finished.samples:
        outputs.append(await context.store(png, "image/png", size_px=side_px, labels={"role": role}))
    curve = curve_json(finished.curve)
    outputs.append(await context.store(curve, "application/json", labels={"role": "training-curve"}))
    return outputs


def _stage_seed(context: StageContext) -> int:
    """The seed where the task has none: of the job and the stage, so that every attempt trains the same."""
    digest = hashlib.sha256(f"{context.job}/{context.stage.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SEED_RANGE
