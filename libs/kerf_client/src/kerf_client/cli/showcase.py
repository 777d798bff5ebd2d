"""`kerf demo --all`: goes through every service and links what came of it."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from html import escape
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import CollectingOutput, ExitCode, Output, describe, exit_code_of
from kerf_client.cli.gpu import node_facts
from kerf_client.cli.make import make
from kerf_client.cli.orders import Order
from kerf_client.cli.running import run_job
from kerf_client.cli.session import Gateway, with_gateway, work_with_monitor
from kerf_client.cli.train import TrainOrder, tell_trained, train, training_settings
from kerf_client.datasets import LocalDataset, scan_dataset
from kerf_client.errors import KerfError, ProtocolViolation
from kerf_client.folder import ResultFolder
from kerf_client.gpu_page import render_gpu_page
from kerf_client.monitor import AsyncMonitor
from kerf_client.outputs import MANIFEST_FILE, REPORT_FILE, possible_filename
from kerf_client.page import figure, heading, html_page, table
from kerf_client.readings import gpu_support_text
from kerf_client.recipes import Captioning, Style, Target, Training, Words, comparison_job
from kerf_client.training import (
    NEW_AFTER,
    NEW_BEFORE,
    fetch_comparison,
    fetch_training,
    lora_of,
    training_filename,
    with_files,
    write_training,
)

CHAIN_PROMPT = "engraving of a mushroom"
_NEEDS = ("diffusion", "captioner", "optimizer", "trainer", "monitor")
STYLE_FOLDER = Path(__file__).resolve().parents[5] / "models" / "starter" / "lora_style"
"""Pictures of one style with captions, in a source checkout; an installed package has none."""

CHAIN_TITLE = "Words to machine files, with a caption on the way"
STYLE_TITLE = "A style learnt from pictures"
GPU_TITLE = "The node and its GPUs"
STYLE_NAME, STYLE_PRESET = "demo-style", "starter"
CHAIN, STYLE, GPU_PAGE, INDEX_PAGE = "chain", "style", "gpu.html", "index.html"
_HISTORY = timedelta(minutes=30)
_SESSIONS = 100
_MAX_EMBEDDED = 4 * 1024 * 1024
_SUBJECTS = (
    "rocket",
    "guitar",
    "turtle",
    "snail",
    "mushroom",
    "cat",
    "fish",
    "key",
    "tree",
    "star",
    "heart",
    "moon",
    "bell",
    "bird",
    "boat",
    "bulb",
    "butterfly",
    "crown",
    "feather",
    "flower",
    "house",
    "leaf",
)
"""Things that the starter model can draw, all with the article `a`."""

DONE, FAILED, LEFT_OUT = "done", "failed", "left out"


@dataclass(frozen=True)
class Part:
    """One part of the demo and what became of it. `page` is relative to the demo's folder, "" = there is none."""

    title: str
    outcome: str
    message: str
    page: str = ""
    pictures: tuple[str, ...] = ()
    """PNG files in the demo's folder that show it best."""


@dataclass(frozen=True)
class _Demo:
    """What every part is given."""

    gateway: Gateway
    client: AsyncKerf
    out: Path
    prompt: str
    seed: int
    output: Output


async def run_showcase(args: argparse.Namespace, output: Output) -> int:
    """All parts, one after the other; a part that fails is told and the others go on."""
    root = ResultFolder(args.out, {INDEX_PAGE, GPU_PAGE, MANIFEST_FILE}.__contains__)
    root.prepare()
    ResultFolder(args.out / CHAIN, possible_filename).prepare()
    ResultFolder(args.out / STYLE, training_filename(STYLE_NAME)).prepare()

    async def work(gateway: Gateway) -> int:
        quiet = CollectingOutput() if args.json else output
        async with gateway.client() as client:
            demo = _Demo(gateway, client, args.out, args.prompt or CHAIN_PROMPT, args.seed, quiet)
            return await _play(demo, root, output)

    return await with_gateway(args, output, work, starts=_NEEDS)


async def _play(demo: _Demo, root: ResultFolder, output: Output) -> int:
    pages: dict[str, bytes] = {}

    async def gpu(given: _Demo) -> Part:
        pages[GPU_PAGE], part = await _gpu_page(given)
        return part

    parts: list[Part] = []
    code = ExitCode.OK
    for title, work in (
        (CHAIN_TITLE, _chain),
        (STYLE_TITLE, _style),
        (GPU_TITLE, gpu),
    ):
        output.note(f"{title} ...")
        part, failed = await _attempt(title, work, demo, output)
        parts.append(part)
        code = code or failed
    pages[INDEX_PAGE] = await asyncio.to_thread(render_index, demo.out, parts)
    paths = await asyncio.to_thread(root.write, pages, {"parts": [asdict(part) for part in parts]})
    index = next(path for path in paths if path.name == INDEX_PAGE)
    for part in parts:
        output.say(f"{part.outcome:8}  {part.title}: {part.message}")
    output.say(str(index))
    results = demo.output.results if isinstance(demo.output, CollectingOutput) else []
    output.result({"index": str(index), "parts": [asdict(part) for part in parts], "results": results})
    return code


async def _attempt(
    title: str, work: Callable[[_Demo], Awaitable[Part]], demo: _Demo, output: Output
) -> tuple[Part, ExitCode]:
    try:
        return await work(demo), ExitCode.OK
    except KerfError as error:
        output.fail(f"{title}: {describe(error)}")
        return Part(title, FAILED, describe(error)), exit_code_of(error)


