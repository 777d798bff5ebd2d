"""`kerf grid`: a power/speed grid, or a strip that measures the kerf, as files to burn."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.optimizer.v1.optimizer_pb2 import (
    MakeKerfTestRequest,
    MakeKerfTestResponse,
    MakeTestGridRequest,
    MakeTestGridResponse,
)
from kerf.optimizer.v1.plan_pb2 import OperationKind, PlannedFile, PlanReport
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError
from kerf_client.cli.orders import slug
from kerf_client.cli.session import Gateway, add_connection_options, add_optimizer_option, with_gateway, with_optimizer
from kerf_client.facts import reported_facts
from kerf_client.folder import ResultFolder
from kerf_client.formats import plan_outputs
from kerf_client.grid_page import GridPage, render_grid_page
from kerf_client.making import files_json, message_json
from kerf_client.optimizer import AsyncOptimizer
from kerf_client.outputs import REPORT_FILE, ROLE_OF_OUTPUT, plan_filename, possible_filename, wanted_format
from kerf_client.plan_page import burn_time_text
from kerf_client.report import ReportFile

DESCRIPTION = """\
power  a grid of cells, power rising from row to row and speed from column to column (default)
kerf   a strip cut into pieces: pushed together, they are shorter than the strip by as many kerfs as there are pieces

Writes machine files, each read back and passed by the safety linter, and report.html with every cell's figures. Asks
the optimizer itself, at --optimizer, KERF_CLIENT_OPTIMIZER or the one of the stack that `kerf up` started.
"""
_KINDS = OperationKind.DESCRIPTOR
_POWER, _KERF = "power", "kerf"
_ONLY_FOR = {
    _POWER: (
        "operation",
        "columns",
        "rows",
        "min_power",
        "max_power",
        "min_speed",
        "max_speed",
        "passes",
        "interval",
        "cell",
    ),
    _KERF: ("pieces", "piece", "height"),
}
Answer = MakeTestGridResponse | MakeKerfTestResponse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `grid`."""
    parser = commands.add_parser(
        "grid",
        help="test pieces that find power, speed and kerf",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", nargs="?", choices=[_POWER, _KERF], default=_POWER, metavar="WHAT", help="power or kerf"
    )
    options.add_machine_options(parser)
    _add_power_options(parser.add_argument_group("for the grid"))
    strip = parser.add_argument_group("for the strip")
    strip.add_argument("--pieces", type=options.whole(1, 40), metavar="N", help="(default: 10)")
    strip.add_argument("--piece", type=options.length_mm, metavar="LENGTH", help="width of a piece (default: 10mm)")
    strip.add_argument("--height", type=options.length_mm, metavar="LENGTH", help="of the strip (default: 20mm)")
    options.add_format_option(parser)
    options.add_out_option(parser, "out/grid-<machine>-<material>-<what>")
    add_optimizer_option(parser)
    add_connection_options(parser)
    parser.set_defaults(run=run)


def _add_power_options(group: argparse._ArgumentGroup) -> None:
    percent, speed = options.number(0.01, 100), options.number(0.01, 60000)
    group.add_argument(
        "--operation",
        type=options.of_proto(_KINDS),
        metavar="KIND",
        help="engrave-fill (default): hatched squares; score, cut: outlines",
    )
    group.add_argument("--columns", type=options.whole(1, 12), metavar="N", help="cells along the speed (default: 6)")
    group.add_argument("--rows", type=options.whole(1, 12), metavar="N", help="cells along the power (default: 6)")
    group.add_argument("--min-power", type=percent, metavar="PERCENT", help="(default: half the preset's)")
    group.add_argument(
        "--max-power", type=percent, metavar="PERCENT", help="(default: twice the preset's, at most 100)"
    )
    group.add_argument("--min-speed", type=speed, metavar="MM/MIN", help="(default: half the preset's)")
    group.add_argument(
        "--max-speed", type=speed, metavar="MM/MIN", help="(default: twice the preset's, at most the machine's)"
    )
    group.add_argument("--passes", type=options.whole(1, 20), metavar="N", help="(default: 1)")
    group.add_argument(
        "--interval", type=options.number(0.001, 5), metavar="MM", help="between hatch lines (default: the preset's)"
    )
    group.add_argument("--cell", type=options.length_mm, metavar="LENGTH", help="side of a cell (default: 8mm)")


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""
    _refuse_others(args)
    out = args.out or Path("out") / slug(f"grid-{args.machine}-{args.material}-{args.what}")
    folder = ResultFolder(out, possible_filename)
    folder.prepare()

    async def work(optimizer: AsyncOptimizer) -> int:
        with output.busy("planning the test piece ..."):
            answer: Answer
            if args.what == _KERF:
                answer = await optimizer.make_kerf_test(_kerf_request(args))
            else:
                answer = await optimizer.make_test_grid(_grid_request(args))
        files = [await _fetched(each, args, output) for each in answer.files if each.format in ROLE_OF_OUTPUT]
        paths = await asyncio.to_thread(_write, folder, answer, files, args)
        _tell(answer, files, paths, output)
        listed = await asyncio.to_thread(files_json, paths)
        output.result({"test": _without_content(answer), "files": listed})
        return ExitCode.OK

    return await with_optimizer(args, output, work)


