"""`kerf queue`: how the queue stands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import aclosing
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kerf.jobs.v1.queue_pb2 import QueueGroup, QueueStats
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError, harmless
from kerf_client.cli.options import number
from kerf_client.cli.session import add_connection_options, client_command
from kerf_client.facts import as_duration
from kerf_client.making import message_json

_COLUMNS = ("", "waiting", "running", "oldest wait", "started/min", "completed/min", "mean wait")
_NONE = "–"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `queue`."""
    parser = commands.add_parser(
        "queue",
        help="what waits and runs, and how fast it goes",
        description="Counts stages: a job is in one stage at a time. You see your own tenant's, operators see all. "
        f"{_NONE} stands where there is nothing to measure. With --watch and --json each line is one value.",
        epilog=EXIT_CODE_HELP,
    )
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    parser.add_argument(
        "--interval", type=number(0.2, 60), metavar="SECONDS", help="with --watch (default: the gateway's own, 2)"
    )
    add_connection_options(parser)
    parser.set_defaults(run=client_command(_run))


async def _run(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    if args.interval is not None and not args.watch:
        raise UsageError("--interval goes with --watch")
    if args.watch:
        output.farewell = "nothing was changed; `kerf queue --watch` shows the queue again"
        await _watch(client, timedelta(seconds=args.interval) if args.interval else None, output)
        return ExitCode.OK
    stats = await client.get_queue_stats()
    for line in queue_lines(stats):
        output.say(line)
    output.result(queue_json(stats))
    return ExitCode.OK


async def _watch(client: AsyncKerf, interval: timedelta | None, output: Output) -> None:
    console = Console(highlight=False, markup=False)
    async with aclosing(client.watch_queue(interval=interval)) as states:
        if output.as_json or not console.is_terminal:
            async for stats in states:
                output.say("\n".join(queue_lines(stats)))
                output.result_line(queue_json(stats))
            return
        with Live(console=console, auto_refresh=False) as live:
            async for stats in states:
                live.update(Text(harmless("\n".join(queue_lines(stats)))), refresh=True)


def queue_lines(stats: QueueStats) -> list[str]:
    """A table: everything together, then by kind, priority and tenant; free slots below."""
    rows = [_COLUMNS, _row("all", stats.total)]
    for title, groups in (("kind", stats.kinds), ("priority", stats.priorities), ("tenant", stats.tenants)):
        rows += [_row(f"{title} {group.key}", group) for group in groups]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [_joined(row, widths) for row in rows]
    slots = ", ".join(f"{kind} {count}" for kind, count in sorted(stats.free_slots.items()))
    moment = stats.time.ToDatetime().isoformat(sep=" ", timespec="seconds")
    return [f"queue at {moment} UTC", *lines, f"free slots: {slots or 'no worker answered lately'}"]


def _joined(row: tuple[str, ...], widths: Iterable[int]) -> str:
    first, *others = widths
    return "  ".join([row[0].ljust(first), *(text.rjust(width) for text, width in zip(row[1:], others, strict=True))])


def _row(name: str, group: QueueGroup) -> tuple[str, ...]:
    counts = (str(group.waiting), str(group.running))
    oldest = as_duration(group.oldest_wait_seconds) if group.waiting else _NONE
    mean = f"{group.mean_wait_seconds:.2f} s" if group.mean_wait_seconds >= 0 else _NONE
    return harmless(name), *counts, oldest, str(group.started_last_minute), str(group.completed_last_minute), mean


def queue_json(stats: QueueStats) -> dict[str, object]:
    """The same for programs: every count is there; a wait that nobody had is null."""

    def described(group: QueueGroup) -> dict[str, object]:
        result = message_json(group, zeros=True)
        if not group.waiting:
            result["oldest_wait_seconds"] = None
        if group.mean_wait_seconds < 0:
            result["mean_wait_seconds"] = None
        return result

    return {
        "time": stats.time.ToJsonString(),
        "total": described(stats.total),
        "kinds": [described(group) for group in stats.kinds],
        "priorities": [described(group) for group in stats.priorities],
        "tenants": [described(group) for group in stats.tenants],
        "free_slots": dict(stats.free_slots),
    }
