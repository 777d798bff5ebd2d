"""`kerf make`: words or a picture to machine files."""

from __future__ import annotations

import argparse
import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kerf_client import recipes
from kerf_client.aio import AsyncKerf
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError, harmless
from kerf_client.cli.running import run_job
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.datasets import PICTURE_SUFFIXES
from kerf_client.facts import as_duration
from kerf_client.folder import ResultFolder
from kerf_client.making import (
    Description,
    SourcePicture,
    facts_of,
    fetch_outputs,
    files_json,
    message_json,
    write_results,
)
from kerf_client.outputs import possible_filename
from kerf_client.recipes import Captioning, FileFormat, Style, Target, Words
from kerf_client.report import warnings_of
from kerf_client.transfers import DEFAULT_MAX_UPLOAD_BYTES, read_local

if TYPE_CHECKING:
    from kerf.jobs.v1.job_pb2 import Job

DEFAULT_WIDTH_MM = 80.0
_MAX_SLUG_LENGTH = 40
_MAX_TITLE_LENGTH = 100
LORA_HELP = (
    "a LoRA by its name, as artifacts/<sha256> or as a .safetensors file, which is uploaded; WEIGHT from -4 to 4 "
    "(default: 1); repeatable"
)

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


@dataclass(frozen=True)
class Order:
    """One `kerf make`, read and checked. Either `words` or `picture` is set."""

    target: Target
    out: Path
    words: Words | None = None
    picture: Path | None = None
    captioning: Captioning | None = None
    """Set = the drawn pictures are captioned too."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `make`."""
    parser = commands.add_parser(
        "make",
        help="words or a picture to machine files",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subject", metavar="PROMPT|IMAGE")
    parser.add_argument(
        "--style",
        type=options.one_of(Style),
        default=Style.AUTO,
        metavar="STYLE",
        help="line-art, silhouette, engraving, photo or auto (default)",
    )
    options.add_size_options(parser, default_width_mm=DEFAULT_WIDTH_MM)
    options.add_machine_options(parser)
    parser.add_argument(
        "--format",
        type=options.formats,
        default=frozenset(FileFormat),
        metavar="LIST",
        help="which files to write: svg,gcode,dxf,png,preview (default: all); the report, job.json and the job sheet "
        "are always written",
    )
    options.add_out_option(parser, "out/<name of the prompt or picture>")
    words = parser.add_argument_group("for a prompt")
    words.add_argument("--negative", default="", metavar="TEXT", help="what to keep out of the picture")
    words.add_argument(
        "--seed", type=options.whole(0, options.MAX_SEED), metavar="N", help="(default: drawn, reported)"
    )
    words.add_argument("--steps", type=options.whole(1, 150), default=0, metavar="N", help="(default: the model's)")
    words.add_argument("--guidance", type=options.number(0, 30), metavar="N", help="(default: the model's)")
    words.add_argument("--images", type=options.whole(1, 16), default=1, metavar="N", help="(default: 1)")
    words.add_argument("--model", default="", metavar="NAME", help="(default: the worker's)")
    words.add_argument(
        "--lora", type=options.lora, action="append", default=[], metavar="LORA[:WEIGHT]", help=LORA_HELP
    )
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


def read_order(args: argparse.Namespace) -> Order:
    """Check the arguments against one another. Raises UsageError."""
    subject: str = args.subject
    picture = Path(subject) if options.is_file(subject) else None
    if picture is None:
        _check_prompt(subject)
    elif used := _prompt_options(args):
        raise UsageError(f"{', '.join(used)}: only for a prompt, but {subject} is a picture")
    name = picture.name if picture is not None else subject.strip()
    width_mm = args.width or (0.0 if args.height else DEFAULT_WIDTH_MM)
    target = Target(
        style=args.style,
        width_mm=width_mm,
        height_mm=args.height or 0.0,
        dpi=args.dpi,
        material=args.material,
        machine=args.machine,
        formats=args.format,
        title=name,
    )
    out = args.out or Path("out") / slug(picture.stem if picture is not None else subject)
    if picture is not None:
        return Order(target, out, picture=picture)
    words = Words(
        prompt=subject.strip(),
        negative_prompt=args.negative,
        seed=args.seed,
        steps=args.steps,
        guidance=args.guidance,
        images=args.images,
        model=args.model,
        loras=tuple(args.lora),
    )
    return Order(target, out, words=words)


def _check_prompt(subject: str) -> None:
    if not subject.strip():
        raise UsageError("the prompt is empty: say what to draw, or name a picture")
    if Path(subject.strip()).suffix.lower() in PICTURE_SUFFIXES or subject.endswith("/"):
        raise UsageError(f"{subject}: there is no such file")
    if not subject.isprintable():
        raise UsageError("the prompt has control characters in it: write it in one line of plain text")


def _prompt_options(args: argparse.Namespace) -> list[str]:
    given = {
        "--negative": args.negative,
        "--seed": args.seed is not None,
        "--steps": args.steps,
        "--guidance": args.guidance is not None,
        "--images": args.images > 1,
        "--model": args.model,
        "--lora": args.lora,
    }
    return [name for name, value in given.items() if value]


def slug(text: str) -> str:
    """A harmless folder name of lower-case letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:_MAX_SLUG_LENGTH].rstrip("-") or "job"


async def make(client: AsyncKerf, order: Order, output: Output) -> list[Path]:
    """Run the order's job and write its folder; says the paths. Raises KerfError."""
    folder = ResultFolder(order.out, possible_filename)
    folder.prepare()
    source: SourcePicture | None = None
    if order.words is not None:
        words = replace(order.words, loras=await upload_loras(client, order.words.loras))
        job = recipes.prompt_job(words, order.target, order.captioning)
    else:
        source = await _upload(client, order)
        job = recipes.picture_job(source.artifact.name, order.target)
    done = await run_job(client, job, output)
    files = await fetch_outputs(client, done, order.target.formats)
    described = _describe(order, done)
    paths = await asyncio.to_thread(write_results, folder, done, files, source, described)
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


async def _upload(client: AsyncKerf, order: Order) -> SourcePicture:
    if order.picture is None:
        raise UsageError("neither a prompt nor a picture was given")
    data = await read_local(order.picture, DEFAULT_MAX_UPLOAD_BYTES)
    if not options.looks_like_picture(data):
        raise UsageError(f"{order.picture} is no PNG, JPEG, WebP, GIF or BMP picture; nothing was sent")
    return SourcePicture(await client.upload(data), data)


async def upload_loras(client: AsyncKerf, loras: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    """The same LoRAs, files among them as artifacts. Raises UsageError for a file that is none."""
    known: list[tuple[str, float]] = []
    for name, weight in loras:
        if options.is_lora_file(name):
            data = await read_local(Path(name), DEFAULT_MAX_UPLOAD_BYTES)
            if not options.looks_like_safetensors(data):
                raise UsageError(f"{name} is no safetensors file; nothing was sent")
            known.append(((await client.upload(data)).name, weight))
        else:
            known.append((name, weight))
    return tuple(known)


def _describe(order: Order, job: Job) -> Description:
    target = order.target
    style = recipes.resolve_style(target.style, order.words.prompt if order.words is not None else None)
    if order.words is not None:
        subtitle = f"Prompt sent to the model: “{job.stages[0].generate.prompt}”"
    else:
        subtitle = f"From the picture {harmless(order.target.title)}"
    sizes = sorted(
        {
            f"{a.width_mm:.1f} × {a.height_mm:.1f} mm"
            for s in job.stages
            for a in s.outputs
            if a.labels.get("role") == "vector"
        }
    )
    settings = {
        "Style": style.value,
        "Material": target.material,
        "Machine": target.machine,
        "Size": ", ".join(sizes) or "not known",
    }
    return Description(target.title[:_MAX_TITLE_LENGTH], subtitle, settings)


def _tell(output: Output, job: Job, paths: list[Path], seconds: list[float | None]) -> None:
    for text in warnings_of(job):
        output.warn(text)
    output.say(f"{job.name} done; burn time about {', '.join(as_duration(each) for each in seconds)} (an estimate)")
    for path in paths:
        output.say(f"  {path}")
