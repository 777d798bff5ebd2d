"""`kerf jobs`: list, show, watch, cancel, retry, and what an operator does with those that are dead."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import aclosing

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf.jobs.v1.job_service_pb2 import DeadLetter, JobFilter
from kerf_client.aio import AsyncKerf
from kerf_client.cli.batch import batch_name
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, job_line, state_name
from kerf_client.cli.options import duration, label, whole
from kerf_client.cli.running import follow_job
from kerf_client.cli.session import add_connection_options, client_command
from kerf_client.errors import JobEnded
from kerf_client.making import message_json
from kerf_client.report import size_text, warnings_of

_MAX_PAGE = 1000
_STATES = {
    name.removeprefix("JOB_STATE_").lower(): value
    for name, value in JobState.items()
    if value != JobState.JOB_STATE_UNSPECIFIED
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `jobs` and what it can do."""
    parser = commands.add_parser("jobs", help="list, look at, follow, cancel and retry jobs", epilog=EXIT_CODE_HELP)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="newest first")
    listing.add_argument("--state", choices=sorted(_STATES), action="append", default=[], help="only these; repeatable")
    listing.add_argument("--kind", default="", metavar="KIND", help="that need this kind of worker, such as diffusion")
    listing.add_argument(
        "--label", type=label, action="append", default=[], metavar="KEY=VALUE", help="that have it; repeatable"
    )
    listing.add_argument("--batch", default="", metavar="BATCH", help="of this batch")
    listing.add_argument("--since", type=duration, metavar="TIME", help="accepted since then: 90s, 10m, 2h, 1d")
    listing.set_defaults(run=client_command(_list))

    dead = actions.add_parser("dead", help="dead letters: jobs whose attempts were used up; operators only")
    dead.set_defaults(run=client_command(_dead))
    for action in (listing, dead):
        action.add_argument(
            "--limit", type=whole(1, 100_000), default=50, metavar="N", help="at most so many (default: 50)"
        )
    getting = actions.add_parser("show", aliases=["get"], help="what a job is and made")
    watching = actions.add_parser("watch", help="follow a job to its end; exit code 1 if it does not succeed")
    watching.add_argument(
        "--after", type=whole(0, 10**9), default=0, metavar="SEQUENCE", help="only events after this one (default: all)"
    )
    cancelling = actions.add_parser("cancel", help="cancel a job")
    cancelling.add_argument("--reason", default="", help="shown to whoever follows the job")
    retrying = actions.add_parser("retry", help="a new job like one that ended")
    retrying.add_argument("--tenant", default="", metavar="NAME", help="a dead letter of this tenant; operators only")
    for action, work in ((getting, _get), (watching, _watch), (cancelling, _cancel), (retrying, _retry)):
        action.add_argument("name", metavar="JOB", help="`jobs/<id>` or the id alone")
        action.set_defaults(run=client_command(work))
    for action in (listing, dead, getting, watching, cancelling, retrying):
        add_connection_options(action)


def job_name(text: str) -> str:
    """`jobs/<id>` of either form."""
    return text if text.startswith("jobs/") else f"jobs/{text}"


async def _list(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    wanted = JobFilter(states=[_STATES[name] for name in args.state], kind=args.kind, labels=dict(args.label))
    if args.batch:
        wanted.batch = batch_name(args.batch)
    if args.since is not None:
        wanted.created_after.FromSeconds(max(0, int(time.time() - args.since.total_seconds())))
    jobs: list[Job] = []
    async with aclosing(client.list_jobs(filter=wanted, page_size=min(args.limit, _MAX_PAGE))) as found:
        async for job in found:
            output.say(job_line(job))
            jobs.append(job)
            if len(jobs) == args.limit:
                break
    if not jobs:
        output.note("no such jobs")
    output.result([message_json(job) for job in jobs])
    return ExitCode.OK


async def _get(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    _show(await client.get_job(job_name(args.name)), output)
    return ExitCode.OK


async def _watch(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    name = job_name(args.name)

    def remember(sequence: int) -> None:
        command = f"`kerf jobs watch {name} --after {sequence}`"
        output.farewell = f"{name} goes on; {command} follows it, `kerf jobs cancel {name}` ends it"

    def listen(event: JobEvent) -> None:
        if event.sequence:
            remember(event.sequence)

    remember(args.after)
    try:
        job = await follow_job(client, name, output, after_sequence=args.after, listen=listen)
    except JobEnded as ended:
        output.fail(ended.message)
        output.result(message_json(ended.job))
        return ExitCode.JOB_FAILED
    _show(job, output)
    return ExitCode.OK


async def _cancel(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    job = await client.cancel_job(job_name(args.name), args.reason)
    output.say(job_line(job))
    output.result(message_json(job))
    return ExitCode.OK


async def _retry(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    name = job_name(args.name)
    job = await (client.retry_dead_letter(args.tenant, name) if args.tenant else client.retry_job(name))
    output.say(job_line(job))
    output.result(message_json(job))
    return ExitCode.OK


async def _dead(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    letters = await dead_letters(client, args.limit)
    show_dead_letters(letters, "`kerf jobs retry JOB --tenant NAME` tries one again", output)
    return ExitCode.OK


async def dead_letters(
    client: AsyncKerf, limit: int, wanted: Callable[[DeadLetter], bool] | None = None
) -> list[DeadLetter]:
    """The newest so many that are wanted; None = all are."""
    letters: list[DeadLetter] = []
    page_size = _MAX_PAGE if wanted else min(limit, _MAX_PAGE)
    async with aclosing(client.list_dead_letters(page_size=page_size)) as found:
        async for letter in found:
            if wanted is None or wanted(letter):
                letters.append(letter)
            if len(letters) == limit:
                break
    return letters


def show_dead_letters(letters: list[DeadLetter], advice: str, output: Output) -> None:
    """One line each, and what to do with them."""
    for letter in letters:
        output.say(f"{letter.tenant}  {letter.kind}  {job_line(letter.job)}")
    output.note(advice if letters else "no dead letters")
    output.result([message_json(letter) for letter in letters])


def _show(job: Job, output: Output) -> None:
    output.say(job_line(job))
    for stage in job.stages:
        output.say(f"  {stage.id}  {state_name(stage.state)}  attempts {stage.attempts}")
        for artifact in stage.outputs:
            role = artifact.labels.get("role", "?")
            output.say(f"    {role:10} {artifact.name}  {artifact.size_bytes:,} bytes  {size_text(artifact)}".rstrip())
    if job.error.message:
        output.say(f"  error: {job.error.message}")
    for text in warnings_of(job):
        output.say(f"  warning: {text}")
    output.result(message_json(job))