async def _chain(demo: _Demo) -> Part:
    """Generate, caption, optimize, vectorize and plan, in one job."""
    order = Order(
        Target(style=Style.ENGRAVING, title=demo.prompt),
        demo.out / CHAIN,
        words=Words(demo.prompt, seed=demo.seed),
        captioning=Captioning(),
    )
    paths = await make(demo.client, order, demo.output)
    message = f"“{demo.prompt}” became {len(paths)} files"
    pictures = _in_folder(CHAIN, paths, ("picture.png", "preview.png"))
    return Part(CHAIN_TITLE, DONE, message, f"{CHAIN}/{REPORT_FILE}", pictures)


async def _style(demo: _Demo) -> Part:
    """Train a LoRA, then draw something new without and with it."""
    if not STYLE_FOLDER.is_dir():
        text = "there are no pictures to learn from: models/starter/lora_style is part of a source checkout only"
        demo.output.warn(f"{STYLE_TITLE}: {text}")
        return Part(STYLE_TITLE, LEFT_OUT, text)
    local = await asyncio.to_thread(scan_dataset, STYLE_FOLDER)
    words = Words(new_prompt(await asyncio.to_thread(read_captions, local)), seed=demo.seed)
    training = Training(STYLE_NAME, preset=STYLE_PRESET, sample_prompt=words.prompt, seed=demo.seed)
    order = TrainOrder(training, local, demo.out / STYLE)
    trained = await train(demo.client, order, demo.output)
    lora = lora_of(trained.job)
    if lora is None:
        raise ProtocolViolation(f"{trained.job.name} succeeded, but there is no LoRA in it", reason="NO_LORA")
    compared = await run_job(demo.client, comparison_job(words, lora.name), demo.output)
    outputs = await fetch_training(demo.client, STYLE_NAME, trained.artifacts, trained.recorder.curve)
    outputs = with_files(outputs, await fetch_comparison(demo.client, compared))
    paths = await asyncio.to_thread(
        write_training,
        order.folder,
        trained.job,
        outputs,
        settings=training_settings(order),
        new_prompt=words.prompt,
    )
    await tell_trained(order, trained, paths, demo.output)
    message = f"{len(local.pictures)} pictures learnt; “{words.prompt}” drawn without and with it"
    pictures = _in_folder(STYLE, paths, (f"{NEW_BEFORE}.png", f"{NEW_AFTER}.png"))
    return Part(STYLE_TITLE, DONE, message, f"{STYLE}/{REPORT_FILE}", pictures)


def _in_folder(folder: str, paths: list[Path], names: tuple[str, ...]) -> tuple[str, ...]:
    written = {path.name for path in paths}
    return tuple(f"{folder}/{name}" for name in names if name in written)


def read_captions(local: LocalDataset) -> list[str]:
    """The captions of a folder, as far as they can be read. Blocking."""
    return [(local.folder / path).read_text(encoding="utf-8", errors="replace").strip() for path in local.captions]


def new_prompt(captions: Iterable[str]) -> str:
    """A caption as the others are, of a thing that none of them names.

    What most captions have in common is the style and stays; the first words that differ are the thing.
    """
    texts = [re.findall(r"\w+|,", text.lower()) for text in captions]
    counts = Counter(word for text in texts for word in set(text))
    subject = next((each for each in _SUBJECTS if each not in counts), _SUBJECTS[0])
    usual = {word for word, count in counts.items() if count * 2 > len(texts)}
    pattern = max(texts, key=lambda text: sum(word in usual for word in text), default=[])
    words: list[str] = []
    for word in pattern:
        if word in usual:
            words.append(word)
        elif subject not in words:
            words.append(subject)
    if subject not in words:
        return subject
    return re.sub(r"(\s*,)+", ",", " ".join(words)).strip(", ")


async def _gpu_page(demo: _Demo) -> tuple[bytes, Part]:
    """The monitor's page, and what it comes down to."""
    pages: list[bytes] = []
    lines: list[str] = []

    async def look(monitor: AsyncMonitor) -> int:
        facts = await node_facts(monitor, history=_HISTORY, sessions=_SESSIONS)
        pages.append(await asyncio.to_thread(render_gpu_page, facts))
        lines.append(f"{gpu_support_text(facts.node.now.gpu_support)}; {len(facts.sessions)} sessions")
        return ExitCode.OK

    await work_with_monitor(demo.gateway, demo.gateway.monitor, look)
    return pages[0], Part(GPU_TITLE, DONE, lines[0], GPU_PAGE)


def render_index(out: Path, parts: list[Part]) -> bytes:
    """The page that links all parts and shows their pictures. Blocking."""
    rows = [
        (
            f'<a href="{escape(part.page)}">{escape(part.title)}</a>' if part.page else escape(part.title),
            escape(part.outcome),
            escape(part.message),
        )
        for part in parts
    ]
    facts = {word: str(sum(part.outcome == word for part in parts)) for word in (DONE, FAILED, LEFT_OUT)}
    body = heading("What kerf made", "One folder for each part of the demo", facts)
    body += "<h2>Parts</h2>" + table(("Part", "Outcome", "What came of it"), rows)
    return html_page("Demo", body + "".join(_pictures(out, part) for part in parts))


def _pictures(out: Path, part: Part) -> str:
    if not part.pictures:
        return ""
    shown = [
        figure(name, "", Artifact(media_type="image/png"), (out / name).read_bytes(), role="", max_bytes=_MAX_EMBEDDED)
        for name in part.pictures
    ]
    return f'<h2>{escape(part.title)}</h2><div class="pictures pair">{"".join(shown)}</div>'
