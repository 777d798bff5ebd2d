"""A rolling update under load: every service is restarted once by SIGTERM, and no customer notices."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from chaos.faults.history import (
    Asked,
    Bounds,
    Delivery,
    Entry,
    Execution,
    Head,
    History,
    Origin,
    Outcome,
    Output,
    Seen,
    Sitting,
    Told,
)
from chaos.faults.load import digest_of_event, output_of, state_name
from chaos.faults.readback import is_amid, read_journals, read_logs
from chaos.faults.violations import Kind
from chaos.faults.wishes import ASK, digest_of, draw_wishes
from chaos.rollout import Exit, RollOut, broken
from kerf.jobs.v1.batch_pb2 import Batch
from kerf.jobs.v1.job_pb2 import Job
from kerf_client import AsyncKerf
from kerf_client.connection import RetryPolicy
from kerf_client.errors import KerfError
from kerf_core.settings import ServiceSettings
from kerf_core.tasks import end_tasks
from kerf_embedded.service import ServiceSpec
from kerf_embedded.supervisor import EmbeddedStack

PATIENCE = float(os.environ.get("KERF_CHAOS_PATIENCE") or "1")
"""Factor on every bound, for a busy machine."""
GATEWAYS = ("gateway", "gateway2")
KINDS = {"draw": "diffusion", "burn": "optimizer", "train": "trainer"}
WORKERS = {f"{sort}{number}": kind for number in (1, 2) for sort, kind in KINDS.items()}
ENDS_WITHIN_S = 60.0 * PATIENCE
AMID_WITHIN_S = 8.0 * PATIENCE
LOOK_S = 0.02
BETWEEN_S = 1.0
MAX_ATTEMPTS = 3
POLICY = RetryPolicy(
    give_up_after=RetryPolicy().give_up_after * PATIENCE, call_timeout=RetryPolicy().call_timeout * PATIENCE
)
ANY_WISH = draw_wishes(0, 1, 1.0)[0]
ALLOWED_S = 20.0 * PATIENCE
"""Between SIGTERM and the end of a process, as its supervisor is told."""
GATEWAY_ALLOWED_S = 8.0 * PATIENCE
"""Nothing that a gateway does takes long, and its streams go on elsewhere: it needs no grace."""
ACK_WAIT_S = ServiceSettings().ack_wait.total_seconds()
TESTS = Path(__file__).resolve().parents[1]


class Customers:
    """People who use kerf by its public SDK while it is updated, and write down what they are told."""

    def __init__(self, doors: Sequence[AsyncKerf], history: History, errors: list[str], plan: Plan) -> None:
        self._all_doors = doors
        self._doors = itertools.cycle(doors)
        self._wanted = plan.job
        self._every_s = plan.job_every_s
        self._history = history
        self._errors = errors
        self.leaving = asyncio.Event()

    async def run(self) -> None:
        """Until they leave; everybody waits for what he has asked for."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._said(self._browse(next(self._doors))))
            watching = [group.create_task(self._said(self._watch_queue(door))) for door in self._all_doors]
            for number in itertools.count():
                if self.leaving.is_set():
                    await end_tasks(*watching)
                    return
                group.create_task(self._said(self._order(next(self._doors), number)))
                await asyncio.sleep(self._every_s)

    async def _said(self, visit: Awaitable[None]) -> None:
        try:
            await visit
        except (KerfError, TimeoutError) as error:
            self._errors.append(f"a call raised {type(error).__name__}: {error}")

    async def _order(self, kerf: AsyncKerf, number: int) -> None:
        """Ask for a job, watch it to its end and fetch what came of it."""
        history, who, request = self._history, f"customer-{number}", self._wanted(number)
        ask = request.labels[ASK]
        async with asyncio.timeout(ENDS_WITHIN_S):
            accepted = await kerf.create_job(request, request_id=ask)
            asked = Asked(who, ask, ask, digest_of(request), "succeeded", Outcome.ANSWERED, job=accepted.name)
            history.asked.append(asked)
            async with aclosing(kerf.watch(accepted.name)) as events:
                seen = [Seen(event.sequence, digest_of_event(event)) async for event in events if event.sequence]
            history.sittings.append(Sitting(who, accepted.name, 0, tuple(seen), closed=True))
            job = await kerf.get_job(accepted.name)
            outputs = [output_of(stage.id, artifact) for stage in job.stages for artifact in stage.outputs]
            last = seen[-1].sequence
            told = Told(who, "GetJob", job.name, state_name(job.state), job.last_sequence, tuple(outputs), last)
            history.told.append(told)
            for output in outputs:
                data = await kerf.download(f"artifacts/{output.sha256}", job=job.name)
                got = hashlib.sha256(data).hexdigest()
                history.deliveries.append(Delivery(who, job.name, output.sha256, got))

    async def _browse(self, kerf: AsyncKerf) -> None:
        """The calls beside a job's own."""
        draw = random.Random(7)
        for number in itertools.count():
            if self.leaving.is_set():
                return
            data = draw.randbytes(draw.choice([10, 3 << 20]))
            artifact = await kerf.upload(data)
            assert await kerf.download(artifact.name) == data
            batch = await self._order_batch(kerf, number)
            async with aclosing(kerf.list_jobs(page_size=5)) as jobs:
                assert [job async for job in jobs]
            async with aclosing(kerf.watch_batch(batch.name)) as states:
                ended = [state async for state in states][-1]
            assert ended.succeeded == 2

    async def _order_batch(self, kerf: AsyncKerf, number: int) -> Batch:
        jobs = [self._wanted(-2 * number - more) for more in (1, 2)]
        for job in jobs:
            ask = job.labels[ASK]
            asked = Asked("browser", ask, "", digest_of(job), "succeeded", Outcome.UNKNOWN)  # the answer names no job
            self._history.asked.append(asked)
        return await kerf.create_batch(jobs, request_id=f"batch-{number}")

    async def _watch_queue(self, kerf: AsyncKerf) -> None:
        """Seldom: a gateway that is to stop must not wait for the next time."""
        async with aclosing(kerf.watch_queue(interval=timedelta(minutes=1))) as states:
            async for _ in states:
                pass


