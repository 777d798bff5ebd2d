"""Messages of the contract to and from the domain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from kerf.trainer.v1 import dataset_pb2 as dataset_pb
from kerf.trainer.v1 import trainer_pb2 as pb
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_core.stages import TenantId
from kerf_trainer.adapters.datasets import DatasetReader, NamedFile
from kerf_trainer.domain.dataset import Dataset, LintReport
from kerf_trainer.domain.engine import Curve
from kerf_trainer.domain.estimates import Interval
from kerf_trainer.domain.parameters import Parameters, Precision, Schedule
from kerf_trainer.domain.presets import Preset
from kerf_trainer.domain.workshop import TrainingOrder

_ARTIFACT = "artifacts/"
_SCHEDULES = {
    pb.LEARNING_RATE_SCHEDULE_CONSTANT: Schedule.CONSTANT,
    pb.LEARNING_RATE_SCHEDULE_COSINE: Schedule.COSINE,
    pb.LEARNING_RATE_SCHEDULE_LINEAR: Schedule.LINEAR,
}
_PRECISIONS = {
    pb.PRECISION_FLOAT32: Precision.FLOAT32,
    pb.PRECISION_BFLOAT16: Precision.BFLOAT16,
    pb.PRECISION_FLOAT16: Precision.FLOAT16,
}


async def read_dataset(message: dataset_pb.Dataset, tenant: TenantId, reader: DatasetReader) -> Dataset:
    """The dataset that a message names, with its bytes.

    Raises InvalidArgument, FailedPrecondition, NotFound (the manifest), Unavailable.
    """
    if message.WhichOneof("source") == "folder":
        return await reader.read_folder(message.folder, message.caption_suffix)
    files = message.files
    if message.WhichOneof("source") == "manifest":
        data = await reader.read_manifest(tenant, message.manifest.removeprefix(_ARTIFACT))
        files = await asyncio.to_thread(_read_manifest, message.manifest, data)
    named = [NamedFile(file.path, file.data, file.artifact.removeprefix(_ARTIFACT)) for file in files.files]
    return await reader.read_files(tenant, named, message.caption_suffix)


def _read_manifest(name: str, data: bytes) -> dataset_pb.DatasetFiles:
    try:
        files = dataset_pb.DatasetFiles.FromString(data)
    except DecodeError as error:
        raise InvalidArgument.of_field(
            "dataset.manifest", f"{name} is no DatasetFiles message", "MANIFEST_BROKEN"
        ) from error
    validate(files)
    return files


def read_order(message: pb.TrainRequest, dataset: Dataset, seed: int) -> TrainingOrder:
    """The domain's form of a request; `seed` serves where the message has none."""
    return TrainingOrder(
        name=message.name,
        dataset=dataset,
        base_model=message.base_model,
        preset=message.preset,
        changes={"seed": seed} | _changes(message.parameters),
        trigger_word=message.trigger_word,
        sample_prompt=message.sample_prompt,
    )


def _changes(message: pb.TrainingParameters) -> dict[str, object]:
    # A float of the message has 32 bits: its shortest decimal form is what was meant.
    changes: dict[str, object] = {
        field.name: float(f"{value:.7g}") if field.type == field.TYPE_FLOAT else value
        for field, value in message.ListFields()
    }
    for name, kinds in (("schedule", _SCHEDULES), ("precision", _PRECISIONS)):
        chosen = kinds.get(changes.pop(name, 0))  # type: ignore[call-overload]  # the message's own enum numbers
        if chosen is not None:
            changes[name] = chosen
    return changes


def write_preset(preset: Preset) -> pb.TrainingPreset:
    """A preset with all its values."""
    return pb.TrainingPreset(
        name=preset.name,
        description=preset.description,
        architectures=preset.architectures,
        parameters=_write_parameters(preset.parameters),
    )


def _write_parameters(parameters: Parameters) -> pb.TrainingParameters:
    values = {name: value for name, value in parameters.described().items() if value is not None}
    values["schedule"] = next(number for number, kind in _SCHEDULES.items() if kind is parameters.schedule)
    values["precision"] = next(
        (number for number, kind in _PRECISIONS.items() if kind is parameters.precision), pb.PRECISION_UNSPECIFIED
    )
    values.pop("seed")  # chosen per training
    if parameters.steps is not None:
        values.pop("epochs")
    return pb.TrainingParameters(**values)  # type: ignore[arg-type]  # names and types are those of the message


def write_defects(report: LintReport) -> list[dataset_pb.DatasetDefect]:
    """Every defect."""
    return [
        dataset_pb.DatasetDefect(path=defect.path, reason=defect.reason, message=defect.message, fatal=defect.fatal)
        for defect in report.defects
    ]


def write_interval(interval: Interval) -> pb.Interval:
    """A figure with its uncertainty."""
    return pb.Interval(low=interval.low, expected=interval.expected, high=interval.high)


def curve_json(curve: Curve) -> bytes:
    """The curve as a JSON object of four lists of equal length."""

    def rounded(values: Sequence[float]) -> list[float]:
        return [float(f"{value:.6g}") for value in values]

    return json.dumps(
        {
            "steps": curve.steps,
            "loss": rounded(curve.loss),
            "smoothed_loss": rounded(curve.smoothed_loss),
            "learning_rate": rounded(curve.learning_rate),
        }
    ).encode()
