"""`python -m kerf_training [part …]`: trains models of the whole world: model, controlnet, captioner (all).

`sheet` draws a sheet of samples. Nothing that it makes is shipped yet: see README.md.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch

from .samples import write_sheet
from .schedule import Recipe
from .training import train_control, train_model, train_starter_captioner

_TRAINED: dict[str, tuple[Callable[[Recipe, Path, Path], None], str]] = {
    "model": (train_model, "weights"),
    "controlnet": (train_control, "controlnet"),
    "captioner": (train_starter_captioner, "captioner"),
}
_DRAWN = ("sheet",)


def main() -> None:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Training takes a process of one thread per core.
    torch.set_num_threads(1)
    recipe = Recipe.quick() if options.quick else Recipe()
    work = options.work or Path("build", "training-quick" if options.quick else "training")
    output = options.output or work / "output"
    for part in options.parts or [*_TRAINED, "sheet"]:
        if part in _TRAINED:
            train, folder = _TRAINED[part]
            train(recipe, work, output / folder)
        else:
            torch.set_num_threads(options.threads)
            write_sheet(output / "weights", output / "samples.png", steps=1 if options.quick else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerf_training", description=__doc__)
    parser.add_argument("parts", choices=[*_TRAINED, *_DRAWN, []], nargs="*", metavar="part", help="only these parts")
    parser.add_argument("--output", type=Path, help="where the folders go (default: `output` in the work folder)")
    parser.add_argument("--work", type=Path, help="where training keeps what is not finished (default: under build/)")
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1), help="for drawing the sheet")
    parser.add_argument("--quick", action="store_true", help="only show that every part runs; the models learn nothing")
    return parser


if __name__ == "__main__":
    main()
