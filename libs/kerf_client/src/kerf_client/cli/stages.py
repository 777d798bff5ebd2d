"""`kerf optimize`, `kerf vectorize`, `kerf plan`: one stage of the way, on local files."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path

from kerf.jobs.v1.job_pb2 import Job
from kerf.optimizer.v1.plan_pb2 import Operation, OperationKind, Placement, PlanRequest
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize, RasterMode
from kerf.optimizer.v1.vector_pb2 import TraceMode, VectorizeRequest
from kerf_client import recipes
from kerf_client.aio import AsyncKerf
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError
from kerf_client.cli.orders import slug
from kerf_client.cli.running import run_job
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.folder import ResultFolder
from kerf_client.making import Description, fetch_outputs, files_json, message_json, write_results
from kerf_client.outputs import possible_filename
from kerf_client.recipes import FileFormat
from kerf_client.report import warnings_of

_MAX_SOURCES = 16


class _Mode(Enum):
    THRESHOLD = "threshold"
    FLOYD_STEINBERG = "floyd-steinberg"
    HALFTONE = "halftone"
    LINE_ART = "line-art"
    SILHOUETTE = "silhouette"


class _Kind(Enum):
    ENGRAVE_RASTER = "engrave-raster"
    ENGRAVE_FILL = "engrave-fill"
    SCORE = "score"
    CUT = "cut"


BuildJob = Callable[[argparse.Namespace, list[str]], Job]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands."""
    _add_optimize(commands.add_parser("optimize", help="picture to burnable 1-bit PNG", epilog=EXIT_CODE_HELP))
    _add_vectorize(commands.add_parser("vectorize", help="picture to SVG in true millimetres", epilog=EXIT_CODE_HELP))
    _add_plan(commands.add_parser("plan", help="burnable PNGs and SVGs to machine files", epilog=EXIT_CODE_HELP))


def _add_optimize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs=1, type=Path, metavar="IMAGE")
    parser.add_argument(
        "--mode",
        type=options.one_of(_Mode),
        default=_Mode.FLOYD_STEINBERG,
        metavar="MODE",
        help="threshold, floyd-steinberg (default), halftone, line-art or silhouette",
    )
    parser.add_argument("--threshold", type=options.whole(1, 255), metavar="N", help="for threshold (default: Otsu's)")
    parser.add_argument("--lpi", type=options.number(1, 300), default=0.0, metavar="N", help="for halftone (dpi / 6)")
    parser.add_argument("--angle", type=options.number(-360, 360), metavar="DEGREES", help="for halftone (45)")
    parser.add_argument(
        "--line-width", type=options.length_mm, default=0.0, metavar="LENGTH", help="for line-art (0.4mm)"
    )
    parser.add_argument("--invert", action="store_true", help="burn light instead of dark")
    options.add_size_options(parser)
    _finish(parser, "optimize", _optimize_job)


def _optimize_job(args: argparse.Namespace, artifacts: list[str]) -> Job:
    request = OptimizeRequest(
        mode=RasterMode.Value(f"RASTER_MODE_{args.mode.name}"),
        size=PhysicalSize(width_mm=args.width or 0.0, height_mm=args.height or 0.0, dpi=args.dpi),
        threshold=args.threshold,
        halftone_lpi=args.lpi,
        halftone_angle_deg=args.angle,
        line_width_mm=args.line_width,
        invert=args.invert,
    )
    return recipes.optimize_job(artifacts[0], request)


def _add_vectorize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs=1, type=Path, metavar="IMAGE")
    parser.add_argument("--silhouette", action="store_true", help="only the outermost borders")
    parser.add_argument(
        "--despeckle", type=options.number(0, 1000), metavar="MM2", help="smaller spots vanish (default: 0.05 mm²)"
    )
    parser.add_argument("--tolerance", type=options.length_mm, default=0.0, metavar="LENGTH", help="(default: 0.05mm)")
    options.add_size_options(parser, dpi=False)
    _finish(parser, "vectorize", _vectorize_job)


