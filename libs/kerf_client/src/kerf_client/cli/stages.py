"""Stages on local files: what `kerf optimize`, `kerf vectorize` and `kerf plan` share, and `vectorize` itself."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf.optimizer.v1.raster_pb2 import PhysicalSize
from kerf.optimizer.v1.vector_pb2 import TraceMode, VectorizeRequest
from kerf_client import recipes
from kerf_client.aio import AsyncKerf
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError
from kerf_client.cli.layout import is_font
from kerf_client.cli.orders import slug
from kerf_client.cli.running import run_job
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.errors import KerfError
from kerf_client.folder import ResultFolder
from kerf_client.formats import DEFAULT_FORMATS
from kerf_client.making import Description, facts_of, fetch_outputs, files_json, message_json, write_results
from kerf_client.outputs import possible_filename
from kerf_client.plan_page import burn_time_text
from kerf_client.report import SOURCE, ReportFile, warnings_of
from kerf_client.transfers import DEFAULT_MAX_UPLOAD_BYTES, read_local

_MAX_SOURCES = 16
_HINTS = {"NOT_A_RASTER": "`kerf plan --mode auto` prepares such pictures first"}
"""What this command line can do about a reason that a service gives."""

BuildJob = Callable[[argparse.Namespace, list[str]], Job]


def add_vectorize_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `vectorize`."""
    parser = commands.add_parser("vectorize", help="picture to SVG in true millimetres", epilog=EXIT_CODE_HELP)
    parser.add_argument("files", nargs=1, type=Path, metavar="IMAGE")
    parser.add_argument("--silhouette", action="store_true", help="only the outermost borders")
    parser.add_argument(
        "--despeckle", type=options.number(0, 1000), metavar="MM2", help="smaller spots vanish (default: 0.05 mm²)"
    )
    parser.add_argument("--tolerance", type=options.length_mm, default=0.0, metavar="LENGTH", help="(default: 0.05mm)")
    options.add_size_options(parser, dpi=False)
    add_stage_options(parser, "vectorize", _vectorize_job)


def _vectorize_job(args: argparse.Namespace, artifacts: list[str]) -> Job:
    request = VectorizeRequest(
        mode=TraceMode.TRACE_MODE_SILHOUETTE if args.silhouette else TraceMode.TRACE_MODE_OUTLINE,
        size=PhysicalSize(width_mm=args.width or 0.0, height_mm=args.height or 0.0),
        despeckle_mm2=args.despeckle,
        tolerance_mm=args.tolerance,
    )
    return recipes.vectorize_job(artifacts[0], request)


def add_stage_options(parser: argparse.ArgumentParser, verb: str, build: BuildJob) -> None:
    """The output folder, the connection, and what runs: the job that `build` makes of the `files`."""
    options.add_out_option(parser, f"out/<name of the file>-{verb}")
    add_connection_options(parser)
    parser.set_defaults(run=_command(verb, build))


def _command(verb: str, build: BuildJob) -> Callable[[argparse.Namespace, Output], Awaitable[int]]:
    async def run(args: argparse.Namespace, output: Output) -> int:
        files: list[Path] = args.files
        if len(files) > _MAX_SOURCES:
            raise UsageError(f"{len(files)} files are too many; at most {_MAX_SOURCES}")
        build(args, ["artifacts/" + "0" * 64] * len(files))  # wrong options are found before anything is started
        out = args.out or Path("out") / (f"{slug(files[0].stem)}-{verb}" if files else verb)
        folder = ResultFolder(out, possible_filename)
        folder.prepare()
        contents = [await read_local(path, DEFAULT_MAX_UPLOAD_BYTES) for path in files]

        async def work(gateway: Gateway) -> int:
            async with gateway.client() as client:
                await _do(client, args, contents, build, folder, output)
            return ExitCode.OK

        return await with_gateway(args, output, work, starts=("optimizer",))

    return run


async def _do(
    client: AsyncKerf,
    args: argparse.Namespace,
    contents: list[bytes],
    build: BuildJob,
    folder: ResultFolder,
    output: Output,
) -> None:
    sent = [await client.upload(data) for data in contents]
    try:
        job = await run_job(client, build(args, [artifact.name for artifact in sent]), output)
    except KerfError as error:
        if hint := _HINTS.get(error.reason):
            output.note(hint)
        raise
    files = [_of_one_item(each) for each in await fetch_outputs(client, job, getattr(args, "format", DEFAULT_FORMATS))]
    given = zip(args.files, sent, contents, strict=True)
    sources = [_source(*each) for each in given if not is_font(each[0])]
    title = ", ".join(path.name for path in args.files) or "Text and codes"
    words = Description(title, _subtitle(job), _settings(job))
    paths = await asyncio.to_thread(write_results, folder, job, files, sources, words)
    for text in warnings_of(job):
        output.warn(text)
    plans = facts_of(files)
    for plan in plans:
        output.say(f"burn time about {burn_time_text(plan)}, an estimate")
    for path in paths:
        output.say(str(path))
    seconds = {"estimated_seconds": plans[0].estimated_seconds} if plans else {}
    listed = await asyncio.to_thread(files_json, paths)
    output.result({"job": message_json(job), **seconds, "warnings": warnings_of(job), "files": listed})


def _of_one_item(file: ReportFile) -> ReportFile:
    """Pictures of one plan belong together; only the slices of a relief keep their order by their names."""
    return replace(file, item=0)


def _source(path: Path, artifact: Artifact, data: bytes) -> ReportFile:
    return ReportFile(path.name, SOURCE, 0, artifact, data, wanted=False)


def _subtitle(job: Job) -> str:
    return f"One job of kerf: {', then '.join(stage.id for stage in job.stages)}"


def _settings(job: Job) -> dict[str, str]:
    found: dict[str, str] = {}
    for stage in job.stages:
        found |= _stage_settings(stage)
    return found or {"Stage": job.stages[0].id}


def _stage_settings(stage: Stage) -> dict[str, str]:
    if stage.WhichOneof("task") == "plan":
        return {"Material": stage.plan.material, "Machine": stage.plan.machine or "the default one"}
    rasters = [each for each in stage.outputs if each.labels.get("role") in {"raster", "power-map"}]
    modes = ", ".join(dict.fromkeys(each.labels.get("mode", "not known") for each in rasters))
    sizes = ", ".join(dict.fromkeys(f"{each.width_mm:.1f} × {each.height_mm:.1f} mm" for each in rasters))
    return {"Mode": modes, "Size": sizes} if rasters else {}
