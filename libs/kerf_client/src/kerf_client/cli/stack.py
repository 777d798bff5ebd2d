"""`kerf up` and `kerf demo`: everything on this machine."""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from kerf_client.cli.console import EXIT_CODE_HELP, CollectingOutput, ExitCode, Output
from kerf_client.cli.make import make
from kerf_client.cli.orders import Order
from kerf_client.cli.session import Gateway, add_connection_options, stack_error, with_gateway
from kerf_client.cli.showcase import CHAIN_PROMPT, run_showcase
from kerf_client.errors import FailedPrecondition
from kerf_client.folder import ResultFolder
from kerf_client.outputs import possible_filename
from kerf_client.recipes import Target, Words

if TYPE_CHECKING:
    from kerf_embedded.state import StackInfo

DEMO_PROMPT = "a silhouette of a cat"
DEMO_SEED = 7
DEMO_PICTURE = "astronaut.png"


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both."""
    up = commands.add_parser(
        "up",
        help="start kerf on this machine and stay",
        description="Starts NATS, an S3 server and kerf's services on this machine's loopback, and stays until Ctrl-C.",
        epilog=EXIT_CODE_HELP,
    )
    up.add_argument("--fresh", action="store_true", help="remove what earlier runs left: jobs, artifacts, credentials")
    up.add_argument("--json", action="store_true", help="print the addresses as one JSON object when all is ready")
    up.set_defaults(run=run_up)

    demo = commands.add_parser(
        "demo",
        help="start kerf, make something from words and from a photograph, stop",
        description="Makes files for a laser from a prompt and from a photograph (scikit-image's astronaut), in "
        "<out>/prompt and <out>/photo. Uses a stack that runs already, else starts one and stops it again. With --all "
        "it goes through every service: words to machine files with a caption on the way (<out>/chain), a LoRA and a "
        "picture without and with it (<out>/style), the node and its GPUs (<out>/gpu.html), all linked by "
        "<out>/index.html.",
        epilog=EXIT_CODE_HELP,
    )
    demo.add_argument("--out", "-o", type=Path, default=Path("out"), metavar="DIR", help="(default: out/)")
    demo.add_argument("--all", action="store_true", help="go through every service")
    demo.add_argument("--prompt", metavar="TEXT", help=f"(default: {DEMO_PROMPT}; with --all {CHAIN_PROMPT})")
    demo.add_argument("--seed", type=int, default=DEMO_SEED, metavar="N", help="(default: %(default)s)")
    add_connection_options(demo)
    demo.set_defaults(run=run_demo)


async def run_up(args: argparse.Namespace, output: Output) -> int:
    """Start and stay."""
    _need("kerf_embedded", "kerf-client[embedded]")
    from kerf_core.errors import KerfError as CoreError
    from kerf_embedded.foreground import run_in_foreground
    from kerf_embedded.state import default_root
    from kerf_embedded.supervisor import EmbeddedStack

    async def stay(info: StackInfo) -> int:
        _show(info, output)
        await asyncio.Event().wait()
        return ExitCode.OK

    output.note("starting kerf on this machine ...")
    try:
        code = await run_in_foreground(EmbeddedStack(default_root(), fresh=args.fresh), stay)
    except CoreError as error:
        raise stack_error(error) from error
    output.note("stopped; nothing is left running")
    # The only way out is a signal, and that is how `kerf up` is meant to end.
    return ExitCode.OK if code > ExitCode.SERVICE_AWAY else code


def _show(info: StackInfo, output: Output) -> None:
    state = Path(info.root) / "state.json"
    output.say(f"gateway    {info.gateway_target}")
    for name, target in sorted(info.targets.items()):
        if name != "gateway":
            output.say(f"{name:10} {target}")
    output.say(f"API key    in {state} (other kerf commands on this machine find it by themselves)")
    output.say(f"logs       {Path(info.root) / 'logs'}")
    output.say("Ctrl-C stops everything")
    output.result({"gateway": info.gateway_target, "targets": dict(info.targets), "state_file": str(state)})


async def run_demo(args: argparse.Namespace, output: Output) -> int:
    """Both jobs, one after the other; or, with `--all`, everything."""
    if args.all:
        return await run_showcase(args, output)
    prompt = args.prompt or DEMO_PROMPT
    photograph = await asyncio.to_thread(demo_photograph)
    prompt_out, photo_out = args.out / "prompt", args.out / "photo"
    for out in (prompt_out, photo_out):
        ResultFolder(out, possible_filename).prepare()

    async def work(gateway: Gateway) -> int:
        quiet = Output(as_json=False) if not args.json else CollectingOutput()
        with tempfile.TemporaryDirectory(prefix="kerf-demo-") as folder:
            picture = Path(folder) / DEMO_PICTURE
            await asyncio.to_thread(picture.write_bytes, photograph)
            orders = [
                Order(Target(title=prompt), prompt_out, words=Words(prompt, seed=args.seed)),
                Order(Target(title=DEMO_PICTURE), photo_out, picture=picture),
            ]
            async with gateway.client() as client:
                for order in orders:
                    output.note(f"making {order.out} ...")
                    await make(client, order, quiet)
        if isinstance(quiet, CollectingOutput):
            output.result(quiet.results)
        return ExitCode.OK

    return await with_gateway(args, output, work, starts=("diffusion", "optimizer"))


def demo_photograph() -> bytes:
    """A real photograph as PNG: NASA's portrait of Eileen Collins, which scikit-image brings along."""
    data = _need("skimage.data", "scikit-image")
    image = _need("PIL.Image", "pillow")
    file = io.BytesIO()
    image.fromarray(data.astronaut()).save(file, format="PNG")
    return file.getvalue()


def _need(module: str, package: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise FailedPrecondition(
            f"this command needs {package}, which is not installed: pip install '{package}'", reason="PACKAGE_MISSING"
        ) from None
