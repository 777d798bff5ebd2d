"""`kerf batch`: many jobs at once, from a file to folders."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from kerf.jobs.v1.batch_pb2 import Batch
from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf.jobs.v1.job_service_pb2 import JobFilter
from kerf_client.aio import AsyncKerf
from kerf_client.cli import options
from kerf_client.cli.batch_file import LINE_OPTIONS, Line, read_batch
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, ProgressView, job_line, state_name
from kerf_client.cli.orders import Order, add_order_options, described, files_of, job_of, send_files, slug
from kerf_client.cli.session import add_connection_options, client_command
from kerf_client.errors import (
    DataLoss,
    InvalidRequest,
    KerfError,
    NotFound,
    ServiceUnavailable,
    Violation,
    ending_error,
)
from kerf_client.folder import ResultFolder
from kerf_client.following import TERMINAL_STATES, ended_jobs
from kerf_client.formats import FileFormat
from kerf_client.making import fetch_outputs, fetch_source, files_json, message_json, write_results
from kerf_client.outputs import possible_filename
from kerf_client.progress import JobProgress

_ACTIONS = ("send", "show", "fetch", "cancel")
_LOOK_EVERY_S = 2.0
_ACCEPT_TIMEOUT_S = 5.0
_MAX_PAGE = 1000
_JOB_INDEX = re.compile(r"jobs\[([0-9]{1,4})\]\.?")

DESCRIPTION = f"""\
`kerf batch FILE` sends the work in FILE as one batch, follows it, and writes each job's files to a folder of its own
as soon as it is done. FILE has one JSON value a line; `kerf batch send FILE` is the same:

  "a line art fish"                                     what `kerf make` would be given
  {{"make": "anna.png", "width": "60mm"}}                 with options: {", ".join(LINE_OPTIONS[:6])},
                                                        {", ".join(LINE_OPTIONS[6:])}
  {{"job": {{"stages": [...]}}}}                            a job as in kerf.jobs.v1.Job

Options on the command line hold for every line that does not say otherwise; a line's LoRAs are added to them. All lines
that are wrong are told, with their numbers, before anything is sent; then all jobs are accepted, or none. Files are
looked for from the current folder.

Ctrl-C leaves the batch running: `kerf batch fetch BATCH` goes on, `kerf batch cancel BATCH` ends it.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `batch` and what it can do."""
    parser = commands.add_parser(
        "batch",
        help="many jobs at once, from a file of JSON lines",
        usage="kerf batch [-h] FILE | {send,show,fetch,cancel} ...",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", prog="kerf batch")
    sending = actions.add_parser("send", help="send a file's work, follow it and write the results; the default")
    sending.add_argument("file", type=Path, metavar="FILE")
    sending.add_argument("--detach", action="store_true", help="leave once the batch is accepted; prints its name")
    add_order_options(sending, subject=False, out="out/<name of the file>")
    showing = actions.add_parser("show", help="how a batch and its jobs stand")
    fetching = actions.add_parser("fetch", help="follow a batch to its end and write its results")
    options.add_format_option(fetching)
    options.add_out_option(fetching, "out/<id of the batch>")
    cancelling = actions.add_parser("cancel", help="cancel every job that has not ended")
    cancelling.add_argument("--reason", default="", help="shown to whoever follows the jobs")
    for action, work in ((showing, _show), (fetching, _fetch), (cancelling, _cancel)):
        action.add_argument("name", metavar="BATCH", help="`batches/<id>` or the id alone")
        action.set_defaults(run=client_command(work))
    sending.set_defaults(run=client_command(_send))
    for action in (sending, showing, fetching, cancelling):
        add_connection_options(action)


def with_action(arguments: list[str]) -> list[str]:
    """`kerf batch FILE` with the action that it means."""
    named = len(arguments) < 2 or arguments[0] != "batch" or arguments[1] in {*_ACTIONS, "-h", "--help"}
    return arguments if named else ["batch", "send", *arguments[1:]]


def batch_name(text: str) -> str:
    """`batches/<id>` of either form."""
    return text if text.startswith("batches/") else f"batches/{text}"


async def _send(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    lines = await read_batch(args.file, args)
    out = args.out or Path("out") / slug(args.file.stem)
    ResultFolder(out, lambda name: False).prepare()
    orders = [line.work for line in lines if isinstance(line.work, Order)]
    sent = await send_files(client, [path for order in orders for path in files_of(order)])
    jobs = [job_of(line.work, sent) if isinstance(line.work, Order) else line.work for line in lines]
    try:
        batch = await _accepted(client, jobs, output)
    except KerfError as error:
        raise _by_line(error, lines) from error
    output.note(f"{batch.name}: {batch.size} jobs accepted")
    if args.detach:
        output.say(batch.name)
        output.result({"batch": message_json(batch, zeros=True), "jobs": [{"job": name} for name in batch.jobs]})
        return ExitCode.OK
    return await _collect(client, batch.name, _Collector(client, out, args.format, output), output)


async def _accepted(client: AsyncKerf, jobs: list[Job], output: Output) -> Batch:
    """Create the batch; an interrupt meanwhile does not hide its name."""
    creating = asyncio.ensure_future(client.create_batch(jobs))
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        await asyncio.wait({creating}, timeout=_ACCEPT_TIMEOUT_S)
        if creating.done() and not creating.cancelled() and creating.exception() is None:
            _say_how_to_go_on(creating.result().name, output)
        elif not creating.done():
            output.farewell = "the batch may have been accepted; `kerf jobs list` shows"
        raise


def _say_how_to_go_on(name: str, output: Output) -> None:
    output.farewell = f"{name} goes on; `kerf batch fetch {name}` follows it, `kerf batch cancel {name}` ends it"


def _by_line(error: KerfError, lines: list[Line]) -> KerfError:
    """The error with the file's line numbers where the gateway counted jobs."""

    def named(field_path: str) -> str:
        match = _JOB_INDEX.match(field_path)
        if match is None or int(match[1]) >= len(lines):
            return field_path
        return f"line {lines[int(match[1])].number}: {field_path[match.end() :]}".rstrip(": ")

    error.violations = tuple(Violation(named(each.field), each.description) for each in error.violations)
    return error


