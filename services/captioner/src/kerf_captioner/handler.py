"""The jobs' door: stages to and from the domain, nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import ItemFailure, ModelUse
from kerf_captioner.domain.desk import FAULTS_OF_THE_PICTURE, CaptionDesk, Captioned
from kerf_captioner.domain.requests import CaptionWish
from kerf_captioner.messages import read_options
from kerf_core.errors import InvalidArgument, KerfError
from kerf_core.rpc_status import status_of
from kerf_core.stages import StageContext, StageResult

MEDIA_TYPE = "text/plain; charset=utf-8"
LABEL_CHARS = 300
"""Of the caption, for whoever lists artifacts without fetching them."""
_TELL_EVERY_S = 1.0


class CaptionerHandler:
    """Does the `caption` stages of jobs: one text artifact per input picture, in their order."""

    kind = "captioner"

    def __init__(self, desk: CaptionDesk) -> None:
        self._desk = desk

    async def run(self, context: StageContext) -> StageResult:
        """See `kerf_core.stages.StageHandler`. A broken picture is told in `item_failures`; the others go on."""
        wish = _read_stage(context)
        self._desk.admit(wish)
        pictures = [artifact for artifacts in context.inputs for artifact in artifacts]
        if not pictures:
            raise InvalidArgument.of_field("inputs", "there is nothing to caption; name a picture or an earlier stage")
        pulse = _Pulse(context, total=len(pictures))
        outputs: list[Artifact] = []
        made: list[tuple[int, Captioned]] = []
        failures: list[tuple[int, KerfError]] = []
        for item, picture in enumerate(pictures):
            context.cancel.raise_if_cancelled()
            try:
                captioned = await self._caption(context, picture, wish, pulse)
            except FAULTS_OF_THE_PICTURE as error:
                failures.append((item, error))
            else:
                outputs.append(await _store(context, item, captioned))
                made.append((item, captioned))
            pulse.finished_one()
        if not made:
            raise failures[0][1]
        return self._result(outputs, made, failures)

    async def _caption(self, context: StageContext, picture: Artifact, wish: CaptionWish, pulse: _Pulse) -> Captioned:
        if picture.size_bytes > self._desk.max_picture_bytes:
            raise InvalidArgument(
                "PICTURE_TOO_LARGE",
                f"{picture.name} has {picture.size_bytes:,} bytes; at most {self._desk.max_picture_bytes:,}",
            )
        data = await context.read(picture)
        return await context.compute(self._desk.caption, data, wish, context.tenant, pulse.beat)

    def _result(
        self, outputs: list[Artifact], made: list[tuple[int, Captioned]], failures: list[tuple[int, KerfError]]
    ) -> StageResult:
        facts = {captioned.facts.name: captioned.facts for _, captioned in made}
        seconds = [captioned.device_seconds for _, captioned in made if captioned.device_seconds >= 0]
        return StageResult(
            outputs=outputs,
            item_failures=[ItemFailure(item=item, error=status_of(error)) for item, error in failures],
            warnings=_joined_warnings(made),
            models=[ModelUse(name=known.name, sha256=known.sha256) for known in facts.values()],
            numeric_class=made[0][1].numeric_class,
            versions=self._desk.shelf.versions,
            device_seconds=sum(seconds) if seconds else -1.0,
        )


@dataclass
class _Pulse:
    """Called by the computing thread between tokens: stops it when cancelled, and tells that it is alive."""

    context: StageContext
    total: int
    done: int = 0
    _told: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        self.context.cancel.raise_if_cancelled()
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            self.context.progress(self.done, self.total)

    def finished_one(self) -> None:
        self.done += 1
        self.context.progress(self.done, self.total, message=f"captioned {self.done} of {self.total}")


def _read_stage(context: StageContext) -> CaptionWish:
    task = context.stage.WhichOneof("task")
    if task != "caption":
        raise InvalidArgument.of_field("task", f"the captioner does caption, not {task}")
    request = context.stage.caption
    if request.HasField("picture"):
        raise InvalidArgument.of_field(
            "caption.picture", "inside a job the stage's inputs are the pictures; leave it out"
        )
    return read_options(request.options)


async def _store(context: StageContext, item: int, captioned: Captioned) -> Artifact:
    return await context.store(
        captioned.text.encode(),
        MEDIA_TYPE,
        labels={"role": "caption", "item": str(item), "text": captioned.text[:LABEL_CHARS]},
        rebuildable=True,
    )


def _joined_warnings(made: list[tuple[int, Captioned]]) -> list[str]:
    """Each warning once, with the items that it concerns unless these are all."""
    items_of: dict[str, list[int]] = {}
    for item, captioned in made:
        for warning in captioned.warnings:
            items_of.setdefault(warning, []).append(item)
    return [
        warning if len(items) == len(made) else f"Items {', '.join(map(str, items))}: {warning}"
        for warning, items in items_of.items()
    ]
