"""What is done again to make a lost output again: its stage and what that stands on, nothing else."""

from __future__ import annotations

import pytest

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.event_pb2 import Accepted, JobEvent, JobHead, StageCompleted
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest
from kerf.optimizer.v1.vector_pb2 import VectorizeRequest
from kerf_core.errors import DataLoss
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.rebuild import REBUILD_LABEL, rebuild_spec
from kerf_core.stages import JobId, TenantId

REF = JobRef(TenantId("t"), JobId("j"))
KINDS = ["diffusion", "diffusion", "optimizer", "optimizer"]


def output(number: int, *, rebuildable: bool = True) -> Artifact:
    sha256 = f"{number:064d}"
    return Artifact(name=f"artifacts/{sha256}", sha256=sha256, rebuildable=rebuildable)


def after(stage: str, *indices: int) -> StageInput:
    return StageInput(from_stage=StageOutputs(stage=stage, indices=indices))


def log(*completed: StageCompleted) -> list[JobEvent]:
    job = Job(
        stages=[
            Stage(id="fox", generate=GenerateRequest(prompt="a fox", seed=1)),
            Stage(id="owl", generate=GenerateRequest(prompt="an owl", seed=2)),
            Stage(id="burn", inputs=[after("fox")], optimize=OptimizeRequest()),
            Stage(id="trace", inputs=[after("burn"), after("owl", 0)], vectorize=VectorizeRequest()),
        ]
    )
    entries = [JobEvent(accepted=Accepted(job=job))]
    entries += [JobEvent(stage_completed=done) for done in completed]
    entries[-1].head.CopyFrom(JobHead(kinds=KINDS))
    return entries


def done(stage: str, *outputs: Artifact) -> StageCompleted:
    return StageCompleted(stage=stage, outputs=outputs)


def test_only_the_stage_and_what_it_stands_on_is_done_again() -> None:
    entries = log(done("fox", output(1)), done("owl", output(2)), done("burn", output(3)))
    job, kinds = rebuild_spec(REF, entries, output(3))
    assert [stage.id for stage in job.stages] == ["fox", "burn"]
    assert kinds == ["diffusion", "optimizer"]
    assert (job.retry_of, job.labels[REBUILD_LABEL]) == ("jobs/j", output(3).sha256)
    assert job.stages[0].generate.seed == 1, "every choice stays made"


def test_what_cannot_be_made_again_is_taken_from_the_store() -> None:
    entries = log(done("fox", output(1, rebuildable=False)), done("owl", output(2)), done("burn", output(3)))
    job, _ = rebuild_spec(REF, entries, output(3))
    assert [stage.id for stage in job.stages] == ["burn"]
    assert list(job.stages[0].inputs) == [StageInput(artifact=output(1).name)]


@pytest.mark.parametrize(
    "fox, lost",
    [
        pytest.param([output(1, rebuildable=False)], output(1), id="not rebuildable"),
        pytest.param([output(1)], output(9), id="an upload"),
        pytest.param([output(1), output(2, rebuildable=False)], output(3), id="stands on several of which one is not"),
    ],
)
def test_what_cannot_be_had_again_is_a_loss(fox: list[Artifact], lost: Artifact) -> None:
    with pytest.raises(DataLoss) as loss:
        rebuild_spec(REF, log(done("fox", *fox), done("owl", output(4)), done("burn", output(3))), lost)
    assert loss.value.reason == "ARTIFACT_LOST"
