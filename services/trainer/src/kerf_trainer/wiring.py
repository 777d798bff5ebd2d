"""Puts the parts together that both doors share."""

from __future__ import annotations

from kerf_core.blobs import BlobStore
from kerf_media.decode import PictureLimits
from kerf_models.devices import Compute, choose_compute
from kerf_sd.models import LIBRARIES
from kerf_trainer.adapters.datasets import DatasetReader
from kerf_trainer.adapters.engine import BaseModel, TorchEngine
from kerf_trainer.domain.linting import DatasetLimits
from kerf_trainer.domain.parameters import ParameterLimits, Precision
from kerf_trainer.domain.workshop import Workshop
from kerf_trainer.settings import TrainerSettings


def choose_compute_for(settings: TrainerSettings) -> Compute:
    """The device that the settings lead to; its `reason` is for the log. Raises FailedPrecondition."""
    return choose_compute(settings.device, threads=settings.threads, libraries=LIBRARIES)


def build_workshop(settings: TrainerSettings, compute: Compute) -> Workshop:
    """A workshop with the settings' base models and limits; loads nothing yet."""
    precision = settings.precision
    if precision is Precision.AUTO:
        precision = Precision.BFLOAT16 if compute.device.type == "cuda" else Precision.FLOAT32
    engine = TorchEngine(
        {name: BaseModel(**entry.model_dump()) for name, entry in settings.models.items()},
        default_model=settings.resolved_default_model,
        compute=compute,
        precision=precision,
        local_files_only=settings.local_files_only,
    )
    limits = ParameterLimits(settings.max_steps, settings.max_resolution_px, settings.max_batch_size)
    return Workshop(engine, dataset_limits_of(settings), limits, settings.checkpoint_every_steps)


def dataset_limits_of(settings: TrainerSettings) -> DatasetLimits:
    """What the operator allows of datasets."""
    return DatasetLimits(
        max_files=settings.max_files,
        max_pictures=settings.max_pictures,
        max_bytes=settings.max_dataset_bytes,
        max_caption_chars=settings.max_caption_chars,
        min_side_px=settings.small_side_px,
        picture=PictureLimits(max_bytes=settings.max_picture_bytes, max_pixels=settings.max_picture_pixels),
    )


def build_reader(settings: TrainerSettings, blobs: BlobStore) -> DatasetReader:
    """Brings datasets here, from S3 and from the settings' folder."""
    return DatasetReader(blobs, settings.datasets_dir, dataset_limits_of(settings))
