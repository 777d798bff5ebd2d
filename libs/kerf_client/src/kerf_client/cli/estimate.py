"""`kerf estimate`: what a `kerf make` would take, before it is done."""

from __future__ import annotations

import argparse

from kerf.jobs.v1.estimate_pb2 import EstimateInterval, JobEstimate
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output
from kerf_client.cli.orders import add_order_options, files_of, job_of, read_order, send_files
from kerf_client.cli.session import add_connection_options, client_command
from kerf_client.facts import as_duration
from kerf_client.making import message_json

_GIB = 2.0**30
_UNKNOWN = "not known"

DESCRIPTION = """\
Says what `kerf make` with the same arguments would take, by what such work took here lately. Nothing is made or written
(--out and --format are read and not used); pictures and LoRA files are stored, as the gateway looks at them.
What was not measured often enough is not known, and said so.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `estimate`."""
    parser = commands.add_parser(
        "estimate",
        help="what `kerf make` would take",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_order_options(parser)
    add_connection_options(parser)
    parser.set_defaults(run=client_command(_run))


async def _run(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    order = read_order(args)
    estimate = await client.estimate_job(job_of(order, await send_files(client, files_of(order))))
    for line in estimate_lines(estimate):
        output.say(line)
    output.result(estimate_json(estimate))
    return ExitCode.OK


def _of(message: JobEstimate, name: str) -> EstimateInterval | None:
    return getattr(message, name) if message.HasField(name) else None  # type: ignore[arg-type]  # one of its own fields


def interval_text(interval: EstimateInterval | None, unit: str) -> str:
    """`about 12 s (8 s to 20 s)`; `unit` is s, GiB or empty."""
    if interval is None:
        return _UNKNOWN
    low, expected, high = (_figure(value, unit) for value in (interval.low, interval.expected, interval.high))
    return f"about {expected} ({low} to {high})" if low != high else expected


def _figure(value: float, unit: str) -> str:
    if unit == "s":
        return as_duration(value) if value >= 10 or value == 0 else f"{value:.2g} s"
    return f"{value / _GIB:.2f} GiB" if unit == "GiB" else f"{value:.4g}"


def estimate_lines(estimate: JobEstimate) -> list[str]:
    """One line per figure; a tenth of what was measured lies below an interval, a tenth above."""
    lines = [
        f"total   {interval_text(_of(estimate, 'total_seconds'), 's')}",
        f"  wait  {interval_text(_of(estimate, 'wait_seconds'), 's')}",
    ]
    width = max((len(stage.stage) for stage in estimate.stages), default=0)
    for stage in estimate.stages:
        known = stage.computed_seconds if stage.HasField("computed_seconds") else None
        seen = f"{stage.samples} such stage{'' if stage.samples == 1 else 's'} measured here"
        lines.append(f"  {stage.stage:{width}}  {interval_text(known, 's')}  [{seen}]")
    lines.append(f"memory  {interval_text(_of(estimate, 'peak_memory_bytes'), 'GiB')}")
    lines.append(f"cost    {interval_text(_of(estimate, 'cost'), '')}")
    return lines


def estimate_json(estimate: JobEstimate) -> dict[str, object]:
    """The same for programs: every figure is there, null where it is not known."""

    def described(interval: EstimateInterval | None) -> dict[str, object] | None:
        return message_json(interval, zeros=True) if interval is not None else None

    stages = [
        {
            "stage": stage.stage,
            "computed_seconds": described(stage.computed_seconds if stage.HasField("computed_seconds") else None),
            "samples": stage.samples,
        }
        for stage in estimate.stages
    ]
    names = ("total_seconds", "wait_seconds", "peak_memory_bytes", "cost")
    return {name: described(_of(estimate, name)) for name in names} | {"stages": stages}