@dataclass(frozen=True)
class Plan:
    """A rolling update."""

    names: Sequence[str]
    """The processes, all kinds of work by at least two of them."""
    restarted: Sequence[str]
    job: Callable[[int], Job]
    """What the customers ask for."""
    job_every_s: float
    of_workers: dict[str, str] = field(default_factory=dict)
    """Settings of the workers."""


def drawing(number: int) -> Job:
    """Drawn, then burnt once or twice. Equal jobs must give equal bytes."""
    wish = replace(ANY_WISH, number=number, word="fish", steps=(9, 5)[number % 2], seed=number % 3)
    return replace(wish, stages=2 + number % 2, trains=False).job()


def drawing_or_training(number: int) -> Job:
    """Every third is a training."""
    if number % 3:
        return drawing(number)
    return replace(ANY_WISH, number=number, word="style", steps=12, seed=number % 2, trains=True).job()


async def roll_out(plan: Plan, root: Path, caplog: pytest.LogCaptureFixture) -> RollOut:
    """Restart processes of a stack under load, each as soon as the successor of the one before serves."""
    journals = root / "journals"
    journals.mkdir()
    services = [spec_of(name, journals, plan.of_workers if name in WORKERS else {}) for name in plan.names]
    began = time.time()
    roll = RollOut(History(Bounds(began, ENDS_WITHIN_S, ACK_WAIT_S, MAX_ATTEMPTS)))
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(EmbeddedStack(root / "stack", services=services))
        addresses = [stack.info.targets[name] for name in plan.names if name in GATEWAYS]
        # Some know one gateway, which is away for a while; others know all of them.
        targets = [*addresses, f"ipv4:{','.join(addresses)}"]
        doors = [
            await exits.enter_async_context(AsyncKerf(target, stack.info.api_key, policy=POLICY)) for target in targets
        ]
        customers = Customers(doors, roll.history, roll.errors, plan)
        load = asyncio.create_task(customers.run())
        try:
            for name in plan.restarted:
                await asyncio.sleep(BETWEEN_S)
                roll.exits.append(await restart(stack, name, journals, caplog))
            customers.leaving.set()
            await load
        finally:
            await end_tasks(load)
        roll.history.entries = await read_logs(stack.info)
        roll.history.executions = read_journals(journals)
    roll.history.bounds = replace(roll.history.bounds, quiet_at_s=time.time())
    return roll


async def restart(stack: EmbeddedStack, name: str, journals: Path, caplog: pytest.LogCaptureFixture) -> Exit:
    """SIGTERM, in the middle of a stage where the process runs stages; returns once the successor serves."""
    if name in WORKERS:
        with suppress(TimeoutError):  # then it is updated while it idles, which happens too
            async with asyncio.timeout(AMID_WITHIN_S):
                while not is_amid(journals, name, stack.pid(name) or 0):
                    await asyncio.sleep(LOOK_S)
    told_at = time.time()
    stack.kill(name, signal.SIGTERM)
    await stack.wait_ready(name)
    record = [each for each in caplog.records if each.getMessage().startswith(f"{name} died ")][-1]
    how = record.getMessage().removeprefix(f"{name} died ").rpartition(" after ")[0]
    return Exit(name, how, record.created - told_at, ALLOWED_S if name in WORKERS else GATEWAY_ALLOWED_S)