def _refuse_others(args: argparse.Namespace) -> None:
    for what, names in _ONLY_FOR.items():
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]
        if given and what != args.what:
            raise UsageError(f"{', '.join(given)}: only for `kerf grid {what}`")


def _grid_request(args: argparse.Namespace) -> MakeTestGridRequest:
    return MakeTestGridRequest(
        machine=args.machine,
        material=args.material,
        kind=args.operation or OperationKind.OPERATION_KIND_ENGRAVE_FILL,
        columns=args.columns or 0,
        rows=args.rows or 0,
        min_power_percent=args.min_power or 0.0,
        max_power_percent=args.max_power or 0.0,
        min_speed_mm_per_min=args.min_speed or 0.0,
        max_speed_mm_per_min=args.max_speed or 0.0,
        passes=args.passes or 0,
        interval_mm=args.interval or 0.0,
        cell_mm=args.cell or 0.0,
        outputs=plan_outputs(args.format),
    )


def _kerf_request(args: argparse.Namespace) -> MakeKerfTestRequest:
    return MakeKerfTestRequest(
        machine=args.machine,
        material=args.material,
        pieces=args.pieces or 0,
        piece_mm=args.piece or 0.0,
        height_mm=args.height or 0.0,
        outputs=plan_outputs(args.format),
    )


async def _fetched(file: PlannedFile, args: argparse.Namespace, output: Output) -> ReportFile:
    """The file under a name of ours. What did not fit into the answer is fetched from the gateway."""
    role = ROLE_OF_OUTPUT[file.format]
    data = file.content.data
    if file.content.WhichOneof("kind") == "artifact":
        data = await _downloaded(file.content.artifact, args, output)
    artifact = Artifact(media_type=file.media_type, size_bytes=len(data))
    return ReportFile(plan_filename(role), role, 0, artifact, data, wanted_format(role, args.format))


async def _downloaded(name: str, args: argparse.Namespace, output: Output) -> bytes:
    found = b""

    async def fetch(gateway: Gateway) -> int:
        nonlocal found
        async with gateway.client() as client:
            found = await client.download(name)
        return ExitCode.OK

    await with_gateway(args, output, fetch)
    return found


def _write(folder: ResultFolder, answer: Answer, files: list[ReportFile], args: argparse.Namespace) -> list[Path]:
    details = next((file.data for file in files if file.role == "report"), b"")
    grid = isinstance(answer, MakeTestGridResponse)
    page = GridPage(
        title="Power and speed" if grid else "Kerf",
        settings={"Machine": args.machine, "Material": args.material},
        files=files,
        facts=reported_facts(answer.report, details),
        warnings=list(answer.report.warnings),
        cells=list(answer.cells) if isinstance(answer, MakeTestGridResponse) else [],
        instructions=answer.instructions if isinstance(answer, MakeKerfTestResponse) else "",
    )
    contents = {file.filename: file.data for file in files if file.wanted} | {REPORT_FILE: render_grid_page(page)}
    return folder.write(contents, {"test": _without_content(answer)})


def _without_content(answer: Answer) -> dict[str, object]:
    told = message_json(answer)
    told.pop("files", None)
    return told


def _tell(answer: Answer, files: list[ReportFile], paths: list[Path], output: Output) -> None:
    report: PlanReport = answer.report
    for text in report.warnings:
        output.warn(text)
    if isinstance(answer, MakeKerfTestResponse):
        output.say(answer.instructions)
    else:
        left_out = sum(bool(cell.left_out) for cell in answer.cells)
        note = f", {left_out} left out: over the material's cap" if left_out else ""
        output.say(f"{len(answer.cells)} cells{note}")
    output.say(f"burn time about {burn_time_text(reported_facts(report, b''))}, an estimate")
    for path in paths:
        output.say(str(path))
