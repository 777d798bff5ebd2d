"""`kerf train`: pictures with captions to a LoRA."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job
from kerf_client import recipes
from kerf_client.aio import AsyncKerf
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output
from kerf_client.cli.running import follow_job
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.datasets import LocalDataset, UploadedDataset, scan_dataset, upload_dataset
from kerf_client.errors import KerfError
from kerf_client.folder import ResultFolder
from kerf_client.making import files_json, message_json
from kerf_client.progress import JobProgress
from kerf_client.recipes import Training
from kerf_client.report import warnings_of
from kerf_client.training import CurveRecorder, fetch_training, training_filename, write_training
from kerf_client.training_report import last_known

STOP_TIMEOUT_S = 120.0
"""How long a cancelled training may take to save what it has."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_MAX_SHOWN = 5

DESCRIPTION = """\
Trains a LoRA on the pictures of a folder. fox.png is captioned by fox.txt beside it; `kerf caption --write` makes such.
Everything that is wrong with the folder is told at once, before the first step.

Writes NAME.safetensors, pictures from before and after (with --sample-prompt), training.json and report.html with the
loss curve. `kerf make PROMPT --lora out/NAME/NAME.safetensors` uses it.

Ctrl-C stops the training, which saves what it has learnt; a second Ctrl-C does not wait for that.
"""