def spec_of(name: str, journals: Path, more: dict[str, str]) -> ServiceSpec:
    """Of a gateway or a worker."""
    values = {"DRAIN_GRACE": "10", "TERMINATION_GRACE": str(ALLOWED_S), "STAGE_SLOTS": "4"} | more
    service, module = "gateway", "kerf_gateway"
    if name in WORKERS:
        service, module = "faultworker", "chaos.faults.worker"
        values |= {"WORKER_ID": name, "KIND": WORKERS[name], "JOURNAL": str(journals)}
    environment = {f"KERF_{name.upper()}_{key}": value for key, value in values.items()}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return ServiceSpec(name, (sys.executable, "-m", "chaos.faults.named", name, service, module), environment)


@pytest.mark.chaos
@pytest.mark.timeout(240 * PATIENCE)
async def test_a_rolling_update_is_noticed_by_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    everybody = [*GATEWAYS, *WORKERS]
    roll = await roll_out(Plan(everybody, everybody, drawing_or_training, 0.5 * PATIENCE), tmp_path, caplog)
    assert [each.process for each in roll.exits] == everybody
    print(story(roll))
    assert list(broken(roll)) == [], story(roll)
    assert not {stage for _, stage in roll.handed_back()} - {"draw", "train"}, "there was time to end what never saves"


@pytest.mark.chaos
@pytest.mark.timeout(180 * PATIENCE)
async def test_a_stage_that_outlasts_the_drain_goes_on_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workers = {"DRAIN_NOTICE": "0", "DRAIN_GRACE": "0.1", "STEP_SECONDS": "1", "STAGE_SLOTS": "8"}
    names = ["gateway", "draw1", "burn1", "draw2", "burn2"]
    roll = await roll_out(Plan(names, ["draw1", "burn1"], drawing, 1.0 * PATIENCE, workers), tmp_path, caplog)
    print(story(roll))
    assert list(broken(roll)) == [], story(roll)
    stages = {stage for _, stage in roll.handed_back()}
    assert "draw" in stages, "what saves was handed back"
    assert stages - {"draw"}, "and what does not"


def story(roll: RollOut) -> str:
    """What happened."""
    bodies = Counter(entry.body for entry in roll.history.entries)
    ends = ", ".join(f"{each.process} {each.how} after {each.took_s:.1f} s" for each in roll.exits)
    waits = max(
        (
            after.time_s - before.time_s
            for log in roll.history.logs().values()
            for before, after in itertools.pairwise(log)
            if after.body == "stage_started"
        ),
        default=0.0,
    )
    return f"{dict(bodies)}; handed back {len(roll.handed_back())}; longest wait for a worker {waits:.1f} s; {ends}"


STOPPED = Exit("draw1", "with exit status 0", 1.2, 20.0)


def recorded(*did: str, exit_: Exit = STOPPED, **steps: str) -> RollOut:
    """One job that was updated around: its log, and the steps of each execution, by the worker's name."""
    log = list(log_of(did, list(steps)))
    shown = {output.execution: (output.sha256,) for entry in log for output in entry.outputs}
    history = History(Bounds(0.0, 60.0, 15.0, MAX_ATTEMPTS), entries=log)
    for worker, done in steps.items():
        made, numbers = shown.get(worker, ()), tuple(map(int, done.split()))
        history.executions.append(Execution(worker, worker, "jobs/0", worker[:-1], made, numbers))
    history.asked.append(Asked("customer", "ask-0", "", "payload", "succeeded", Outcome.ANSWERED, job="jobs/0"))
    seen = tuple(Seen(entry.sequence, entry.digest) for entry in log)
    history.sittings.append(Sitting("customer", "jobs/0", 0, seen, closed=True))
    return RollOut(history, exits=[exit_])


