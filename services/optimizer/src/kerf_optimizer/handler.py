"""The jobs' door: stages to and from the domain, nothing else."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import ItemFailure
from kerf_core.errors import InvalidArgument, KerfError, WorkCancelled
from kerf_core.rpc_status import status_of
from kerf_core.stages import StageContext, StageResult
from kerf_optimizer.domain.planning import OutputFormat, PlanReport
from kerf_optimizer.domain.workbench import Workbench
from kerf_optimizer.messages import read_optimize, read_plan, read_vectorize

_VERSIONED = (
    "kerf-optimizer",
    "ezdxf",
    "fonttools",
    "numba",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-image",
    "scipy",
    "segno",
    "shapely",
)
_PULSE_SECONDS = 1.0
_ROLES = {
    OutputFormat.GCODE: "gcode",
    OutputFormat.SVG: "svg",
    OutputFormat.DXF: "dxf",
    OutputFormat.PREVIEW_PNG: "preview",
    OutputFormat.JOB_SHEET: "job-sheet",
    OutputFormat.PDF: "pdf",
    OutputFormat.LBRN2: "lbrn2",
    OutputFormat.BURN_PNG: "burn-picture",
    OutputFormat.REPORT_JSON: "report",
    OutputFormat.FRAME_GCODE: "frame",
}


@dataclass(frozen=True)
class _Made:
    """What one item gave."""

    outputs: list[Artifact]
    warnings: Sequence[str]


_ItemWork = Callable[[int, Sequence[Artifact]], Awaitable[_Made]]


class OptimizerHandler:
    """Does the `optimize`, `vectorize` and `plan` stages of jobs.

    `optimize` makes one PNG per input and `vectorize` one SVG; `plan` makes one artifact per file and item, items in
    order. Everything is a pure function of inputs and task, so every output can be rebuilt.
    """

    kind = "optimizer"

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    async def run(self, context: StageContext) -> StageResult:
        """See `kerf_core.stages.StageHandler`."""
        task = context.stage.WhichOneof("task")
        pulse = _Pulse(context)
        match task:
            case "optimize":
                work, items = self._optimize(context, pulse), _each(context.inputs)
            case "vectorize":
                work, items = self._vectorize(context, pulse), _each(context.inputs)
            case "plan":
                work, items = self._plan(context, pulse), _zipped(context)
            case _:
                raise InvalidArgument.of_field("task", f"the optimizer does optimize, vectorize and plan, not {task}.")
        return await _run_items(context, items, work, pulse)

    def _optimize(self, context: StageContext, pulse: _Pulse) -> _ItemWork:
        task = context.stage.optimize
        _refuse_sources(task.HasField("source"), "optimize.source")
        settings = read_optimize(task)

        async def work(item: int, sources: Sequence[Artifact]) -> _Made:
            data = await self._read(context, sources[0])
            made = await context.compute(self._workbench.optimize, data, settings, pulse.beat)
            report = made.report
            role = "raster" if report.layers else "power-map"
            pictures = [(made.png, role), *((png, role) for png in made.layers)]
            if made.preview is not None:
                pictures.append((made.preview, "burn-preview"))
            outputs = [
                await context.store(
                    png,
                    "image/png",
                    size_px=(report.width_px, report.height_px),
                    size_mm=(report.width_mm, report.height_mm),
                    labels={"role": role, "mode": report.mode.value, "item": str(item)},
                    rebuildable=True,
                )
                for png, role in pictures
            ]
            for layer, output in enumerate(outputs[: report.layers if report.layers > 1 else 0]):
                output.labels["layer"] = str(layer)
            return _Made(outputs, (*report.reasons, *report.warnings))

        return work

    def _vectorize(self, context: StageContext, pulse: _Pulse) -> _ItemWork:
        task = context.stage.vectorize
        _refuse_sources(task.HasField("source"), "vectorize.source")
        settings = read_vectorize(task)

        async def work(item: int, sources: Sequence[Artifact]) -> _Made:
            data = await self._read(context, sources[0])
            made = await context.compute(self._workbench.vectorize, data, settings, pulse.beat)
            output = await context.store(
                made.svg,
                "image/svg+xml",
                size_mm=(made.report.width_mm, made.report.height_mm),
                labels={"role": "vector", "mode": settings.mode.value, "item": str(item)},
                rebuildable=True,
            )
            return _Made([output], made.report.warnings)

        return work

    def _plan(self, context: StageContext, pulse: _Pulse) -> _ItemWork:
        task = context.stage.plan
        _refuse_sources(len(task.sources) > 0, "plan.sources")
        spec = read_plan(task)

        async def work(item: int, sources: Sequence[Artifact]) -> _Made:
            data = [await self._read(context, source) for source in sources]
            made = await context.compute(self._workbench.plan, data, spec, pulse.beat)
            outputs = [
                await context.store(
                    file.data,
                    file.media_type,
                    size_px=file.size_px,
                    labels={"role": _ROLES[file.format], "item": str(item)},
                    rebuildable=True,
                )
                for file in made.files
            ]
            outputs[0].labels.update(_report_labels(made.report))
            return _Made(outputs, made.report.warnings)

        return work

    async def _read(self, context: StageContext, artifact: Artifact) -> bytes:
        if artifact.size_bytes > self._workbench.max_source_bytes:
            raise InvalidArgument(
                "SOURCE_TOO_LARGE",
                f"{artifact.name} has {artifact.size_bytes:,} bytes; at most {self._workbench.max_source_bytes:,}.",
            )
        return await context.read(artifact)


@dataclass
class _Pulse:
    """Called by the computing thread between steps: stops it when cancelled, and tells that it is alive."""

    context: StageContext
    total: int = 0
    done: int = 0
    _told: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        self.context.cancel.raise_if_cancelled()
        now = time.monotonic()
        if now - self._told >= _PULSE_SECONDS:
            self._told = now
            self.context.progress(self.done, self.total)

    def finished_one(self) -> None:
        self.done += 1
        self.context.progress(self.done, self.total)


async def _run_items(context: StageContext, items: list[list[Artifact]], work: _ItemWork, pulse: _Pulse) -> StageResult:
    """Do every item in turn. What no second attempt would mend is listed; the rest ends this attempt."""
    pulse.total = len(items)
    outputs: list[Artifact] = []
    warnings: list[str] = []
    failures: list[tuple[int, KerfError]] = []
    for item, sources in enumerate(items):
        context.cancel.raise_if_cancelled()
        try:
            made = await work(item, sources)
        except KerfError as error:
            if error.retryable or isinstance(error, WorkCancelled):
                raise
            failures.append((item, error))
        else:
            outputs.extend(made.outputs)
            prefix = f"Item {item}: " if len(items) > 1 else ""
            warnings.extend(f"{prefix}{warning}" for warning in made.warnings)
        pulse.finished_one()
    if len(failures) == len(items):
        raise failures[0][1]
    return StageResult(
        outputs=outputs,
        item_failures=[ItemFailure(item=item, error=status_of(error)) for item, error in failures],
        warnings=warnings,
        numeric_class=f"cpu/{platform.machine()}",
        versions={name: version(name) for name in _VERSIONED},
        device_seconds=0.0,
    )


def _report_labels(report: PlanReport) -> dict[str, str]:
    """What the plan says of itself, for whoever shows it: on the first file of each item."""
    checks = [{"name": check.name, "verdict": check.verdict.value, "detail": check.detail} for check in report.checks]
    return {
        "estimated_seconds": f"{report.estimated_seconds:.1f}",
        "estimated_low_seconds": f"{report.time.low_seconds:.1f}",
        "estimated_high_seconds": f"{report.time.high_seconds:.1f}",
        "time": json.dumps(asdict(report.time) | {"bounded_by": report.time.bounded_by.value}),
        "checks": json.dumps(checks),
    }


def _each(inputs: list[list[Artifact]]) -> list[list[Artifact]]:
    """All lists as one, an item for each artifact."""
    items = [[artifact] for artifacts in inputs for artifact in artifacts]
    if not items:
        raise InvalidArgument.of_field("inputs", "there is nothing to work on; name an artifact or an earlier stage.")
    return items


def _zipped(context: StageContext) -> list[list[Artifact]]:
    """One artifact of every list for each item; a list of one serves every item. Drawings alone are one item."""
    inputs = context.inputs
    if not inputs and context.stage.plan.drawings:
        return [[]]
    lengths = {len(artifacts) for artifacts in inputs}
    if not lengths or 0 in lengths:
        raise InvalidArgument.of_field(
            "inputs", "an input has nothing to work on; name an artifact or an earlier stage."
        )
    count = max(lengths)
    if lengths - {1, count}:
        raise InvalidArgument.of_field(
            "inputs",
            f"lists of {', '.join(str(length) for length in sorted(lengths))} artifacts do not match item by item; "
            "choose with `indices`.",
        )
    return [[artifacts[item if len(artifacts) > 1 else 0] for artifacts in inputs] for item in range(count)]


def _refuse_sources(present: bool, field_path: str) -> None:
    if present:
        raise InvalidArgument.of_field(field_path, "inside a job the stage's inputs are the source; leave it out.")