@dataclass(frozen=True)
class TrainOrder:
    """One `kerf train`, read and checked."""

    training: Training
    local: LocalDataset
    out: Path

    @property
    def folder(self) -> ResultFolder:
        """Where the results go."""
        return ResultFolder(self.out, training_filename(self.training.name))


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train`."""
    parser = commands.add_parser(
        "train",
        help="pictures with captions to a LoRA",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--name", type=lora_name, required=True, metavar="NAME", help="of the LoRA, such as linocut")
    parser.add_argument("--base-model", default="", metavar="NAME", help="(default: the worker's)")
    parser.add_argument("--preset", default="", metavar="NAME", help="(default: the one for the base model)")
    preset = "(default: the preset's)"
    parser.add_argument("--steps", type=options.whole(1, 100_000), metavar="N", help=preset)
    parser.add_argument("--rank", type=options.whole(1, 128), metavar="N", help=preset)
    parser.add_argument("--learning-rate", type=options.number(1e-9, 1), metavar="N", help=preset)
    parser.add_argument("--resolution", type=options.whole(64, 2048), metavar="PX", help=preset)
    parser.add_argument("--batch-size", type=options.whole(1, 64), metavar="N", help=preset)
    parser.add_argument("--seed", type=options.whole(0, options.MAX_SEED), metavar="N", help="(default: drawn)")
    parser.add_argument("--trigger-word", default="", metavar="WORD", help="put before every caption")
    parser.add_argument("--sample-prompt", default="", metavar="TEXT", help="drawn before and after (default: none)")
    parser.add_argument("--caption-suffix", default="", metavar="SUFFIX", help="of caption files (default: .txt)")
    options.add_out_option(parser, "out/NAME")
    add_connection_options(parser)
    parser.set_defaults(run=run)


def lora_name(text: str) -> str:
    """A name that a LoRA can have."""
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name for a LoRA: 1 to 64 of a-z, 0-9, '_', '.' and '-', the first a letter or digit"
        )
    return text


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""
    local = await asyncio.to_thread(scan_dataset, args.folder, args.caption_suffix)
    training = Training(
        name=args.name,
        base_model=args.base_model,
        preset=args.preset,
        trigger_word=args.trigger_word,
        sample_prompt=args.sample_prompt,
        steps=args.steps,
        rank=args.rank,
        learning_rate=args.learning_rate,
        resolution_px=args.resolution,
        batch_size=args.batch_size,
        seed=args.seed,
    )
    order = TrainOrder(training, local, args.out or Path("out") / args.name)
    order.folder.prepare()

    async def work(gateway: Gateway) -> int:
        async with gateway.client() as client:
            trained = await train(client, order, output)
            paths = await write_trained(client, order, trained)
            await tell_trained(order, trained, paths, output)
        return ExitCode.OK

    return await with_gateway(args, output, work, starts=("trainer",))


@dataclass(frozen=True)
class Trained:
    """A training that ended, with what it stored (a stopped one: what it saved) and the steps that were heard of."""

    job: Job
    artifacts: list[Artifact]
    recorder: CurveRecorder
    finished: bool = True


async def train(client: AsyncKerf, order: TrainOrder, output: Output) -> Trained:
    """Send the folder, train, follow to the end. Raises JobFailed with every defect of the folder; other KerfErrors.

    If this is cancelled (Ctrl-C), the training is stopped, what it saved is written, and the cancellation goes on.
    """
    sent = await _send(client, order.local, output)
    job = recipes.train_job(order.training, sent.dataset)
    recorder = CurveRecorder()
    creating = asyncio.ensure_future(client.create_job(job))
    try:
        # Shielded: an interrupt in the middle of accepting must not leave a job that nobody knows of.
        accepted = await asyncio.shield(creating)
        done = await follow_job(client, accepted.name, output, listen=recorder.note)
    except asyncio.CancelledError:
        await _stop_within_reason(_stop(client, creating, order, recorder, output), output)
        raise
    return Trained(done, list(done.stages[0].outputs), recorder)


async def write_trained(client: AsyncKerf, order: TrainOrder, trained: Trained) -> list[Path]:
    """Download the results and write the folder; the paths. Raises KerfError."""
    name = order.training.name
    outputs = await fetch_training(client, name, trained.artifacts, trained.recorder.curve, finished=trained.finished)
    return await asyncio.to_thread(
        write_training, order.folder, trained.job, outputs, settings=training_settings(order)
    )


def training_settings(order: TrainOrder) -> dict[str, str]:
    """What the report says of the order."""
    training = order.training
    return {
        "Base model": training.base_model or "the worker's default",
        "Preset": training.preset or "the base model's own",
        "Pictures": str(len(order.local.pictures)),
        "Trigger word": training.trigger_word or "none",
    }


async def tell_trained(order: TrainOrder, trained: Trained, paths: list[Path], output: Output) -> None:
    """Say what there is now, for people and programs."""
    for text in warnings_of(trained.job):
        output.warn(text)
    loss = last_known(trained.recorder.curve.smoothed_loss)
    ending = f"; smoothed loss {loss:.4g}" if loss is not None else ""
    output.say(f"{trained.job.name} done: LoRA {order.training.name}{ending}")
    for path in paths:
        output.say(f"  {path}")
    output.result(
        {
            "job": message_json(trained.job),
            "smoothed_loss": loss,
            "warnings": warnings_of(trained.job),
            "files": await asyncio.to_thread(files_json, paths),
        }
    )


async def _send(client: AsyncKerf, local: LocalDataset, output: Output) -> UploadedDataset:
    _note_ignored(local, output)
    output.note(f"sending {len(local.pictures)} pictures and {len(local.captions)} captions ...")
    progress = JobProgress(stages=["upload"], stage="upload")
    with output.progress() as view:

        def uploaded(done: int, total: int) -> None:
            progress.step, progress.total, progress.fraction = done, total, done / total
            view.update(progress, "")

        sent = await upload_dataset(client.upload, local, uploaded)
    for path, message in sent.refused.items():
        output.warn(f"{path}: {message}")
    return sent


def _note_ignored(local: LocalDataset, output: Output) -> None:
    if local.ignored:
        more = f" and {len(local.ignored) - _MAX_SHOWN} more" if len(local.ignored) > _MAX_SHOWN else ""
        output.note(f"left out, neither pictures nor captions: {', '.join(local.ignored[:_MAX_SHOWN])}{more}")


async def _stop(
    client: AsyncKerf, creating: asyncio.Future[Job], order: TrainOrder, recorder: CurveRecorder, output: Output
) -> None:
    """Cancel the job, wait for its last entry, write what it saved."""
    name = (await creating).name
    output.note(f"stopping {name}; it saves what it has. Ctrl-C again leaves at once")
    await client.cancel_job(name, "interrupted by the user")
    last = await _last_event(client, name)
    job = await client.get_job(name)
    if last.WhichOneof("body") == "cancelled":
        artifacts, finished = list(last.cancelled.saved), False
        output.note(f"{name} cancelled")
    else:
        artifacts, finished = list(job.stages[0].outputs), True
        output.note(f"{name} had ended before")
    if not artifacts:
        output.note("it had saved nothing yet")
        return
    paths = await write_trained(client, order, Trained(job, artifacts, recorder, finished))
    for path in paths:
        output.say(f"  {path}")


async def _last_event(client: AsyncKerf, name: str) -> JobEvent:
    last = JobEvent()
    async with aclosing(client.watch(name, durable_only=True)) as events:
        async for event in events:
            last = event
    return last


async def _stop_within_reason(stopping: Coroutine[None, None, None], output: Output) -> None:
    """Wait for `stopping` until it is done, STOP_TIMEOUT_S have passed, or the person asks a second time."""
    work = asyncio.ensure_future(stopping)
    with _second_interrupt() as asked:
        asking = asyncio.ensure_future(asked.wait())
        try:
            await asyncio.wait({work, asking}, timeout=STOP_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                output.warn("left before the training had saved; `kerf jobs watch` shows how it ends")
        except KerfError as error:
            output.warn(f"the training could not be stopped: {error.message}")
        finally:
            for task in (work, asking):
                task.cancel()
            await asyncio.gather(work, asking, return_exceptions=True)


@contextmanager
def _second_interrupt() -> Iterator[asyncio.Event]:
    """An event that the next Ctrl-C sets.

    Not by the loop's own handlers: the first Ctrl-C is still on its way through the loop's pipe, and would count.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    former = signal.getsignal(signal.SIGINT)
    heard = former is not signal.SIG_IGN  # nohup ignores it on purpose: that stays so
    if heard:
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(asked.set))
    try:
        yield asked
    finally:
        if heard:
            signal.signal(signal.SIGINT, former)
