"""`kerf make`: words or a picture to machine files."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from kerf.jobs.v1.job_pb2 import Job
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output
from kerf_client.cli.orders import Order, add_order_options, described, files_of, job_of, read_order, send_files
from kerf_client.cli.running import run_job
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.facts import as_duration
from kerf_client.folder import ResultFolder
from kerf_client.making import facts_of, fetch_outputs, fetch_source, files_json, message_json, write_results
from kerf_client.outputs import possible_filename
from kerf_client.report import warnings_of

DESCRIPTION = """\
Turns words or a picture into files for a laser: G-code, SVG, DXF, PNG, a burn preview, a job sheet and report.html.
An argument that is an existing file is taken as a picture, anything else as a prompt.

What each style burns:
  line-art    strokes traced and filled (a picture: its edges drawn as lines)
  silhouette  the subject as one shape, filled, its edge scored
  engraving   the picture as a raster (a photograph: as halftone), its outline (photograph: edge lines) scored
  photo       the picture dithered by Floyd-Steinberg as a raster, its edge lines scored on top
  auto        photo for a picture; for a prompt the style that its words name, else line-art. The prompt that is
              sent gets the style's name where it lacks it; the report shows it

If no gateway is named and none runs here, kerf starts everything on this machine for the duration of the command.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `make`."""
    parser = commands.add_parser(
        "make",
        help="words or a picture to machine files",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_order_options(parser)
    add_connection_options(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""
    order = read_order(args)

    async def work(gateway: Gateway) -> int:
        async with gateway.client() as client:
            await make(client, order, output)
        return ExitCode.OK

    ResultFolder(order.out, possible_filename).prepare()
    starts = ("diffusion", "optimizer") if order.words else ("optimizer",)
    return await with_gateway(args, output, work, starts=starts)


async def make(client: AsyncKerf, order: Order, output: Output) -> list[Path]:
    """Run the order's job and write its folder; says the paths. Raises KerfError."""
    folder = ResultFolder(order.out, possible_filename)
    folder.prepare()
    sent = await send_files(client, files_of(order))
    done = await run_job(client, job_of(order, sent), output)
    files = await fetch_outputs(client, done, order.target.formats)
    source = await fetch_source(client, done)
    paths = await asyncio.to_thread(write_results, folder, done, files, source, described(done, order.target.title))
    seconds = [plan.estimated_seconds for plan in facts_of(files)]
    _tell(output, done, paths, seconds)
    output.result(
        {
            "job": message_json(done),
            "estimated_seconds_by_item": seconds,
            "warnings": warnings_of(done),
            "files": await asyncio.to_thread(files_json, paths),
        }
    )
    return paths


def _tell(output: Output, job: Job, paths: list[Path], seconds: list[float | None]) -> None:
    for text in warnings_of(job):
        output.warn(text)
    output.say(f"{job.name} done; burn time about {', '.join(as_duration(each) for each in seconds)} (an estimate)")
    for path in paths:
        output.say(f"  {path}")
