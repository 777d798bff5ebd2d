"""What a run left behind: the logs, read from NATS, and the workers' journals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from chaos.faults.history import Entry, Execution, Head, Origin, Output
from chaos.faults.load import digest_of_event, output_of, state_name
from chaos.faults.wishes import ASK, digest_of
from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.bus import Bus
from kerf_core.settings import ServiceSettings
from kerf_core.streams import EVENTS
from kerf_embedded.state import StackInfo

_HAS_STAGE = frozenset({"stage_started", "progress", "checkpointed", "stage_completed"})


async def read_logs(info: StackInfo) -> list[Entry]:
    """All entries of all logs, in the order of the stream, past every proxy."""
    settings = ServiceSettings.model_construct(
        nats_url=info.nats_url,
        nats_user=info.nats_user,
        nats_password=ServiceSettings.model_validate({"nats_password": info.nats_password}).nats_password,
    )
    bus = await Bus.connect(settings, "fault checker")
    try:
        stored = await bus.read(EVENTS, "kerf.v1.job.*.*.events", timeout=30)
    finally:
        await bus.close()
    stages: dict[str, tuple[str, ...]] = {}
    entries = []
    for message in stored:
        event = JobEvent.FromString(message.data)
        if event.HasField("accepted"):
            stages[event.job] = tuple(stage.id for stage in event.accepted.job.stages)
        entries.append(_entry(event, message.sequence, stages.get(event.job, ("",))))
    return entries


def _entry(event: JobEvent, at: int, stages: tuple[str, ...]) -> Entry:
    body, head = str(event.WhichOneof("body")), event.head
    entry = Entry(
        job=event.job,
        at=at,
        sequence=event.sequence,
        time_s=event.time.ToNanoseconds() / 1e9,
        writer=event.writer,
        fence=event.fence,
        body=body,
        head=Head(state_name(head.state), head.stage, head.fence, head.attempts, head.cancel_requested),
        digest=digest_of_event(event),
        stage=str(getattr(event, body).stage) if body in _HAS_STAGE else "",
        worker=event.stage_started.worker,
        takes_over=event.stage_started.HasField("lost"),
        handed_back=event.attempt_lost.handed_back,
        saves=event.checkpointed.step,
    )
    if body == "accepted":
        job = event.accepted.job
        recipe = digest_of(*job.stages)
        origin = Origin(job.labels.get(ASK, ""), digest_of(job), recipe, stages, derived=bool(job.retry_of))
        return replace(entry, origin=origin)
    if body == "succeeded":
        entry = replace(entry, stage=event.succeeded.last_stage.stage)
    return replace(entry, outputs=tuple(_outputs(event, stages[min(head.stage, len(stages) - 1)])))


def _outputs(event: JobEvent, stage: str) -> Iterator[Output]:
    made: tuple[str, list[Artifact]] = (stage, [])
    if event.HasField("stage_completed"):
        made = (event.stage_completed.stage, list(event.stage_completed.outputs))
    elif event.HasField("succeeded"):
        made = (event.succeeded.last_stage.stage, list(event.succeeded.last_stage.outputs))
    elif event.HasField("cancelled"):
        made = (stage, list(event.cancelled.saved))
    for artifact in made[1]:
        yield output_of(made[0], artifact)


def read_journals(folder: Path) -> list[Execution]:
    """What the workers did; a line that a kill cut off would be the last of its file."""
    begun: dict[str, Execution] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            facts = json.loads(line)
            if "made" in facts:
                known = begun[facts["execution"]]
                begun[facts["execution"]] = replace(known, made=(*known.made, facts["made"]))
            else:
                begun[facts["execution"]] = Execution(facts["worker"], facts["execution"], facts["job"], facts["stage"])
    return list(begun.values())