def log_of(did: Sequence[str], workers: list[str]) -> Iterator[Entry]:
    """The entries of a job with the stages "draw" and "burn"; each start is that of the next worker."""
    origin = Origin("ask-0", "payload", "recipe", ("draw", "burn"), derived=False)
    head, worker = Head("queued", 0, 0, 0, cancel_requested=False), ""
    for sequence, act in enumerate(did, start=1):
        body, _, more = act.partition(" ")
        stage, fence = origin.stages[head.stage], head.fence
        if body == "stage_started":
            worker, fence = workers.pop(0), sequence
            head = replace(head, state="running", fence=fence, attempts=head.attempts + 1)
        elif body == "attempt_lost":
            head = replace(head, fence=0, attempts=head.attempts - 1)
        elif body == "stage_completed":
            head = replace(head, stage=1, fence=0, attempts=0)
        elif body == "succeeded":
            head = replace(head, state=body, fence=0)
        entry = Entry("jobs/0", sequence, sequence, 1.0 * sequence, f"{sequence}", fence, body, head, f"#{sequence}")
        if body == "accepted":
            yield replace(entry, origin=origin)
        elif body == "stage_started":
            yield replace(entry, stage=stage, worker=worker, takes_over=bool(more))
        elif body == "checkpointed":
            yield replace(entry, stage=stage, saves=int(more))
        elif body == "attempt_lost":
            yield replace(entry, handed_back=True)
        else:
            yield replace(entry, stage=stage, outputs=(Output(stage, f"sha256 of {stage}", worker),))


STARTS = ("accepted", "stage_started", "checkpointed 3")
BURNS = ("stage_completed", "stage_started", "succeeded")
HANDS_BACK = (*STARTS, "checkpointed 4", "attempt_lost", "stage_started", *BURNS)
IS_LOST = (*STARTS, "stage_started takes over", *BURNS)
KILLED = Exit("draw1", "by SIGKILL", 0.1, 20.0)
LATE = Exit("draw1", "with exit status 0", 20.1, 20.0)


@pytest.mark.parametrize(
    "roll",
    [
        pytest.param(
            recorded(*HANDS_BACK, draw1="1 2 3 4", draw2="5 6", burn1="1 2"), id="what saves goes on where it was"
        ),
        pytest.param(
            recorded(*HANDS_BACK[:8], "attempt_lost", *BURNS[1:], draw1="1 2 3 4", draw2="5 6", burn1="1", burn2="1 2"),
            id="what never saves begins anew",
        ),
    ],
)
def test_the_judge_allows_a_hand_back(roll: RollOut) -> None:
    assert list(broken(roll)) == []


@pytest.mark.parametrize(
    "roll, finding",
    [
        pytest.param(
            recorded(*IS_LOST, draw1="1 2 3 4", draw2="4 5 6", burn1="1 2"), "an attempt was lost", id="work dropped"
        ),
        pytest.param(
            recorded(*IS_LOST, draw1="1 2 3 4", draw2="4 5 6", burn1="1 2"),
            "nobody handed it back",
            id="work done twice",
        ),
        pytest.param(
            recorded(*HANDS_BACK, exit_=KILLED, draw1="1 2 3 4", draw2="5 6", burn1="1 2"), "by SIGKILL", id="SIGKILL"
        ),
        pytest.param(
            recorded(*HANDS_BACK, exit_=LATE, draw1="1 2 3 4", draw2="5 6", burn1="1 2"), "20.1 s after", id="too slow"
        ),
        pytest.param(
            recorded(*STARTS, *HANDS_BACK[4:], draw1="1 2 3 4", draw2="4 5 6", burn1="1 2"),
            "its steps were done {1: 1, 2: 1, 3: 1, 4: 2",
            id="handed back without saving",
        ),
        pytest.param(
            recorded(*HANDS_BACK, draw1="1 2 3 4", draw2="6", burn1="1 2"), "4: 1, 6: 1}", id="a step left out"
        ),
        pytest.param(
            recorded(*HANDS_BACK, draw1="1 2 3 4", draw2="5 6", burn1="1 2", burn2="1 2"),
            "'burn' was executed 2 times",
            id="executed by two",
        ),
    ],
)
def test_the_judge_finds_a_bad_update(roll: RollOut, finding: str) -> None:
    assert [found for found in broken(roll) if finding in found]


def test_the_judge_finds_what_a_customer_noticed() -> None:
    roll = recorded(*HANDS_BACK, draw1="1 2 3 4", draw2="5 6", burn1="1 2")
    roll.errors.append("a call raised ServiceUnavailable")
    (sitting,) = roll.history.sittings
    roll.history.sittings = [replace(sitting, seen=sitting.seen[:2] + sitting.seen[3:])]
    assert [found.split(" ")[0] for found in broken(roll)] == ["a", Kind.STREAM_GAP.name]
