"""What the clients of a run ask for, drawn from its seed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from enum import Enum

from chaos.faults.worker import FAILS, FLAKY
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize
from kerf.trainer.v1.dataset_pb2 import Dataset
from kerf.trainer.v1.trainer_pb2 import TrainingParameters, TrainRequest

ASK = "ask"
"""Label of every job: the request that it comes from."""
OTHER = "other"


class Entrance(Enum):
    """By which call a job is asked for."""

    CREATE = "CreateJob"
    RUN = "RunJob"


@dataclass(frozen=True)
class Wish:
    """One job, and what its client does with it. Places in a stream are numbers of entries."""

    number: int
    at_s: float
    word: str
    steps: int
    seed: int
    stages: int
    trains: bool
    entrance: Entrance
    known: bool
    """With a request_id: then it is asked for until there is an answer."""
    replays: int
    contradicts: bool
    """The same request_id is used for another payload too, which must be refused."""
    cancels_after: int
    """0 = never."""
    leaves_after: tuple[int, ...]
    """Where the client cuts its own stream, to resume it."""
    watchers: int

    @property
    def ask(self) -> str:
        """Its name, and its request_id where it has one."""
        return f"ask-{self.number}"

    @property
    def request_id(self) -> str:
        """Empty = none."""
        return self.ask if self.known else ""

    @property
    def expects(self) -> str:
        """How the job must end unless it is cancelled."""
        return "failed" if self.word == FAILS else "succeeded"

    def job(self, *, contradicting: bool = False) -> Job:
        """The request."""
        job = Job(labels={ASK: self.ask, **({OTHER: "1"} if contradicting else {})})
        if self.trains:
            parameters = TrainingParameters(steps=self.steps, seed=self.seed)
            train = TrainRequest(name=self.word, dataset=Dataset(folder="drawings"), parameters=parameters)
            job.stages.append(Stage(id="train", train=train))
            return job
        job.stages.append(
            Stage(id="draw", generate=GenerateRequest(prompt=self.word, steps=self.steps, seed=self.seed))
        )
        for number in range(1, self.stages):
            before = StageInput(from_stage=StageOutputs(stage=job.stages[-1].id))
            burn = OptimizeRequest(size=PhysicalSize(width_mm=20.0 + number))
            job.stages.append(Stage(id=f"burn{number}", inputs=[before], optimize=burn))
        return job


def digest_of(*messages: Job | Stage) -> str:
    """Of all that they say."""
    digest = hashlib.sha256()
    for message in messages:
        digest.update(message.SerializeToString(deterministic=True) + b"\n")
    return digest.hexdigest()[:32]


def draw_wishes(seed: int, jobs: int, within_s: float) -> list[Wish]:
    """The same for the same seed, spread over the time."""
    draw = random.Random(f"wishes {seed}")
    wishes = []
    for number in range(jobs):
        trains = draw.random() < 0.15
        known = draw.random() < 0.7
        wishes.append(
            Wish(
                number=number,
                at_s=within_s * number / jobs,
                word=draw.choices(["fish", "fox", "boat", FAILS, FLAKY], [6, 6, 6, 1, 2])[0],
                steps=draw.choice([2, 5, 9]),
                seed=draw.randrange(3),
                stages=draw.choice([1, 2, 2, 3]),
                trains=trains,
                entrance=draw.choice(list(Entrance)),
                known=known,
                replays=draw.choice([0, 0, 1, 2]) if known else 0,
                contradicts=known and draw.random() < 0.2,
                cancels_after=draw.choice([1, 2, 4]) if draw.random() < (0.5 if trains else 0.12) else 0,
                leaves_after=tuple(sorted(draw.sample(range(1, 9), draw.choice([0, 0, 1, 3])))),
                watchers=draw.choice([1, 1, 2]),
            )
        )
    return wishes