@dataclass
class _Collector:
    """Writes the files of each job that succeeded to a folder of its own."""

    client: AsyncKerf
    out: Path
    formats: frozenset[FileFormat]
    output: Output
    results: dict[str, dict[str, object]] = field(default_factory=dict)
    """By job: what was told of it."""
    looked_at: float = -_LOOK_EVERY_S

    async def look(self, batch: Batch) -> None:
        """Take in the jobs that have ended since; while others run, not more often than every few seconds."""
        ended = set(batch.jobs)
        if not batch.HasField("end_time"):
            if ended_jobs(batch) == len(self.results) or time.monotonic() - self.looked_at < _LOOK_EVERY_S:
                return
            wanted = JobFilter(batch=batch.name, states=TERMINAL_STATES)
            ended = {job.name async for job in self.client.list_jobs(filter=wanted, page_size=_MAX_PAGE)}
        for place, name in enumerate(batch.jobs, start=1):
            if name in ended and name not in self.results:
                await self._take(place, name)
        self.looked_at = time.monotonic()

    async def _take(self, place: int, name: str) -> None:
        job = await self.client.get_job(name)
        told: dict[str, object] = {"job": name, "place": place, "state": state_name(job.state), "files": []}
        label = f"{place:4}  {name}  {state_name(job.state):9}"
        if job.state == JobState.JOB_STATE_SUCCEEDED:
            try:
                paths = await self._write(place, job)
            except (InvalidRequest, NotFound, DataLoss) as error:  # of this job alone: the others go on
                self._tell_error(told, label, error)
            else:
                told["files"] = await asyncio.to_thread(files_json, paths)
                self.output.say(f"{label}  {paths[0].parent if paths else 'no files'}")
        else:
            self._tell_error(told, label, ending_error(job))
        self.results[name] = told

    def _tell_error(self, told: dict[str, object], label: str, error: KerfError) -> None:
        told["error"] = {"reason": error.reason, "message": error.message}
        self.output.say(f"{label}  {error.message}")

    async def _write(self, place: int, job: Job) -> list[Path]:
        files = await fetch_outputs(self.client, job, self.formats)
        if not files:
            return []
        source = await fetch_source(self.client, job)
        title = next((stage.plan.title for stage in job.stages if stage.plan.title), f"job {place}")
        folder = ResultFolder(self.out / f"{place:04}-{slug(title)}", possible_filename)
        return await asyncio.to_thread(write_results, folder, job, files, source, described(job, title))


async def _fetch(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    name = batch_name(args.name)
    out = args.out or Path("out") / slug(name.removeprefix("batches/"))
    return await _collect(client, name, _Collector(client, out, args.format, output), output)


async def _collect(client: AsyncKerf, name: str, collector: _Collector, output: Output) -> int:
    """Follow the batch to its end; exit code 1 where a job did not succeed."""
    _say_how_to_go_on(name, output)
    batch = Batch()
    try:
        with output.progress() as view:
            async with aclosing(client.watch_batch(name)) as states:
                async for batch in states:
                    _draw(batch, view)
                    await collector.look(batch)
    except ServiceUnavailable:
        output.warn(output.farewell)
        raise
    output.farewell = f"{name} has ended"
    output.say(batch_line(batch))
    output.result({"batch": message_json(batch, zeros=True), "jobs": list(collector.results.values())})
    return ExitCode.JOB_FAILED if any("error" in told for told in collector.results.values()) else ExitCode.OK


def _draw(batch: Batch, view: ProgressView) -> None:
    ended = ended_jobs(batch)
    progress = JobProgress(batch.name, stage="batch", fraction=ended / max(batch.size, 1))
    progress.message = _counts(batch)
    view.update(progress, f"{progress.stage_label} {progress.step_label}")


def _counts(batch: Batch) -> str:
    counts = (
        (batch.succeeded, "succeeded"),
        (batch.failed, "failed"),
        (batch.cancelled, "cancelled"),
        (batch.running, "running"),
        (batch.queued, "waiting"),
    )
    return f"of {batch.size}: " + ", ".join(f"{count} {what}" for count, what in counts if count)


def batch_line(batch: Batch) -> str:
    """One line for people."""
    return f"{batch.name}  {_counts(batch)}"


async def _show(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    batch = await client.get_batch(batch_name(args.name))
    listed = client.list_jobs(filter=JobFilter(batch=batch.name), page_size=_MAX_PAGE)
    heads = {job.name: job async for job in listed}
    output.say(batch_line(batch))
    jobs = [heads.get(name, Job(name=name)) for name in batch.jobs]
    for place, job in enumerate(jobs, start=1):
        output.say(f"{place:4}  {job_line(job)}")
    output.result({"batch": message_json(batch, zeros=True), "jobs": [message_json(job) for job in jobs]})
    return ExitCode.OK


async def _cancel(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    batch = await client.cancel_batch(batch_name(args.name), args.reason)
    output.say(batch_line(batch))
    output.result(message_json(batch, zeros=True))
    return ExitCode.OK
