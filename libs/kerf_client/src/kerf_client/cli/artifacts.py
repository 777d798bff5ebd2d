"""`kerf artifacts`: list, get, upload, download."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output
from kerf_client.cli.files import write_file
from kerf_client.cli.jobs import job_name
from kerf_client.cli.options import whole
from kerf_client.cli.session import Action, add_connection_options, client_command
from kerf_client.making import message_json
from kerf_client.report import size_text
from kerf_client.transfers import DEFAULT_MAX_DOWNLOAD_BYTES

_MAX_PAGE = 1000


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `artifacts` and what it can do."""
    parser = commands.add_parser("artifacts", help="store, list and fetch files", epilog=EXIT_CODE_HELP)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="by name")
    listing.add_argument("--limit", type=whole(1, 100_000), default=100, metavar="N", help="(default: 100)")
    getting = actions.add_parser("get", help="describe one")
    uploading = actions.add_parser("upload", help="store a file; prints its name")
    uploading.add_argument("file", type=Path, metavar="FILE")
    downloading = actions.add_parser("download", help="fetch one, checked against its SHA-256")
    downloading.add_argument("--out", "-o", type=Path, required=True, metavar="FILE", help="file to write")
    downloading.add_argument(
        "--job",
        default="",
        metavar="JOB",
        help="job whose output it is (`jobs/<id>` or the id alone): what the store has lost is made again then",
    )
    downloading.add_argument("--force", action="store_true", help="replace the file if it exists")
    downloading.add_argument(
        "--max-bytes",
        type=whole(1, 2**40),
        default=DEFAULT_MAX_DOWNLOAD_BYTES,
        metavar="N",
        help="refuse larger ones (default: %(default)s)",
    )
    for action in (getting, downloading):
        action.add_argument("name", metavar="ARTIFACT", help="`artifacts/<sha256>` or the SHA-256 alone")
    pairs: tuple[tuple[argparse.ArgumentParser, Action], ...] = (
        (listing, _list),
        (getting, _get),
        (uploading, _upload),
        (downloading, _download),
    )
    for action, work in pairs:
        action.set_defaults(run=client_command(work))
        add_connection_options(action)


def artifact_name(text: str) -> str:
    """`artifacts/<sha256>` of either form."""
    return text if text.startswith("artifacts/") else f"artifacts/{text}"


def _line(artifact: Artifact) -> str:
    role = artifact.labels.get("role", "")
    return (
        f"{artifact.name}  {artifact.media_type}  {artifact.size_bytes:,} bytes  {role} {size_text(artifact)}".rstrip()
    )


async def _list(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    found: list[Artifact] = []
    async with aclosing(client.list_artifacts(page_size=min(args.limit, _MAX_PAGE))) as artifacts:
        async for artifact in artifacts:
            output.say(_line(artifact))
            found.append(artifact)
            if len(found) == args.limit:
                break
    if not found:
        output.note("no artifacts")
    output.result([message_json(artifact) for artifact in found])
    return ExitCode.OK


async def _get(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    artifact = await client.get_artifact(artifact_name(args.name))
    output.say(_line(artifact))
    output.result(message_json(artifact))
    return ExitCode.OK


async def _upload(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    artifact = await client.upload(args.file)
    output.say(artifact.name)
    output.result(message_json(artifact))
    return ExitCode.OK


async def _download(client: AsyncKerf, args: argparse.Namespace, output: Output) -> int:
    name = artifact_name(args.name)
    data = await client.download(name, job=job_name(args.job) if args.job else "", max_bytes=args.max_bytes)
    await asyncio.to_thread(write_file, args.out, data, force=args.force)
    output.say(str(args.out))
    output.result({"name": name, "path": str(args.out), "bytes": len(data)})
    return ExitCode.OK
