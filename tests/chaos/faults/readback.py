"""What a run left behind: the logs, read from NATS, and the workers' journals."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from chaos.faults.history import Entry, Execution, Head, Origin, Output
from chaos.faults.load import digest_of_event, output_of, state_name
from chaos.faults.nodes import bus_of
from chaos.faults.wishes import ASK, digest_of
from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf_core.bus import Bus, Stored
from kerf_core.streams import EVENTS
from kerf_embedded.state import StackInfo

_HAS_STAGE = frozenset({"stage_started", "progress", "checkpointed", "stage_completed"})
_BEHIND_FOR_S = 30.0
_LOOK_S = 0.2


async def read_logs(info: StackInfo) -> list[Entry]:
    """All entries of all logs, in the order of the stream, past every proxy."""
    async with bus_of(info) as bus:
        stored = await _stored(bus)
    stages: dict[str, tuple[str, ...]] = {}
    entries = []
    for message in stored:
        event = JobEvent.FromString(message.data)
        if event.HasField("accepted"):
            stages[event.job] = tuple(stage.id for stage in event.accepted.job.stages)
        entries.append(_entry(event, message.sequence, stages.get(event.job, ("",))))
    return entries


async def _stored(bus: Bus) -> list[Stored]:
    """Whichever copy answers may be behind its leader for a moment; one that stays behind is the judge's to find."""
    led = (await bus.js.stream_info(EVENTS)).state.messages
    give_up_at = time.monotonic() + _BEHIND_FOR_S
    while True:
        stored = await bus.read(EVENTS, "kerf.v1.job.*.*.events", timeout=30)
        if len(stored) >= led or time.monotonic() > give_up_at:
            return stored
        await asyncio.sleep(_LOOK_S)


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
            known = begun.get(facts["execution"])
            if known is None:
                known = Execution(facts["worker"], facts["execution"], facts["job"], facts["stage"])
            if "made" in facts:
                known = replace(known, made=(*known.made, facts["made"]))
            elif "step" in facts:
                known = replace(known, steps=(*known.steps, int(facts["step"])))
            begun[facts["execution"]] = known
    return list(begun.values())


def is_amid(folder: Path, worker: str, pid: int) -> bool:
    """True while a worker could be interrupted in a stage and lose nothing of it: it has saved, or never does."""
    path = folder / f"{worker}-{pid}.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    facts = [json.loads(line) for line in lines if line.endswith("\n")]
    newest = {fact["execution"]: fact for fact in facts}
    return any(int(fact.get("interruptible", "0")) for fact in newest.values())
