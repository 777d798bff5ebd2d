"""`kerf gpu`: how the node and its GPUs do, as the monitor says."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kerf.monitor.v1.monitor_pb2 import NodeSnapshot, Session
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError, harmless
from kerf_client.cli.files import write_file
from kerf_client.cli.options import duration, number, whole
from kerf_client.cli.session import add_connection_options, with_monitor
from kerf_client.gpu_page import NodeFacts, render_gpu_page
from kerf_client.monitor import AsyncMonitor
from kerf_client.readings import (
    gpu_rows,
    gpu_support_text,
    health_lines,
    host_rows,
    moment,
    monitor_json,
    reading_text,
    session_row,
    share,
    snapshots_of,
    tracks,
)

MAX_SESSIONS = 500


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `gpu`."""
    parser = commands.add_parser(
        "gpu",
        help="how the node and its GPUs do",
        description="Asks the monitor itself, at --monitor, KERF_CLIENT_MONITOR or the one of the stack that `kerf up` "
        "started. What could not be measured is said in words, never as 0.",
        epilog=EXIT_CODE_HELP,
    )
    parser.add_argument("--watch", action="store_true", help="show the readings again and again, until Ctrl-C")
    parser.add_argument(
        "--interval", type=number(0.1, 3600), metavar="SECONDS", help="with --watch (default: the monitor's own)"
    )
    parser.add_argument("--history", type=duration, metavar="TIME", help="readings since then too: 90s, 10m, 2h")
    parser.add_argument(
        "--sessions",
        type=whole(0, MAX_SESSIONS),
        default=10,
        metavar="N",
        help="stage attempts to list, newest first (default: %(default)s)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with tables and curves")
    parser.add_argument("--force", action="store_true", help="replace the file of --html if it exists")
    parser.add_argument("--monitor", default="", metavar="HOST:PORT", help="where the monitor answers")
    add_connection_options(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""
    if args.watch and (args.json or args.html or args.history):
        raise UsageError("--watch shows readings until Ctrl-C: it does not go with --json, --html or --history")
    if args.html and args.html.exists() and not args.force:
        raise UsageError(f"{args.html} exists already; --force replaces it")

    async def work(monitor: AsyncMonitor) -> int:
        if args.watch:
            return await _watch(monitor, args, output)
        facts = await node_facts(monitor, history=args.history, sessions=args.sessions)
        _show(facts, output)
        if args.html:
            page = await asyncio.to_thread(render_gpu_page, facts)
            await asyncio.to_thread(write_file, args.html, page, force=args.force)
            output.say(str(args.html))
        output.result(facts_json(facts))
        return ExitCode.OK

    return await with_monitor(args, output, work)


async def node_facts(monitor: AsyncMonitor, *, history: timedelta | None, sessions: int) -> NodeFacts:
    """Everything that is shown at once. Raises KerfError."""
    node = await monitor.get_node(history=history)
    health = await monitor.get_health()
    listed: list[Session] = []
    if sessions:
        async with aclosing(monitor.list_sessions(page_size=sessions)) as found:
            async for session in found:
                listed.append(session)
                if len(listed) == sessions:
                    break
    return NodeFacts(node, health, listed)


def facts_json(facts: NodeFacts) -> dict[str, object]:
    """The same for programs: every reading has a value that may be null."""
    return {
        "node": monitor_json(facts.node.now),
        "history": [monitor_json(each) for each in facts.node.history],
        "health": monitor_json(facts.health),
        "sessions": [monitor_json(each) for each in facts.sessions],
    }


def snapshot_lines(snapshot: NodeSnapshot) -> list[str]:
    """One line per figure."""
    lines = [f"node {snapshot.node or 'of unknown name'}  {moment(snapshot.time)}"]
    lines += [f"  {name:14} {text}" for name, text in host_rows(snapshot.host)]
    lines.append(gpu_support_text(snapshot.gpu_support))
    for gpu in snapshot.gpus:
        lines.append(f"GPU {gpu.index}  {gpu.name or 'name unknown'}")
        lines += [f"  {name:24} {text}" for name, text in gpu_rows(gpu)]
    return lines


def _show(facts: NodeFacts, output: Output) -> None:
    lines = [*snapshot_lines(facts.node.now), *health_lines(facts.health)]
    history = snapshots_of(facts.node)
    if history:
        lines.append(f"history since {moment(history[0].time)}")
        lines += [f"  {track.name:24} {track.summary}" for track in tracks(history)]
    if facts.sessions:
        lines.append("sessions, newest first: job, stage, kind, worker, began, took, outcome, device, GPU memory")
        lines += ["  " + "  ".join(session_row(session, reasons=False)) for session in facts.sessions]
    for line in lines:
        output.say(line)


async def _watch(monitor: AsyncMonitor, args: argparse.Namespace, output: Output) -> int:
    interval = timedelta(seconds=args.interval) if args.interval else None
    console = Console(highlight=False, markup=False)
    try:
        async with aclosing(monitor.watch_node(interval=interval)) as snapshots:
            if not console.is_terminal:
                async for snapshot in snapshots:
                    output.say(_line(snapshot))
                return ExitCode.OK
            with Live(console=console, auto_refresh=False) as live:
                async for snapshot in snapshots:
                    live.update(Text(harmless("\n".join(snapshot_lines(snapshot)))), refresh=True)
    except asyncio.CancelledError:
        # Ctrl-C is how it is meant to end.
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
    return ExitCode.OK


def _line(snapshot: NodeSnapshot) -> str:
    parts = [moment(snapshot.time), f"CPU {reading_text(snapshot.host.cpu_utilization, share)}"]
    parts += [f"GPU {gpu.index} {reading_text(gpu.utilization, share)}" for gpu in snapshot.gpus]
    return "  ".join(parts if snapshot.gpus else [*parts, gpu_support_text(snapshot.gpu_support)])
