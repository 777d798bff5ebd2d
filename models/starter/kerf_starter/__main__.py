"""`python -m kerf_starter [train|evaluate]`: trains the starter model, and measures it. Does both if not told.

`python -m kerf_starter captioner` trains and measures the starter captioner instead.
`python -m kerf_starter lora-style` draws the small dataset for trying out the trainer.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from pathlib import Path

import torch

from .captioner import CaptionerRecipe, train_captioner, write_captioner
from .captioner_evaluation import evaluate_captioner
from .evaluation import evaluate
from .lora_style import write_lora_style
from .schedule import Recipe
from .training import train

_SHIPPED = Path(__file__).resolve().parent.parent


def main() -> None:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)
    if options.command == "captioner":
        _make_captioner(options)
        return
    if options.command == "lora-style":
        write_lora_style(options.output or _SHIPPED / "lora_style")
        return
    recipe = Recipe.quick() if options.quick else Recipe()
    work = options.work or Path("build", "starter-quick" if options.quick else "starter")
    # A quick run must not overwrite the shipped model with one that learned nothing.
    output = options.output or (work if options.quick else _SHIPPED) / "weights"
    if options.command in {None, "train"}:
        train(recipe, work, output)
    if options.command in {None, "evaluate"}:
        evaluate(recipe, output, output.parent / "samples.png", quick=options.quick)


def _make_captioner(options: argparse.Namespace) -> None:
    recipe = CaptionerRecipe.quick() if options.quick else CaptionerRecipe()
    work = options.work or Path("build", "captioner-quick" if options.quick else "captioner")
    output = options.output or (work if options.quick else _SHIPPED) / "captioner"
    began = time.monotonic()
    model = train_captioner(recipe, work)
    seconds = time.monotonic() - began
    write_captioner(output, model)
    if options.quick:
        evaluate_captioner(output, None, seconds, per_pair=1)
    else:
        evaluate_captioner(output, _SHIPPED / "weights", seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerf_starter", description=__doc__)
    parts = ("train", "evaluate", "captioner", "lora-style")
    parser.add_argument("command", choices=parts, nargs="?", help="only this part")
    parser.add_argument("--output", type=Path, help="the model folder (default: the shipped one)")
    parser.add_argument("--work", type=Path, help="where training keeps what is not finished (default: under build/)")
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1), help="of the CPU")
    parser.add_argument("--quick", action="store_true", help="only show that every part runs; the model learns nothing")
    return parser


if __name__ == "__main__":
    main()
