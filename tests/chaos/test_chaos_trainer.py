"""However often the trainer is killed while it trains: the job succeeds, and the LoRA has the undisturbed bytes."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf.trainer.v1.dataset_pb2 import Dataset
from kerf.trainer.v1.trainer_pb2 import TrainingParameters, TrainRequest
from kerf_client import AsyncKerf
from stack_thread import StackThread, running_stack, service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
PICTURES = Path(__file__).resolve().parents[2] / "models" / "starter" / "lora_style"
STEPS = 60
KILLS = 10
EVERY = 5


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    # The usual three attempts are enough for ten deaths: an attempt that saved its work is not held against the next.
    # The grace would be long enough for the rest of the training: a stop must hand it back at once all the same.
    more = {"RETRY_BACKOFF": "0.1", "DRAIN_GRACE": "60", "TERMINATION_GRACE": "70", "THREADS": "1"}
    trainer = service("trainer", **more)
    with running_stack(tmp_path_factory.mktemp("stack"), service("gateway"), trainer) as running:
        yield running


def training_job() -> Job:
    dataset = Dataset()
    for path in sorted(PICTURES.iterdir())[:24]:
        dataset.files.files.add(path=path.name, data=path.read_bytes())
    request = TrainRequest(
        name="dipped",
        preset="starter",
        dataset=dataset,
        parameters=TrainingParameters(steps=STEPS, batch_size=2, dropout=0.1, checkpoint_every_steps=EVERY, seed=7),
    )
    return Job(stages=[Stage(id="train", train=request)])


async def trained(
    stack: StackThread, kill_at: list[int], number: signal.Signals = signal.SIGKILL
) -> tuple[Job, list[JobEvent]]:
    """The job and its durable events; the trainer gets the signal at each step of `kill_at`, or just after."""
    left = list(kill_at)
    events: list[JobEvent] = []
    async with AsyncKerf(stack.info.gateway_target, stack.info.api_key) as kerf:
        async for event in kerf.run(training_job()):
            if event.sequence:
                events.append(event)
            if left and event.HasField("progress") and event.progress.step >= left[0]:
                left.pop(0)
                await asyncio.to_thread(stack.kill, "trainer", number)
        job = await kerf.get_job(events[0].job)
    assert not left, "the moment to kill never came"
    return job, events


def sha256_by_role(job: Job) -> dict[str, str]:
    return {artifact.labels["role"]: artifact.sha256 for stage in job.stages for artifact in stage.outputs}


def resumed_at(events: list[JobEvent]) -> list[int]:
    """The steps after which an attempt went on."""
    found = (re.match(r"goes on after step (\d+) ", event.log.message) for event in events if event.HasField("log"))
    return [int(match[1]) for match in found if match]


async def test_a_cancelled_training_leaves_what_it_learnt(stack: StackThread) -> None:
    cancelled = False
    events: list[JobEvent] = []
    async with AsyncKerf(stack.info.gateway_target, stack.info.api_key) as kerf:
        async for event in kerf.run(training_job()):
            events.append(event)
            if not cancelled and event.HasField("progress") and event.progress.step >= 2 * EVERY:
                cancelled = True
                await kerf.cancel_job(event.job, "enough")
        assert events[-1].HasField("cancelled")
        saved = events[-1].cancelled.saved
        assert [artifact.labels["role"] for artifact in saved] == ["lora"]
        assert 2 * EVERY <= int(saved[0].labels["steps"]) < STEPS
        data = await kerf.download(saved[0].name)
    assert hashlib.sha256(data).hexdigest() == saved[0].sha256


async def test_a_stop_and_ten_deaths_change_nothing_but_the_time(stack: StackThread) -> None:
    job, events = await trained(stack, [])
    assert events[-1].HasField("succeeded")
    undisturbed = sha256_by_role(job)
    assert undisturbed.keys() == {"lora", "training-curve"}

    before = stack.restarts("trainer")
    job, events = await trained(stack, [STEPS // 2], signal.SIGTERM)
    assert events[-1].HasField("succeeded")
    assert stack.restarts("trainer") == before + 1
    assert STEPS // 2 <= resumed_at(events)[0] < STEPS // 2 + EVERY, "it saves the state as it is, and at once"
    assert sha256_by_role(job) == undisturbed, "drained in the middle"

    # Each moment lies at least a checkpoint after the one before: a job that cannot advance is given up.
    chance = random.Random()
    moments = [number * EVERY + chance.randrange(1, EVERY) for number in range(1, KILLS + 1)]
    before = stack.restarts("trainer")
    job, events = await trained(stack, moments)
    assert events[-1].HasField("succeeded"), f"killed at steps {moments}: {events[-1]}"
    assert stack.restarts("trainer") == before + KILLS
    assert sha256_by_role(job) == undisturbed, f"killed at steps {moments}"
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert sum(event.HasField("checkpointed") for event in events) >= KILLS
    assert len(resumed_at(events)) == KILLS
    assert resumed_at(events) == sorted(resumed_at(events))
