"""The `kerf` command."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from kerf_client.cli import (
    admin,
    artifacts,
    batch,
    caption,
    doctor,
    estimate,
    gpu,
    grid,
    jobs,
    make,
    optimize,
    plan,
    presets,
    queue,
    stack,
    stages,
    train,
)
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, UsageError, exit_code_of
from kerf_client.errors import KerfError

ENVIRONMENT_HELP = (
    "environment: KERF_CLIENT_GATEWAY, KERF_CLIENT_API_KEY, KERF_CLIENT_OPTIMIZER, KERF_CLIENT_MONITOR, "
    "KERF_CLIENT_TLS_CA; an option goes first. Without a gateway, commands use the stack that `kerf up` started."
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="kerf",
        description="Turns words and pictures into files that a laser can burn.",
        epilog=f"{ENVIRONMENT_HELP} {EXIT_CODE_HELP}",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    make.add_parser(commands)
    jobs.add_parser(commands)
    batch.add_parser(commands)
    estimate.add_parser(commands)
    queue.add_parser(commands)
    artifacts.add_parser(commands)
    optimize.add_parser(commands)
    stages.add_vectorize_parser(commands)
    plan.add_parser(commands)
    caption.add_parser(commands)
    train.add_parser(commands)
    presets.add_parser(commands)
    grid.add_parser(commands)
    gpu.add_parser(commands)
    admin.add_parser(commands)
    doctor.add_parser(commands)
    stack.add_parsers(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors go to stderr in words, never as a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = build_parser().parse_args(batch.with_action(given))
    output = Output(as_json=args.json)
    try:
        return int(asyncio.run(_run(args, output)))
    except KeyboardInterrupt:
        return _leave(output, ExitCode.INTERRUPTED)
    except asyncio.CancelledError:
        return _leave(output, ExitCode.TERMINATED)
    except UsageError as error:
        output.fail(str(error))
        output.result({"error": {"code": None, "reason": "USAGE", "message": str(error)}})
        return ExitCode.USAGE
    except KerfError as error:
        output.fail_with(error)
        return exit_code_of(error)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nothing is left to say, and nobody to say it to
        return ExitCode.OK


async def _run(args: argparse.Namespace, output: Output) -> int:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        code: int = await args.run(args, output)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    return code


def _leave(output: Output, code: ExitCode) -> int:
    output.note(f"interrupted; {output.farewell}")
    return code
