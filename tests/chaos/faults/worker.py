"""A worker whose results are cheap and exact: a chain of hashes with checkpoints. It keeps a journal of what it does.

A line of the journal is with the kernel before the work goes on, so that no kill of the process loses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Stage
from kerf_core.errors import InvalidArgument, KerfError, Unavailable, WorkCancelled
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import ServiceSettings, load_settings, service_config
from kerf_core.stages import StageContext, StageResult

FAILS = "fails"
FLAKY = "flaky"
EXECUTION = "execution"
"""Label of every output: the execution that made it."""
_CHECKPOINT_STEPS = 3
_OUTPUT_BYTES = 40_000
_MEDIA_TYPE = "application/octet-stream"


class FaultWorkerSettings(ServiceSettings):
    """kerf's worker for tests of faults."""

    model_config = service_config("faultworker")

    kind: str = Field(description="Kind of stages that it runs: diffusion, optimizer or trainer.")
    journal: Path = Field(description="Folder of the journals.")
    step_seconds: float = Field(0.25, ge=0, description="Time that a step takes.")


class Journal:
    """One file per process, a JSON object per line."""

    def __init__(self, folder: Path, worker: str) -> None:
        path = folder / f"{worker}-{os.getpid()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **facts: str) -> None:
        """Add a line."""
        os.write(self._file, json.dumps(facts).encode() + b"\n")


@dataclass
class _Chain:
    """A stage's work so far."""

    done: int
    state: bytes
    saved: int
    """Steps that the last checkpoint holds."""
    steps: int


class HashHandler:
    """Implements StageHandler: a stage and its inputs give the same bytes on any worker, in any number of pieces."""

    def __init__(self, settings: FaultWorkerSettings, worker: str) -> None:
        self.kind = settings.kind
        self._step_seconds = settings.step_seconds
        self._worker = worker
        self._journal = Journal(settings.journal, worker)

    async def run(self, context: StageContext) -> StageResult:
        """See StageHandler."""
        execution = secrets.token_hex(8)
        job = f"jobs/{context.job}"
        self._journal.write(execution=execution, worker=self._worker, job=job, stage=context.stage.id)
        word, steps, state = await self._begin(context)
        if word == FAILS:
            raise InvalidArgument("FAILS_ON_PURPOSE", "the prompt asks for a failure: ask for something else")
        if word == FLAKY and context.attempt == 1:
            raise Unavailable("FLAKY_ON_PURPOSE", "the first attempt fails: it is tried again")
        saved = await context.latest_checkpoint() if self._saves else None
        chain = _Chain(*(saved or (0, state)), saved=saved[0] if saved else 0, steps=steps)
        try:
            await self._compute(context, chain, execution)
            output = await self._store(context, hashlib.shake_256(chain.state).digest(_OUTPUT_BYTES), execution)
        except WorkCancelled:
            await self._keep(context, chain, execution)
            raise
        return StageResult(outputs=[output], device_seconds=0.0)

    async def _compute(self, context: StageContext, chain: _Chain, execution: str) -> None:
        while chain.done < chain.steps:
            context.cancel.raise_if_cancelled()
            chain.state = await context.compute(_advance, chain.state, chain.done, self._step_seconds)
            chain.done += 1
            context.progress(chain.done, chain.steps)
            if self._saves and chain.done % _CHECKPOINT_STEPS == 0:
                await context.save_checkpoint(chain.done, chain.state)
                chain.saved = chain.done
            left, safe = chain.steps - chain.done, bool(chain.saved) or not self._saves
            self._journal.write(execution=execution, step=str(chain.done), interruptible=str(left if safe else 0))

    async def _keep(self, context: StageContext, chain: _Chain, execution: str) -> None:
        """What there is of a stage that was stopped."""
        if self._saves and chain.done > chain.saved:
            with suppress(KerfError):  # then these steps are done again
                await context.save_checkpoint(chain.done, chain.state)
        if self.kind == "trainer":
            kept = await context.save_on_cancel(chain.state, _MEDIA_TYPE, labels={EXECUTION: execution})
            self._journal.write(execution=execution, made=kept.sha256)

    @property
    def _saves(self) -> bool:
        return self.kind != "optimizer"

    async def _begin(self, context: StageContext) -> tuple[str, int, bytes]:
        """(what the stage is to do, steps, the state before the first)."""
        word, steps = _task(context.stage)
        state = hashlib.sha256(f"{self.kind}/{word}/{steps}".encode())
        for artifacts in context.inputs:
            for artifact in artifacts:
                state.update(await context.read(artifact))
        return word.split("/")[0], steps, state.digest()

    async def _store(self, context: StageContext, data: bytes, execution: str) -> Artifact:
        # Said before it is stored: what dies in between has been made and nobody shows it.
        self._journal.write(execution=execution, made=hashlib.sha256(data).hexdigest())
        labels = {EXECUTION: execution}
        return await context.store(data, _MEDIA_TYPE, labels=labels, rebuildable=self.kind == "optimizer")


def _task(stage: Stage) -> tuple[str, int]:
    if stage.HasField("generate"):
        return f"{stage.generate.prompt}/{stage.generate.seed}", stage.generate.steps
    if stage.HasField("train"):
        return f"{stage.train.name}/{stage.train.parameters.seed}", stage.train.parameters.steps
    return "burn", 2


def _advance(state: bytes, step: int, seconds: float) -> bytes:
    time.sleep(seconds)
    return hashlib.sha256(state + step.to_bytes(4, "big")).digest()


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(FaultWorkerSettings)

    async def build(runtime: Runtime) -> Parts:
        return Parts(service_names=[], add=[], handler=HashHandler(settings, runtime.worker))

    run_service("faultworker", settings, build)


if __name__ == "__main__":
    main()
