"""`kerf caption`: says what pictures show."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from kerf.jobs.v1.job_pb2 import Job
from kerf_client.aio import AsyncKerf
from kerf_client.captioning import CaptionOutcome, Uncaptioned, caption_pictures
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError
from kerf_client.cli.files import write_file
from kerf_client.cli.running import run_job
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.datasets import DEFAULT_CAPTION_SUFFIX, PARALLEL_UPLOADS, PICTURE_SUFFIXES, visible_files
from kerf_client.errors import InvalidRequest
from kerf_client.parallel import map_parallel
from kerf_client.recipes import Captioning
from kerf_client.transfers import DEFAULT_MAX_UPLOAD_BYTES, read_local

MAX_PICTURES = 10_000


@dataclass
class _Sent:
    """What became of the files: the artifact of each that kerf took, and why it did not take the others."""

    artifacts: dict[Path, str] = field(default_factory=dict)
    failures: dict[Path, Uncaptioned] = field(default_factory=dict)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `caption`."""
    parser = commands.add_parser(
        "caption",
        help="say what pictures show",
        description="Prints a caption for each picture; of a folder, for each picture in it and below. A picture that "
        "fails is told and the others go on; then the exit code is 1.",
        epilog=EXIT_CODE_HELP,
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="PICTURE|FOLDER")
    parser.add_argument("--model", default="", metavar="NAME", help="(default: the worker's)")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="words that the captions continue")
    parser.add_argument("--beams", type=options.whole(1, 16), default=0, metavar="N", help="(default: the model's)")
    parser.add_argument(
        "--max-chars", type=options.whole(1, 2000), default=0, metavar="N", help="longest caption (default: no limit)"
    )
    parser.add_argument(
        "--trigger-word", default="", metavar="WORD", help="put before every caption, for training data"
    )
    parser.add_argument("--write", action="store_true", help="write each caption to a .txt beside its picture")
    parser.add_argument("--force", action="store_true", help="with --write: replace captions that are there")
    add_connection_options(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""
    pictures = await asyncio.to_thread(find_pictures, args.sources)
    if args.write:
        await asyncio.to_thread(_check_targets, pictures, force=args.force)
    captioning = Captioning(args.model, args.prompt, args.beams, args.max_chars, args.trigger_word)

    async def work(gateway: Gateway) -> int:
        async with gateway.client() as client:
            return await _caption(client, pictures, captioning, args, output)

    return await with_gateway(args, output, work, starts=("captioner",))


def find_pictures(sources: list[Path]) -> list[Path]:
    """The pictures that are meant, each once, in order. Blocking. Raises UsageError for what is not there."""
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in visible_files(source) if Path(path).suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise UsageError(f"{source}: there are no pictures in this folder")
            found += [source / path for path in inside]
        elif source.is_file():
            found.append(source)
        else:
            raise UsageError(f"{source}: there is no such file or folder")
    unique = list(dict.fromkeys(found))
    if len(unique) > MAX_PICTURES:
        raise UsageError(f"{len(unique):,} pictures are too many; at most {MAX_PICTURES:,} at a time")
    return unique


def caption_file(picture: Path) -> Path:
    """`fox.txt` beside `fox.png`, where `kerf train` looks for it."""
    return picture.with_suffix(DEFAULT_CAPTION_SUFFIX)


def _check_targets(pictures: list[Path], *, force: bool) -> None:
    """Before anything is sent: nobody wants to wait for captions that then cannot be written."""
    owners: dict[Path, Path] = {}
    for picture in pictures:
        target = caption_file(picture)
        if target in owners:
            raise UsageError(f"{owners[target]} and {picture} would both be captioned by {target}: rename one")
        owners[target] = picture
    there = [str(target) for target in owners if target.exists() or target.is_symlink()]
    if there and not force:
        shown = ", ".join(there[:5]) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
        raise UsageError(f"{shown}: exists already; --force replaces captions, or name only the other pictures")


async def _caption(
    client: AsyncKerf, pictures: list[Path], captioning: Captioning, args: argparse.Namespace, output: Output
) -> int:
    sent = await _send(client, pictures)

    async def run_one(job: Job) -> Job:
        return await run_job(client, job, output)

    async def download(name: str, max_bytes: int) -> bytes:
        return await client.download(name, max_bytes=max_bytes)

    found = CaptionOutcome()
    if sent.artifacts:
        found = await caption_pictures(list(sent.artifacts.values()), captioning, run_one, download)
    failures = sent.failures | {
        path: found.failures[name] for path, name in sent.artifacts.items() if name in found.failures
    }
    captions = {path: found.captions[name] for path, name in sent.artifacts.items() if name in found.captions}
    written = await _write(captions, failures, force=args.force) if args.write else set()
    for warning in found.warnings:
        output.warn(warning)
    _tell(pictures, captions, failures, output)
    output.result(
        {
            "captions": [
                {
                    "path": str(path),
                    "caption": captions[path],
                    "artifact": sent.artifacts[path],
                    "written": str(caption_file(path)) if path in written else None,
                }
                for path in pictures
                if path in captions
            ],
            "failures": [
                {"path": str(path), "reason": failures[path].reason, "message": failures[path].message}
                for path in pictures
                if path in failures
            ],
            "warnings": found.warnings,
            "jobs": found.jobs,
        }
    )
    return ExitCode.JOB_FAILED if failures else ExitCode.OK


async def _send(client: AsyncKerf, pictures: list[Path]) -> _Sent:
    """Upload; a file that is no picture, or that kerf refuses, does not hold up the others."""

    async def send(path: Path) -> str | Uncaptioned:
        try:
            data = await read_local(path, DEFAULT_MAX_UPLOAD_BYTES)
            if not options.looks_like_picture(data):
                return Uncaptioned("NOT_A_PICTURE", "is no PNG, JPEG, WebP, GIF or BMP picture; it was not sent")
            return (await client.upload(data)).name
        except InvalidRequest as error:
            return Uncaptioned(error.reason, error.message)

    sent = _Sent()
    for path, answer in zip(pictures, await map_parallel(send, pictures, PARALLEL_UPLOADS), strict=True):
        if isinstance(answer, str):
            sent.artifacts[path] = answer
        else:
            sent.failures[path] = answer
    return sent


async def _write(captions: dict[Path, str], failures: dict[Path, Uncaptioned], *, force: bool) -> set[Path]:
    """Put each caption beside its picture; the pictures whose caption was written."""
    written = set()
    for path, text in captions.items():
        try:
            await asyncio.to_thread(write_file, caption_file(path), f"{text}\n".encode(), force=force)
            written.add(path)
        except UsageError as error:
            failures[path] = Uncaptioned("NOT_WRITTEN", str(error))
    return written


def _tell(pictures: list[Path], captions: dict[Path, str], failures: dict[Path, Uncaptioned], output: Output) -> None:
    for path in pictures:
        if path in captions:
            output.say(f"{path}: {' '.join(captions[path].split())}")
        if path in failures:
            output.fail(f"{path}: {failures[path].message}")
    if failures:
        output.fail(f"{len(failures)} of {len(pictures)} pictures failed")
