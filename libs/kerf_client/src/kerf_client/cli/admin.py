"""`kerf admin`: what an operator does across tenants."""

from __future__ import annotations

import argparse
import asyncio
import sys

from kerf.admin.v1.admin_pb2 import TenantDeletion, TenantDeletionState
from kerf.jobs.v1.job_pb2 import Job
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError, job_line
from kerf_client.cli.jobs import dead_letters, job_name, show_dead_letters
from kerf_client.cli.options import whole
from kerf_client.cli.session import add_connection_options, client_command
from kerf_client.errors import KerfError, NotFound
from kerf_client.making import message_json

_LOOK_EVERY_S = 1.0
_COUNTS = {
    "cancelled_jobs": "cancelled jobs",
    "jobs": "jobs",
    "log_entries": "log entries",
    "artifacts": "artifacts",
    "uploads": "uploads",
    "checkpoints": "checkpoints",
    "archived_jobs": "archived jobs",
    "request_ids": "request ids",
    "api_keys": "API keys",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `admin` and what it can do."""
    parser = commands.add_parser(
        "admin",
        help="dead letters and tenants; operators only",
        description="Works across tenants, so every action wants an operator's API key. `kerf queue` shows an operator "
        "how the queue stands for every tenant.",
        epilog=EXIT_CODE_HELP,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    dead = actions.add_parser("dead-letters", help="jobs whose attempts were used up, newest first")
    dead.add_argument("--tenant", default="", metavar="NAME", help="only this tenant's")
    dead.add_argument("--limit", type=whole(1, 100_000), default=50, metavar="N", help="at most so many (default: 50)")
    dead.set_defaults(run=client_command(_dead_letters))

    retrying = actions.add_parser("retry", help="new jobs like dead letters, of the same tenants")
    retrying.add_argument("names", nargs="+", metavar="JOB", help="`jobs/<id>` or the id alone")
    retrying.add_argument("--tenant", default="", metavar="NAME", help="whose they are (default: it is looked up)")
    retrying.set_defaults(run=client_command(_retry))

    deleting = actions.add_parser(
        "delete-tenant",
        help="delete everything that a tenant has, and wait until it is gone",
        description="Cancels what runs and removes the tenant's jobs, logs, results, uploads, checkpoints, request "
        "ids, API keys and quotas. Nothing brings them back. Asks for the name again; one that goes on is followed.",
    )
    deleting.add_argument("tenant", metavar="TENANT")
    deleting.add_argument("--yes", action="store_true", help="do not ask for the name again")
    deleting.add_argument("--detach", action="store_true", help="leave once the deletion has begun")
    deleting.set_defaults(run=client_command(_delete))

    showing = actions.add_parser("deletion", help="how far the deletion of a tenant is, or what it removed")
    showing.add_argument("tenant", metavar="TENANT")
    showing.set_defaults(run=client_command(_show_deletion))
    for action in (dead, retrying, deleting, showing):
        add_connection_options(action)


async def _dead_letters(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    letters = await dead_letters(client, args.limit, lambda letter: args.tenant in ("", letter.tenant))
    show_dead_letters(letters, "`kerf admin retry JOB` tries one again", output)
    return ExitCode.OK


async def _retry(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    """All names are looked up before the first job is made; what was made is told, whatever comes then."""
    names = list(dict.fromkeys(job_name(each) for each in args.names))
    tenants = dict.fromkeys(names, args.tenant) if args.tenant else await _tenants_of(client, names)
    jobs: list[Job] = []
    try:
        for name in names:
            jobs.append(await client.retry_dead_letter(tenants[name], name))
            output.say(job_line(jobs[-1]))
    except KerfError:
        for job in jobs:
            output.note(f"{job.name} was made before this error, for {job.retry_of}")
        raise
    output.result([message_json(job) for job in jobs])
    return ExitCode.OK


async def _tenants_of(client: AsyncKerf, names: list[str]) -> dict[str, str]:
    """Whose dead letters these are. Raises NotFound."""
    letters = await dead_letters(client, len(names), lambda letter: letter.job.name in names)
    tenants = {letter.job.name: letter.tenant for letter in letters}
    if missing := [name for name in names if name not in tenants]:
        raise NotFound(
            f"no dead letters: {', '.join(missing)}; `kerf admin dead-letters` lists them",
            reason="DEAD_LETTER_NOT_FOUND",
        )
    return tenants


async def _delete(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    tenant = args.tenant
    output.farewell = "nothing was deleted"
    if not args.yes:
        await _confirm(tenant, output)
    deletion = await client.delete_tenant(tenant)
    output.farewell = f"the deletion of {tenant!r} goes on; `kerf admin deletion {tenant}` shows how far it is"
    if args.detach:
        output.note(output.farewell)
    else:
        deletion = await _follow(client, deletion, output)
    _show(deletion, output)
    return ExitCode.OK


async def _confirm(tenant: str, output: Output) -> None:
    """Let the person type the name. Raises UsageError for another one."""
    output.note(f"everything of the tenant {tenant!r} will be deleted for ever; type its name to go on:")
    typed = (await _typed_line()).strip()
    if typed != tenant:
        said = f"{typed!r} was typed" if typed else "nothing was typed (--yes does not ask)"
        raise UsageError(f"{said} where {tenant!r} was asked for: nothing was deleted")


async def _typed_line() -> str:
    """A line of stdin, waited for in a way that Ctrl-C can end."""
    if sys.stdin is None:
        return ""  # it was closed before this process began
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    try:
        # A terminal is readable once it has a whole line.
        loop.add_reader(sys.stdin, typed.set)
    except PermissionError:
        return sys.stdin.readline()  # a file is always readable, and cannot be waited for
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()


async def _follow(client: AsyncKerf, deletion: TenantDeletion, output: Output) -> TenantDeletion:
    """Until nothing is left; tells what was removed whenever that has grown."""
    told = ""
    with output.busy(f"deleting everything of {deletion.tenant!r} ..."):
        while deletion.state == TenantDeletionState.TENANT_DELETION_STATE_RUNNING:
            if not output.as_json and (counts := _counts(deletion)) != told:
                told = counts
                output.note(f"removed so far: {counts}")
            await asyncio.sleep(_LOOK_EVERY_S)
            deletion = await client.get_tenant_deletion(deletion.tenant)
    return deletion


async def _show_deletion(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    _show(await client.get_tenant_deletion(args.tenant), output)
    return ExitCode.OK


def _show(deletion: TenantDeletion, output: Output) -> None:
    done = deletion.state == TenantDeletionState.TENANT_DELETION_STATE_DONE
    output.say(f"{deletion.tenant}  {'deleted' if done else 'is being deleted'}  {_counts(deletion) or 'nothing yet'}")
    output.result(message_json(deletion, zeros=True))


def _counts(deletion: TenantDeletion) -> str:
    """`3 jobs, 12 log entries`; empty where nothing was removed."""
    figures = {words: getattr(deletion, name) for name, words in _COUNTS.items()}
    return ", ".join(f"{count:,} {words}" for words, count in figures.items() if count)
