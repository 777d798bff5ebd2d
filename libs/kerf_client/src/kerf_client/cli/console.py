"""What the command line says: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

import grpc
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf_client import errors
from kerf_client.progress import JobProgress

# Cc and the bidirectional overrides: text from elsewhere must not drive the terminal or disguise itself.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


_MAX_LINE = 240


class ExitCode(IntEnum):
    """What the shell learns."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    SERVICE_AWAY = 3
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODE_HELP = (
    "exit codes: 0 done, 1 the job failed or was cancelled or a check found a fault, 2 wrong usage or a request that "
    "kerf refuses, 3 kerf cannot be reached, 130 interrupted"
)

_REFUSALS = (
    errors.InvalidRequest,
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.Unauthenticated,
    errors.PermissionDenied,
    errors.ResourceExhausted,
)
"""Nothing was accepted: the same refusal is the same exit code, whichever command met it and whoever found it."""


class UsageError(Exception):
    """The command line was wrong; the text says what and what to do."""


def exit_code_of(error: errors.KerfError) -> ExitCode:
    """The exit code that an error stands for. A job that was accepted and then failed is no refusal, whatever for."""
    if isinstance(error, _REFUSALS):
        return ExitCode.USAGE
    if isinstance(error, errors.ServiceUnavailable | errors.DeadlineExceeded):
        return ExitCode.SERVICE_AWAY
    return ExitCode.JOB_FAILED


def harmless(text: str) -> str:
    """`text` with control characters made visible."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def state_name(state: int) -> str:
    """`SUCCEEDED`; a state that this client does not know is shown by number."""
    known = JobState.DESCRIPTOR.values_by_number.get(state)
    return known.name.removeprefix("JOB_STATE_") if known else f"STATE_{state}"


class Output:
    """Writes for one command. With `as_json` stdout carries exactly one JSON value."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.farewell = "nothing is left running"
        """What an interrupt leaves behind, and how to go on."""
        self._errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A result for people; silent with --json."""
        if not self.as_json:
            print(harmless(text), flush=True)

    def result(self, value: object) -> None:
        """The result for programs; silent without --json."""
        if self.as_json:
            print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)

    def result_line(self, value: object) -> None:
        """One of many results for programs, in one line; silent without --json."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False), flush=True)

    def note(self, text: str) -> None:
        """Something worth knowing, on stderr."""
        self._errors.print(Text(harmless(text)))

    def warn(self, text: str) -> None:
        """A warning, on stderr."""
        self._errors.print(Text(f"kerf: warning: {harmless(text)}", style="yellow"))

    def fail(self, text: str) -> None:
        """An error, on stderr."""
        self._errors.print(Text(f"kerf: error: {harmless(text)}", style="red"))

    def fail_with(self, error: errors.KerfError) -> None:
        """An error with its fields and what to do."""
        self.fail(describe(error))
        if self.as_json:
            self.result({"error": error_json(error)})

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Shows that something runs which cannot say how far it is: a spinner on a terminal, a line elsewhere."""
        if self._errors.is_terminal:
            with self._errors.status(Text(harmless(text))):
                yield
            return
        if not self.as_json:
            self.note(text)
        yield

    def progress(self) -> ProgressView:
        """Draws a job's progress: a bar on a terminal, plain lines elsewhere."""
        return BarView(self._errors) if self._errors.is_terminal else LineView(self, silent=self.as_json)


class CollectingOutput(Output):
    """Keeps the results of several jobs for one JSON value."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.results: list[object] = []

    def result(self, value: object) -> None:
        """Keep it."""
        self.results.append(value)


def describe(error: errors.KerfError) -> str:
    """The sentence, every violated field on a line of its own, and a hint."""
    # A message that goes through all violations would tell them twice: they have lines of their own.
    lines = [shortened(error.message) if len(error.violations) > 1 else error.message]
    lines += [f"  {each.field}: {each.description}" for each in error.violations if each.description not in lines[0]]
    if error.retry_after is not None:
        lines.append(f"  come back in {error.retry_after.total_seconds():g} s")
    if isinstance(error, errors.Unauthenticated):
        lines.append("  give a valid key with --api-key or KERF_CLIENT_API_KEY")
    if isinstance(error, errors.ServiceUnavailable) and error.code is grpc.StatusCode.UNAVAILABLE:
        lines.append("  is it running? `kerf up` starts one here, `kerf doctor` looks for the cause")
    if incident := error.metadata.get("incident"):
        lines.append(f"  incident {incident}: the server's log has more")
    return "\n".join(lines)


def shortened(text: str) -> str:
    """The beginning of a text that is too long for a line."""
    return text if len(text) <= _MAX_LINE else text[:_MAX_LINE].rsplit(" ", 1)[0] + " …"


def error_json(error: errors.KerfError) -> Mapping[str, object]:
    """The same for programs."""
    return {
        "code": error.code.name if error.code is not None else None,
        "reason": error.reason,
        "message": error.message,
        "violations": [{"field": each.field, "description": each.description} for each in error.violations],
        "request_id": error.request_id or None,
    }


def job_line(job: Job) -> str:
    """One line for a list."""
    created = job.create_time.ToDatetime().isoformat(sep=" ", timespec="seconds") if job.HasField("create_time") else ""
    labels = " ".join(f"{key}={value}" for key, value in sorted(job.labels.items()))
    return f"{job.name}  {state_name(job.state):9}  {created}  {labels}".rstrip()


class ProgressView:
    """Shows a job's progress; used as a context manager."""

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""

    def update(self, progress: JobProgress, line: str) -> None:
        """Show the state; `line` is what the last event is worth telling."""


class LineView(ProgressView):
    """Plain lines for logs and pipes."""

    def __init__(self, output: Output, *, silent: bool) -> None:
        self._output = output
        self._silent = silent

    def update(self, progress: JobProgress, line: str) -> None:
        """Print the line, if there is one."""
        if line and not self._silent:
            self._output.note(line)


class _BarWithFigures(Progress):
    """A bar, and below it a line for figures such as the loss, where there are any."""

    figures = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """See Progress."""
        yield from super().get_renderables()
        if self.figures:
            yield Text(f"  {self.figures}", no_wrap=True, overflow="ellipsis")


class BarView(ProgressView):
    """A live bar on a terminal; what is worth keeping scrolls above it."""

    def __init__(self, console: Console) -> None:
        self._progress = _BarWithFigures(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # Results that go to a file or a pipe must not end up above the bar.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressView:
        self._progress.start()
        self._task = self._progress.add_task("", total=1.0, stage="queued", detail="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, progress: JobProgress, line: str) -> None:
        """Move the bar; steps go into it, other lines above it."""
        if self._task is None:
            return
        stage, detail = harmless(progress.stage_label), harmless(progress.count_label)
        self._progress.figures = harmless(progress.figures_label)
        self._progress.update(self._task, completed=progress.fraction, stage=stage, detail=detail)
        if line and line != f"{progress.stage_label} {progress.step_label}":
            self._progress.console.print(Text(harmless(line), style="dim"))
