"""A training from request to LoRA, the same behind both doors. Blocks, for a worker thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kerf_core.errors import FailedPrecondition, WorkCancelled
from kerf_trainer.domain.dataset import Dataset, LintReport
from kerf_trainer.domain.engine import BaseFacts, Check, Curve, Engine, Run, StepDone, TrainingPlan
from kerf_trainer.domain.estimates import Estimate, Measurement, Measurements, Workload, estimate
from kerf_trainer.domain.linting import DatasetLimits, lint
from kerf_trainer.domain.parameters import ParameterLimits, Parameters, Precision, check_parameters
from kerf_trainer.domain.presets import choose_preset

_TELL_EVERY_S = 5.0
_MAX_ENLARGEMENT = 2


@dataclass(frozen=True)
class TrainingOrder:
    """What somebody asks for. `changes` are the parameters that differ from the preset, by name."""

    name: str
    dataset: Dataset
    base_model: str = ""
    preset: str = ""
    changes: dict[str, object] = field(default_factory=dict)
    trigger_word: str = ""
    sample_prompt: str = ""


class Listener(Protocol):
    """Hears how a training goes on, in the thread that computes."""

    def progress(self, step: int, total: int, eta_seconds: float, message: str, metrics: dict[str, float]) -> None:
        """Step `step` of `total` is done; `eta_seconds` negative = not known yet."""
        ...

    def log(self, message: str, level: str = "info") -> None:
        """A line for people."""
        ...

    def checkpoint(self, step: int, data: bytes) -> None:
        """Save the state after `step`. Blocks until it is saved; what it raises ends the training."""
        ...

    def unfinished(self, step: int, lora: bytes) -> None:
        """Keep what there is: the training is being cancelled."""
        ...


@dataclass(frozen=True)
class PreparedTraining:
    """A training that was checked wholly."""

    plan: TrainingPlan
    facts: BaseFacts
    report: LintReport
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FinishedTraining:
    """What a training made."""

    plan: TrainingPlan
    lora: bytes
    curve: Curve
    samples: tuple[tuple[str, bytes], ...]
    """(role, PNG)."""
    smoothed_loss: float
    device_seconds: float
    model_sha256: str
    numeric_class: str
    versions: dict[str, str]
    warnings: tuple[str, ...]


class Workshop:
    """Checks, estimates and does trainings."""

    def __init__(
        self,
        engine: Engine,
        dataset_limits: DatasetLimits,
        parameter_limits: ParameterLimits,
        checkpoint_every_steps: int,
    ) -> None:
        self.engine = engine
        self._dataset_limits = dataset_limits
        self._parameter_limits = parameter_limits
        self._checkpoint_every_steps = checkpoint_every_steps
        self._measurements = Measurements()

    def lint(self, dataset: Dataset, check: Check = lambda: None) -> LintReport:
        """Every defect of a dataset."""
        return lint(dataset, self._dataset_limits, check=check)

    def admit(self, order: TrainingOrder) -> tuple[BaseFacts, str, Parameters]:
        """The base model, the preset's name and the parameters; refuses what cannot work, without the dataset.

        Raises InvalidArgument, FailedPrecondition MODEL_NOT_INSTALLED, PRESET_DOES_NOT_FIT and others of the model.
        """
        name = order.base_model or self.engine.default_model
        if name not in self.engine.names():
            known = ", ".join(self.engine.names())
            raise FailedPrecondition("MODEL_NOT_INSTALLED", f"base model {name!r} is not installed; installed: {known}")
        facts = self.engine.facts(name)
        preset = choose_preset(order.preset, facts.architecture, facts.native_size_px)
        parameters = preset.parameters.changed(order.changes)
        if parameters.precision is Precision.AUTO:
            parameters = parameters.changed({"precision": Precision(self.engine.precision)})
        check_parameters(parameters, parameters.steps or 1, self._parameter_limits, facts.multiple_px)
        return facts, preset.name, parameters

    def prepare(self, order: TrainingOrder, check: Check = lambda: None) -> PreparedTraining:
        """Everything that is done before the first step and needs no base model in memory.

        Raises as `admit`, and InvalidArgument DATASET_BROKEN with all fatal defects.
        """
        facts, preset, parameters = self.admit(order)
        side_px = parameters.resolution_px or facts.native_size_px
        report = lint(order.dataset, self._dataset_limits, side_px=side_px, check=check)
        report.raise_if_fatal()
        total = parameters.total_steps(len(report.pairs))
        check_parameters(parameters, total, self._parameter_limits, facts.multiple_px)
        plan = TrainingPlan(
            name=order.name,
            base_model=facts.name,
            preset=preset,
            parameters=parameters,
            resolution_px=side_px,
            total_steps=total,
            trigger_word=order.trigger_word.strip(),
            sample_prompt=order.sample_prompt.strip(),
            dataset_sha256=report.sha256(),
        )
        warnings = list(report.warnings)
        if not facts.native_size_px / _MAX_ENLARGEMENT <= side_px <= facts.native_size_px * _MAX_ENLARGEMENT:
            warnings.append(
                f"{side_px} px is far from the {facts.native_size_px} px that base model {facts.name} was made for;"
                " expect patchwork"
            )
        return PreparedTraining(plan, facts, report, tuple(warnings))

    def estimate(self, order: TrainingOrder) -> tuple[Estimate, int]:
        """What an order will take, and its steps. Raises as `prepare`."""
        prepared = self.prepare(order)
        load = Workload(prepared.plan, len(prepared.report.pairs))
        found = estimate(
            load,
            self.engine.shape(prepared.plan.base_model),
            prepared.facts,
            self._measurements.find(load),
            self.engine.operations_per_second,
        )
        return found, prepared.plan.total_steps

    def train(
        self, prepared: PreparedTraining, listener: Listener, check: Check, checkpoint: bytes | None = None
    ) -> FinishedTraining:
        """Train to the end, from `checkpoint` if there is one.

        `check` raises WorkCancelled to stop; then, within one pass, the state goes to `listener.checkpoint` and what
        was learnt to `listener.unfinished`. Raises WorkCancelled, FailedPrecondition, ResourceExhausted.
        """
        plan = prepared.plan
        began = time.monotonic()
        for warning in prepared.warnings:
            listener.log(warning, "warning")
        waiting = _telling(listener, plan.total_steps, check)
        with self.engine.open(plan, prepared.report.pairs, checkpoint, waiting) as run:
            setup_seconds = time.monotonic() - began
            for warning in run.warnings:
                listener.log(warning, "warning")
            if run.step:
                listener.log(f"goes on after step {run.step} of {plan.total_steps}")
            try:
                seconds = self._steps(run, plan, listener, check)
                samples = _samples(run, plan, listener, check)
            except WorkCancelled:
                _keep(run, listener)
                raise
            if seconds:
                load = Workload(plan, len(prepared.report.pairs))
                self._measurements.note(load, Measurement(tuple(seconds), setup_seconds, run.peak_memory_bytes()))
            return FinishedTraining(
                plan=plan,
                lora=run.lora(),
                curve=run.curve(),
                samples=samples,
                smoothed_loss=run.smoothed_loss,
                device_seconds=time.monotonic() - began,
                model_sha256=run.model_sha256,
                numeric_class=run.numeric_class,
                versions=run.versions,
                warnings=(*prepared.warnings, *run.warnings),
            )

    def _steps(self, run: Run, plan: TrainingPlan, listener: Listener, check: Check) -> list[float]:
        """Do all steps that are left; returns the seconds of each."""
        every = plan.parameters.checkpoint_every_steps or self._checkpoint_every_steps
        seconds: list[float] = []
        began = time.monotonic()
        check()
        for event in run.steps():
            if isinstance(event, StepDone):
                seconds.append(time.monotonic() - began)
                left = (plan.total_steps - event.step) * sum(seconds) / len(seconds)
                listener.progress(event.step, plan.total_steps, left, "training", _metrics(event))
                check()
                if event.step % every == 0 and event.step < plan.total_steps:
                    listener.checkpoint(event.step, run.checkpoint())
                began = time.monotonic()
            check()
        return seconds


def _metrics(event: StepDone) -> dict[str, float]:
    return {"loss": event.loss, "smoothed_loss": event.smoothed_loss, "learning_rate": event.learning_rate}


def _samples(run: Run, plan: TrainingPlan, listener: Listener, check: Check) -> tuple[tuple[str, bytes], ...]:
    if not plan.sample_prompt:
        return ()

    def told() -> None:
        listener.progress(plan.total_steps, plan.total_steps, -1.0, "drawing the sample pictures", {})
        check()

    before = run.sample(told, with_lora=False)
    return (("sample-before", before), ("sample-after", run.sample(told, with_lora=True)))


def _keep(run: Run, listener: Listener) -> None:
    """Save what was learnt before giving up."""
    if run.step:
        listener.checkpoint(run.step, run.checkpoint())
        listener.unfinished(run.step, run.lora())


def _telling(listener: Listener, total: int, check: Check) -> Callable[[], None]:
    """A check that also tells, now and then, that the work goes on: loading may take minutes."""
    listener.progress(0, total, -1.0, "loading the base model and encoding the dataset", {})
    told = time.monotonic()

    def check_and_tell() -> None:
        nonlocal told
        check()
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            listener.progress(0, total, -1.0, "loading the base model and encoding the dataset", {})

    return check_and_tell
