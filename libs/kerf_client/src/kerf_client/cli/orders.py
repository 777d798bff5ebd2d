"""What `kerf make` can be asked for, and the jobs that it becomes. `kerf batch` and `kerf estimate` take the same."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job
from kerf_client import recipes
from kerf_client.aio import AsyncKerf
from kerf_client.cli import options
from kerf_client.cli.console import UsageError, harmless
from kerf_client.datasets import PICTURE_SUFFIXES
from kerf_client.making import Description
from kerf_client.parallel import map_parallel
from kerf_client.recipes import Captioning, Style, Target, Words
from kerf_client.transfers import DEFAULT_MAX_UPLOAD_BYTES, read_local

DEFAULT_WIDTH_MM = 80.0
_MAX_SLUG_LENGTH = 40
_MAX_TITLE_LENGTH = 100
_PARALLEL_UPLOADS = 4
LORA_HELP = (
    "a LoRA by its name, as artifacts/<sha256> or as a .safetensors file, which is uploaded; WEIGHT from -4 to 4 "
    "(default: 1); repeatable"
)


@dataclass(frozen=True)
class Order:
    """One `kerf make`, read and checked. Either `words` or `picture` is set."""

    target: Target
    out: Path
    words: Words | None = None
    picture: Path | None = None
    captioning: Captioning | None = None
    """Set = the drawn pictures are captioned too."""


def add_order_options(
    parser: argparse.ArgumentParser, *, subject: bool = True, out: str = "out/<name of the prompt or picture>"
) -> None:
    """PROMPT|IMAGE (if there is one `subject`) and every option of `kerf make` but those of the connection.

    `out` is what the help calls the default of --out.
    """
    if subject:
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
    options.add_format_option(parser)
    options.add_out_option(parser, out)
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


async def read_checked(path: Path) -> bytes:
    """The bytes of a picture or a LoRA, by its suffix. Raises UsageError for a file that is none."""
    data = await read_local(path, DEFAULT_MAX_UPLOAD_BYTES)
    if options.is_lora_file(path.name):
        if not options.looks_like_safetensors(data):
            raise UsageError(f"{path} is no safetensors file; nothing was sent")
    elif not options.looks_like_picture(data):
        raise UsageError(f"{path} is no PNG, JPEG, WebP, GIF or BMP picture; nothing was sent")
    return data


def files_of(order: Order) -> list[Path]:
    """The files of this machine that the order needs."""
    if order.words is None:
        return [order.picture] if order.picture is not None else []
    return [Path(name) for name, _ in order.words.loras if options.is_lora_file(name)]


async def send_files(client: AsyncKerf, paths: Iterable[Path]) -> dict[Path, Artifact]:
    """Store each file once. Raises UsageError for one that is neither picture nor LoRA, and other KerfErrors."""
    distinct = list(dict.fromkeys(paths))

    async def send(path: Path) -> Artifact:
        return await client.upload(await read_checked(path))

    return dict(zip(distinct, await map_parallel(send, distinct, _PARALLEL_UPLOADS), strict=True))


def job_of(order: Order, sent: Mapping[Path, Artifact]) -> Job:
    """The order's job; `sent` has all of its files."""
    if order.words is not None:
        stored = {str(path): artifact.name for path, artifact in sent.items()}
        loras = tuple(
            (stored[str(Path(name))], weight) if options.is_lora_file(name) else (name, weight)
            for name, weight in order.words.loras
        )
        return recipes.prompt_job(replace(order.words, loras=loras), order.target, order.captioning)
    if order.picture is None:
        raise UsageError("neither a prompt nor a picture was given")
    return recipes.picture_job(sent[order.picture].name, order.target)


def described(job: Job, title: str) -> Description:
    """What the report says of a job that ended: its words, or the picture's name, and what its files are for."""
    title = title[:_MAX_TITLE_LENGTH]
    prompt = next((stage.generate.prompt for stage in job.stages if stage.HasField("generate")), None)
    plan = next((stage.plan for stage in job.stages if stage.HasField("plan")), None)
    drawings = (each for stage in job.stages for each in stage.outputs if each.labels.get("role") == "vector")
    sizes = sorted({f"{each.width_mm:.1f} × {each.height_mm:.1f} mm" for each in drawings})
    source = f"the picture {harmless(title)}" if job.labels.get("recipe") == "picture" else harmless(title)
    subtitle = f"From {source}" if prompt is None else f"Prompt sent to the model: “{prompt}”"
    settings = {
        "Style": job.labels.get("style", "not known"),
        "Material": plan.material if plan is not None else "not known",
        "Machine": plan.machine if plan is not None else "not known",
        "Size": ", ".join(sizes) or "not known",
    }
    return Description(title, subtitle, settings)
