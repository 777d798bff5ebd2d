"""`python -m kerf_starter [train|evaluate]`: trains the starter model, and measures it. Does both if not told."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import torch

from .evaluation import evaluate
from .schedule import Recipe
from .training import train

_SHIPPED = Path(__file__).resolve().parent.parent


def main() -> None:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)
    recipe = Recipe.quick() if options.quick else Recipe()
    work = options.work or Path("build", "starter-quick" if options.quick else "starter")
    # A quick run must not overwrite the shipped model with one that learned nothing.
    output = options.output or (work if options.quick else _SHIPPED) / "weights"
    if options.command in {None, "train"}:
        train(recipe, work, output)
    if options.command in {None, "evaluate"}:
        evaluate(recipe, output, output.parent / "samples.png", quick=options.quick)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerf_starter", description=__doc__)
    parser.add_argument("command", choices=("train", "evaluate"), nargs="?", help="only this part")
    parser.add_argument("--output", type=Path, help="the model folder (default: the shipped one)")
    parser.add_argument("--work", type=Path, help="where an interrupted training goes on (default: under build/)")
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1), help="of the CPU")
    parser.add_argument("--quick", action="store_true", help="only show that every part runs; the model learns nothing")
    return parser


if __name__ == "__main__":
    main()
