"""Reads the file of `kerf batch`: JSON lines, each one piece of work. Everything wrong is told at once."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import grpc
from google.protobuf.json_format import ParseDict, ParseError

from kerf.jobs.v1.job_pb2 import Job
from kerf_client.aio import MAX_BATCH_JOBS
from kerf_client.cli.console import UsageError
from kerf_client.cli.orders import Order, add_order_options, files_of, read_checked, read_order
from kerf_client.errors import InvalidRequest, KerfError, Violation
from kerf_client.transfers import read_local

MAX_FILE_BYTES = 16 * 1024 * 1024
LINE_OPTIONS = (
    *("style", "width", "height", "dpi", "material", "machine"),
    *("negative", "seed", "steps", "guidance", "images", "model", "lora"),
)
"""Options of `kerf make` that a line may have; the files to write are chosen for the whole batch."""


@dataclass(frozen=True)
class Line:
    """One line, read and checked: what `kerf make` would do, or a job as it is sent."""

    number: int
    work: Order | Job


class _Refusing(argparse.ArgumentParser):
    """Raises what a parser for people prints."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


async def read_batch(path: Path, defaults: argparse.Namespace) -> list[Line]:
    """The lines of the file; options that a line lacks are those of `defaults`.

    Raises InvalidRequest with one violation, `line 7`, for each line that is wrong, also where a file that it names is
    none that kerf takes.
    """
    texts = _texts(path, await read_local(path, MAX_FILE_BYTES))
    parser = _Refusing(prog="line", add_help=False, allow_abbrev=False)
    add_order_options(parser)
    lines, wrong = [], []
    for number, text in texts:
        try:
            lines.append(Line(number, _read_line(text, parser, defaults)))
        except UsageError as error:
            wrong.append((number, str(error)))
    wrong += await _wrong_files(lines)
    if wrong:
        violations = tuple(Violation(f"line {number}", text) for number, text in sorted(wrong))
        raise _refusal(f"{path}: {len(violations)} of {len(texts)} lines are wrong; nothing was sent", violations)
    return lines


def _refusal(text: str, violations: tuple[Violation, ...] = ()) -> InvalidRequest:
    return InvalidRequest(text, code=grpc.StatusCode.INVALID_ARGUMENT, reason="BATCH_FILE", violations=violations)


def _texts(path: Path, data: bytes) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        whole = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(f"{path} is no UTF-8 text (byte {error.start}); nothing was sent") from None
    texts = [(number, text) for number, text in enumerate(whole.split("\n"), start=1) if text.strip()]
    if not 1 <= len(texts) <= MAX_BATCH_JOBS:
        raise _refusal(f"{path} has {len(texts):,} lines with work: a batch has 1 to {MAX_BATCH_JOBS:,}")
    return texts


def _read_line(text: str, parser: argparse.ArgumentParser, defaults: argparse.Namespace) -> Order | Job:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is no JSON: {error}") from None
    if isinstance(value, str):
        value = {"make": value}
    if not isinstance(value, dict) or ("make" in value) == ("job" in value):
        raise UsageError('write {"make": "a fish", "width": "60mm"}, or "a fish" alone, or {"job": {...}}')
    if "job" in value:
        return _read_job(value)
    return read_order(parser.parse_args(_words(value), argparse.Namespace(**vars(defaults))))


def _read_job(value: dict[str, object]) -> Job:
    if len(value) > 1:
        raise UsageError(f"a job has no options beside it: {', '.join(sorted(value.keys() - {'job'}))}")
    spec = value["job"]
    if not isinstance(spec, dict):
        raise UsageError("job: must be an object, a kerf.jobs.v1.Job")
    try:
        return ParseDict(spec, Job())
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"is no kerf.jobs.v1.Job: {error}") from None


def _words(value: dict[str, object]) -> list[str]:
    """The line as the words of a command line."""
    subject = value["make"]
    if not isinstance(subject, str):
        raise UsageError("make: must be a text, the prompt or the picture's file")
    words = []
    for name, given in value.items():
        if name == "make":
            continue
        if name.replace("_", "-") not in LINE_OPTIONS:
            raise UsageError(f"{name}: is no option of a line; there are {', '.join(LINE_OPTIONS)}")
        several = given if isinstance(given, list) and name == "lora" else [given]
        if any(isinstance(each, bool) or not isinstance(each, str | int | float) for each in several):
            raise UsageError(f"{name}: must be a text or a number")
        words += [f"--{name}={each}" for each in several]
    return [*words, "--", subject]


async def _wrong_files(lines: Iterable[Line]) -> list[tuple[int, str]]:
    """What is wrong with the files that the lines name; each is read once."""
    verdicts: dict[Path, str] = {}
    wrong = []
    for line in lines:
        for path in files_of(line.work) if isinstance(line.work, Order) else ():
            if path not in verdicts:
                verdicts[path] = await _verdict(path)
            if verdicts[path]:
                wrong.append((line.number, verdicts[path]))
    return wrong


async def _verdict(path: Path) -> str:
    try:
        await read_checked(path)
    except (KerfError, UsageError) as error:
        return str(error).removesuffix("; nothing was sent")
    return ""
