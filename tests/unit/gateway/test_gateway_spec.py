"""What a job may look like before anything else is asked."""

from __future__ import annotations

import pytest

from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf.optimizer.v1.layout_pb2 import MadeDrawing, QrCode
from kerf.optimizer.v1.plan_pb2 import Operation, OperationKind, PlanRequest
from kerf_core.errors import InvalidArgument
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.spec import check_shape

CUT = OperationKind.OPERATION_KIND_CUT
CODE = MadeDrawing(qr_code=QrCode(content="kerf", size_mm=30))


def plan_alone(*operations: Operation, drawings: int) -> Job:
    return Job(stages=[Stage(id="burn", plan=PlanRequest(operations=operations, drawings=[CODE] * drawings))])


def refused(job: Job) -> set[str]:
    with pytest.raises(InvalidArgument) as caught:
        check_shape({"job": job}, GatewaySettings())
    return {violation.field for violation in caught.value.violations}


def test_a_plan_of_made_drawings_needs_no_input() -> None:
    check_shape({"job": plan_alone(Operation(kind=CUT, drawing=1), drawings=2)}, GatewaySettings())


def test_a_plan_of_nothing_needs_one() -> None:
    job = plan_alone(Operation(kind=CUT), drawings=0)
    assert refused(job) == {"job.stages[0].inputs", "job.stages[0].plan.operations[0].input"}


def test_an_operation_names_a_drawing_or_an_input_that_is_there() -> None:
    job = plan_alone(Operation(kind=CUT, drawing=2), Operation(kind=CUT, input=0), drawings=2)
    assert refused(job) == {"job.stages[0].plan.operations[0].drawing", "job.stages[0].plan.operations[1].input"}
