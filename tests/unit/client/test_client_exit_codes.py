"""One exit code for one refusal: whatever the command, as `--help` promises."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import grpc
import pytest

from kerf.jobs.v1.job_pb2 import Job
from kerf_client import errors
from kerf_client.cli import main
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, exit_code_of
from unit.client.client_products import png
from unit.client.client_threaded import ThreadedGateway

REFUSED, FAILED, AWAY = ExitCode.USAGE, ExitCode.JOB_FAILED, ExitCode.SERVICE_AWAY
CODES: dict[type[errors.KerfError], ExitCode] = {
    errors.InvalidRequest: REFUSED,
    errors.NotFound: REFUSED,
    errors.AlreadyExists: REFUSED,
    errors.FailedPrecondition: REFUSED,
    errors.Unauthenticated: REFUSED,
    errors.PermissionDenied: REFUSED,
    errors.ResourceExhausted: REFUSED,
    errors.ServiceUnavailable: AWAY,
    errors.DeadlineExceeded: AWAY,
    errors.DataLoss: FAILED,
    errors.ServerError: FAILED,
    errors.ProtocolViolation: FAILED,
    errors.JobFailed: FAILED,
    errors.JobCancelled: FAILED,
    errors.JobEnded: FAILED,
}
BY_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: REFUSED,
    grpc.StatusCode.NOT_FOUND: REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: REFUSED,
    grpc.StatusCode.FAILED_PRECONDITION: REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: REFUSED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: REFUSED,
    grpc.StatusCode.DATA_LOSS: FAILED,
}
COMMANDS = {
    "make": ["make", "fish", "-o", "out"],
    "plan": ["plan", "d.svg", "-o", "out"],
    "optimize": ["optimize", "cat.png", "-o", "out"],
    "batch": ["batch", "work.jsonl"],
    "batch show": ["batch", "show", "b1"],
    "estimate": ["estimate", "fish"],
    "queue": ["queue"],
    "jobs list": ["jobs", "list"],
    "jobs show": ["jobs", "show", "j1"],
    "jobs watch": ["jobs", "watch", "j1"],
    "jobs cancel": ["jobs", "cancel", "j1"],
    "jobs retry": ["jobs", "retry", "j1"],
    "jobs dead": ["jobs", "dead"],
    "admin dead-letters": ["admin", "dead-letters"],
    "admin retry": ["admin", "retry", "j1"],
    "artifacts list": ["artifacts", "list"],
}


@pytest.fixture
def files(gateway: ThreadedGateway, tmp_path: Path) -> None:
    """What the commands are given, in the folder that they are called from."""
    (tmp_path / "cat.png").write_bytes(png(3))
    (tmp_path / "d.svg").write_text("<svg/>")
    (tmp_path / "work.jsonl").write_text(json.dumps({"job": {"stages": [{"id": "one", "noop": {}}]}}))


def test_every_error_has_the_exit_code_that_help_promises() -> None:
    known = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.KerfError)}
    assert known - {errors.KerfError} == CODES.keys()
    for kind, code in CODES.items():
        error = kind("words", Job()) if issubclass(kind, errors.JobEnded) else kind("words")
        assert exit_code_of(error) is code, kind
    assert "2 wrong usage or a request that kerf refuses" in EXIT_CODE_HELP


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_all_commands_answer_a_refusal_alike(
    gateway: ThreadedGateway, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for status, code in BY_STATUS.items():
        gateway.gateway.faults.refuse_calls = status
        assert main(command) == code, status
        assert "refused on purpose" in capsys.readouterr().err
