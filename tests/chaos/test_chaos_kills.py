"""Whatever process dies while a job runs: the job succeeds, no event is lost or doubled, the bytes are the same."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import Callable, Iterator

import pytest

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job
from kerf_client import AsyncKerf
from kerf_client.recipes import Target, Words, prompt_job
from stack_thread import StackThread, running_stack, service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]
Moment = Callable[[JobEvent], bool]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    services = [service("gateway"), service("diffusion", PREVIEW_EVERY_STEPS="5"), service("optimizer")]
    with running_stack(tmp_path_factory.mktemp("stack"), *services) as running:
        yield running


def main_job() -> Job:
    """A prompt to laser files; every choice is made, so that every run must give the same bytes."""
    return prompt_job(Words(prompt="a line art fish", seed=7, steps=20), Target(width_mm=60, material="birch-3mm"))


def stage_runs(stage: str) -> Moment:
    return lambda event: event.HasField("stage_started") and event.stage_started.stage == stage


def draws(event: JobEvent) -> bool:
    """In the middle of the denoising."""
    return event.HasField("progress") and event.progress.stage == "generate" and event.progress.step >= 3


async def run(stack: StackThread, victim: str = "", moment: Moment | None = None) -> tuple[Job, list[JobEvent]]:
    """The job and its durable events, as one client saw them while `victim` was killed at `moment`."""
    events: list[JobEvent] = []
    killed = False
    async with AsyncKerf(stack.info.gateway_target, stack.info.api_key) as kerf:
        async for event in kerf.run(main_job()):
            if event.sequence:
                events.append(event)
            if moment is not None and not killed and moment(event):
                killed = True
                await asyncio.to_thread(stack.kill, victim, signal.SIGKILL)
        job = await kerf.get_job(events[0].job)
        assert killed == (moment is not None), "the moment to kill never came"
        for stage in job.stages:
            for artifact in stage.outputs:
                data = await kerf.download(artifact.name)
                assert hashlib.sha256(data).hexdigest() == artifact.sha256
    if victim:
        await asyncio.to_thread(stack.wait_ready, victim)
    return job, events


def outputs(job: Job) -> list[tuple[str, str, str]]:
    return [(stage.id, artifact.labels["role"], artifact.sha256) for stage in job.stages for artifact in stage.outputs]


@pytest.fixture(scope="module")
def undisturbed(stack: StackThread) -> list[tuple[str, str, str]]:
    job, events = asyncio.run(run(stack))
    assert events[-1].HasField("succeeded")
    made = outputs(job)
    assert {role for _, role, _ in made} >= {"picture", "raster", "vector", "gcode", "svg", "dxf", "preview"}
    return made


@pytest.mark.parametrize(
    "victim, moment",
    [
        pytest.param("gateway", draws, id="gateway while it draws"),
        pytest.param("gateway", stage_runs("plan"), id="gateway while it plans"),
        pytest.param("diffusion", draws, id="diffusion while it draws"),
        pytest.param("optimizer", stage_runs("burn"), id="optimizer while it dithers"),
        pytest.param("optimizer", stage_runs("plan"), id="optimizer while it plans"),
        pytest.param("nats", draws, id="nats while it draws"),
        pytest.param("nats", stage_runs("plan"), id="nats while it plans"),
        pytest.param("s3", draws, id="s3 while it draws"),
        pytest.param("s3", stage_runs("burn"), id="s3 while it dithers"),
    ],
)
async def test_a_killed_process_changes_nothing_but_the_time(
    victim: str, moment: Moment, stack: StackThread, undisturbed: list[tuple[str, str, str]]
) -> None:
    before = stack.restarts(victim)
    job, events = await run(stack, victim, moment)
    assert events[-1].HasField("succeeded")
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert stack.restarts(victim) == before + 1
    assert outputs(job) == undisturbed


async def test_a_stopped_worker_that_wakes_again_publishes_nothing(
    stack: StackThread, undisturbed: list[tuple[str, str, str]]
) -> None:
    """SIGSTOP looks like death to everybody else. With one worker of its kind, it must itself notice on waking."""
    job, events = await _run_with_pause(stack)
    assert events[-1].HasField("succeeded")
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert sum(event.HasField("stage_completed") and event.stage_completed.stage == "generate" for event in events) == 1
    assert outputs(job) == undisturbed


async def _run_with_pause(stack: StackThread) -> tuple[Job, list[JobEvent]]:
    events: list[JobEvent] = []
    paused = False
    async with AsyncKerf(stack.info.gateway_target, stack.info.api_key) as kerf:
        async for event in kerf.run(main_job()):
            if event.sequence:
                events.append(event)
            if not paused and draws(event):
                paused = True
                await asyncio.to_thread(stack.kill, "diffusion", signal.SIGSTOP)
                await asyncio.sleep(5)  # longer than ack_wait: the delivery is lost meanwhile
                await asyncio.to_thread(stack.kill, "diffusion", signal.SIGCONT)
        return await kerf.get_job(events[0].job), events


async def test_a_cancelled_job_stops_within_a_step_and_publishes_nothing_after(stack: StackThread) -> None:
    async with AsyncKerf(stack.info.gateway_target, stack.info.api_key) as kerf:
        job = main_job()
        job.stages[0].generate.steps = 150
        seen: list[JobEvent] = []
        cancelled = False
        async for event in kerf.run(job):
            seen.append(event)
            if not cancelled and draws(event):
                cancelled = True
                await kerf.cancel_job(event.job, "enough")
        assert seen[-1].HasField("cancelled")
        assert not any(event.HasField("stage_completed") for event in seen)
        # The worker is free again at once: a job of one step ends long before 150 steps would have.
        quick = main_job()
        quick.stages[0].generate.steps = 1
        del quick.stages[1:]
        async with asyncio.timeout(20):
            finished = [event async for event in kerf.run(quick)]
        assert finished[-1].HasField("succeeded")
        again = [event async for event in kerf.watch(seen[0].job)]
        assert again[-1].HasField("cancelled")
        durable = [event.sequence for event in again if event.sequence]
        assert durable == list(range(1, len(durable) + 1))
