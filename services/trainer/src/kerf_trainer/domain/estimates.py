"""What a training will take: from steps that this worker has timed, or from a model of the computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kerf_trainer.domain.engine import BaseFacts, BaseShape, Layer, TrainingPlan

_TOKENS = 77
_BYTES = 4
_ACTIVATIONS_PER_OUTPUT = 3.0
"""Tensors that the backward pass keeps for each layer's output: input of the norm, of the activation, of the next."""
_PROCESS_BYTES = 700 << 20
"""The interpreter with torch in it."""
_USED_SHARE = (0.9, 0.3, 0.05)
"""Share of the best speed that training reaches: (at most, expected, at least). Small layers leave most of it."""
_MEMORY_FACTORS = (0.6, 1.0, 2.0)
_SETUP_SECONDS = (1.0, 6.0, 60.0)
_KEPT_KEYS = 64


@dataclass(frozen=True)
class Interval:
    """A figure with its uncertainty."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """What a training will take."""

    seconds: Interval
    peak_memory_bytes: Interval
    basis: str
    """`measured` or `model`."""


@dataclass(frozen=True)
class Workload:
    """A training as its cost sees it."""

    plan: TrainingPlan
    pictures: int

    @property
    def key(self) -> tuple[object, ...]:
        """Trainings with the same key take equally long for a step."""
        values = self.plan.parameters
        return (
            self.plan.base_model,
            self.plan.resolution_px,
            values.rank,
            values.batch_size,
            values.accumulation,
            values.precision,
            values.train_text_encoder,
            values.gradient_checkpointing,
        )


@dataclass(frozen=True)
class Measurement:
    """What one training took here."""

    step_seconds: tuple[float, ...]
    setup_seconds: float
    peak_memory_bytes: int


class Measurements:
    """The last training of each kind that this worker did."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[object, ...], Measurement] = {}

    def note(self, load: Workload, measurement: Measurement) -> None:
        """Keep what a training took; the oldest kind is forgotten for it."""
        self._by_key.pop(load.key, None)
        if len(self._by_key) >= _KEPT_KEYS:
            del self._by_key[next(iter(self._by_key))]
        self._by_key[load.key] = measurement

    def find(self, load: Workload) -> Measurement | None:
        """What a training of this kind took."""
        return self._by_key.get(load.key)


def estimate(
    load: Workload,
    shape: BaseShape,
    facts: BaseFacts,
    measured: Measurement | None,
    operations_per_second: Callable[[], float],
) -> Estimate:
    """Seconds and peak memory of a training. The device's speed is asked for only where nothing was measured."""
    if measured is not None:
        return _from_measurement(load, measured)
    latent_px = load.plan.resolution_px / facts.multiple_px
    seconds = _operations_per_step(load, shape, latent_px) / operations_per_second()
    low, expected, high = (
        setup + load.plan.total_steps * seconds / share
        for setup, share in zip(_SETUP_SECONDS, _USED_SHARE, strict=True)
    )
    memory = _memory_bytes(load, shape, latent_px)
    return Estimate(
        Interval(low, expected, high),
        Interval(*(memory * factor for factor in _MEMORY_FACTORS)),
        "model",
    )


def _from_measurement(load: Workload, measured: Measurement) -> Estimate:
    ordered = sorted(measured.step_seconds)
    total = load.plan.total_steps
    mean = sum(ordered) / len(ordered)
    middle = [ordered[len(ordered) // 10], mean, max(mean, ordered[-1 - len(ordered) // 10])]
    low, expected, high = (
        total * step + setup * measured.setup_seconds for step, setup in zip(middle, (0.5, 1.0, 3.0), strict=True)
    )
    memory = measured.peak_memory_bytes
    return Estimate(
        Interval(low, expected, high * 1.3), Interval(memory * 0.8, float(memory), memory * 1.2), "measured"
    )


def _positions(layer: Layer, latent_px: float) -> float:
    side = max(1.0, latent_px / 2**layer.level)
    return _TOKENS if layer.reads_text else side * side


def _operations_per_step(load: Workload, shape: BaseShape, latent_px: float) -> float:
    """Multiplications and additions of one optimiser step."""
    forward = 0.0
    for layer in shape.layers:
        positions = _positions(layer, latent_px)
        forward += 2.0 * layer.weights * positions
        if layer.attends:
            forward += 4.0 * positions * positions * layer.outputs
    # Backward costs as much again, because no frozen weight gets a gradient; recomputing adds one more forward.
    passes = 3.0 if load.plan.parameters.gradient_checkpointing else 2.0
    return passes * forward * load.plan.parameters.pictures_per_step


def _memory_bytes(load: Workload, shape: BaseShape, latent_px: float) -> float:
    values = load.plan.parameters
    trained = sum(values.rank * (layer.inputs + layer.outputs) for layer in shape.layers if layer.is_target)
    outputs = sum(layer.outputs * _positions(layer, latent_px) for layer in shape.layers)
    activations = _ACTIVATIONS_PER_OUTPUT * outputs * values.batch_size
    if values.gradient_checkpointing:
        activations /= 4.0
    # Weights, gradients and AdamW's two moments of what is trained.
    return _PROCESS_BYTES + _BYTES * (shape.weights + 4.0 * trained + activations)