def _vectorize_job(args: argparse.Namespace, artifacts: list[str]) -> Job:
    request = VectorizeRequest(
        mode=TraceMode.TRACE_MODE_SILHOUETTE if args.silhouette else TraceMode.TRACE_MODE_OUTLINE,
        size=PhysicalSize(width_mm=args.width or 0.0, height_mm=args.height or 0.0),
        despeckle_mm2=args.despeckle,
        tolerance_mm=args.tolerance,
    )
    return recipes.vectorize_job(artifacts[0], request)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Plans a burn of PNGs (1 bit, as `kerf optimize` writes them) and SVGs. Each --operation takes the next file; "
        "with more operations than files, write KIND:N for the N-th file. Without --operation a PNG is engraved as a "
        "raster and an SVG is scored."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--operation",
        action="append",
        default=[],
        metavar="KIND[:N]",
        help="engrave-raster, engrave-fill, score or cut; repeatable",
    )
    options.add_machine_options(parser)
    parser.add_argument("--title", default="", help="shown on the job sheet (default: the first file's name)")
    offset = options.number(-3000, 3000)
    parser.add_argument("--offset-x", type=offset, metavar="MM", help="from the front left corner of the bed")
    parser.add_argument("--offset-y", type=offset, metavar="MM", help="from the front left corner of the bed")
    parser.add_argument("--copies-x", type=options.whole(1, 100), metavar="N", help="copies in a row (default: 1)")
    parser.add_argument("--copies-y", type=options.whole(1, 100), metavar="N", help="rows of copies (default: 1)")
    parser.add_argument("--gap", type=options.number(0, 500), metavar="MM", help="between copies (default: 0)")
    parser.add_argument(
        "--format",
        type=options.formats,
        default=frozenset(FileFormat),
        metavar="LIST",
        help="svg,gcode,dxf,preview (default: all)",
    )
    _finish(parser, "plan", _plan_job)


def read_operations(texts: list[str], files: list[Path]) -> list[Operation]:
    """Operations in order. Raises UsageError for a kind or a file that there is not."""
    if not texts:
        kinds = [_Kind.SCORE if path.suffix.lower() == ".svg" else _Kind.ENGRAVE_RASTER for path in files]
        return [_operation(kind, index) for index, kind in enumerate(kinds)]
    found = []
    for position, text in enumerate(texts, start=1):
        kind_text, _, number_text = text.partition(":")
        try:
            kind = options.one_of(_Kind)(kind_text)
            number = options.whole(1, len(files))(number_text or str(position))
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--operation {text}: {error}; there are {len(files)} files") from None
        found.append(_operation(kind, number - 1))
    return found


def _operation(kind: _Kind, index: int) -> Operation:
    return Operation(input=index, kind=OperationKind.Value(f"OPERATION_KIND_{kind.name}"))


def _placement(args: argparse.Namespace) -> Placement | None:
    given = {
        "offset_x_mm": args.offset_x,
        "offset_y_mm": args.offset_y,
        "copies_x": args.copies_x,
        "copies_y": args.copies_y,
        "gap_mm": args.gap,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return Placement(**given) if given else None  # unset: the planner finds the place


def _plan_job(args: argparse.Namespace, artifacts: list[str]) -> Job:
    request = PlanRequest(
        machine=args.machine,
        material=args.material,
        operations=read_operations(args.operation, args.files),
        placement=_placement(args),
        outputs=recipes.plan_outputs(args.format),
        title=(args.title or args.files[0].name)[: recipes.MAX_TITLE_LENGTH],
    )
    return recipes.plan_job(artifacts, request)


def _finish(parser: argparse.ArgumentParser, verb: str, build: BuildJob) -> None:
    options.add_out_option(parser, f"out/<name of the file>-{verb}")
    add_connection_options(parser)
    parser.set_defaults(run=_command(verb, build))


def _command(verb: str, build: BuildJob) -> Callable[[argparse.Namespace, Output], Awaitable[int]]:
    async def run(args: argparse.Namespace, output: Output) -> int:
        files: list[Path] = args.files
        if len(files) > _MAX_SOURCES:
            raise UsageError(f"{len(files)} files are too many; at most {_MAX_SOURCES}")
        build(args, ["artifacts/" + "0" * 64] * len(files))  # wrong options are found before anything is started
        out = args.out or Path("out") / f"{slug(files[0].stem)}-{verb}"
        folder = ResultFolder(out, possible_filename)
        folder.prepare()

        async def work(gateway: Gateway) -> int:
            async with gateway.client() as client:
                await _do(client, args, build, folder, output)
            return ExitCode.OK

        return await with_gateway(args, output, work, starts=("optimizer",))

    return run


async def _do(
    client: AsyncKerf, args: argparse.Namespace, build: BuildJob, folder: ResultFolder, output: Output
) -> None:
    names = [(await client.upload(path)).name for path in args.files]
    job = await run_job(client, build(args, names), output)
    files = await fetch_outputs(client, job, getattr(args, "format", frozenset(FileFormat)))
    title = ", ".join(path.name for path in args.files)
    words = Description(title, f"One stage: {job.stages[0].id}", _settings(job))
    paths = await asyncio.to_thread(write_results, folder, job, files, None, words)
    for text in warnings_of(job):
        output.warn(text)
    for path in paths:
        output.say(str(path))
    output.result({"job": message_json(job), "files": await asyncio.to_thread(files_json, paths)})


def _settings(job: Job) -> dict[str, str]:
    stage = job.stages[0]
    if stage.WhichOneof("task") != "plan":
        return {"Stage": stage.id}
    return {"Material": stage.plan.material, "Machine": stage.plan.machine or "the default one"}
