"""`python -m kerf_judge train` trains the judge; `… check` measures it, also on the fonts that are installed."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from .checking import DRAWINGS, EVALUATION_FILE, check
from .training import Recipe, train_judge

_SHIPPED = Path(__file__).resolve().parent.parent / "judge"
_QUICK_DRAWINGS = 24


def main() -> None:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    work = options.work or Path("build", "judge-quick" if options.quick else "judge")
    if options.command == "train":
        # A quick run must not overwrite the shipped judge with one that learned nothing.
        folder = options.folder or (work / "output" if options.quick else _SHIPPED)
        train_judge(Recipe.quick() if options.quick else Recipe(), work, folder)
        return
    folder = options.folder or _SHIPPED
    drawings = _QUICK_DRAWINGS if options.quick else DRAWINGS
    # Nor may a few drawings replace the figures of many.
    check(folder, options.fonts, (work if options.quick else folder) / EVALUATION_FILE, drawings=drawings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerf_judge", description=__doc__)
    parser.add_argument("command", choices=("train", "check"))
    parser.add_argument("--folder", type=Path, help="where the judge's weights are (default: the shipped ones)")
    parser.add_argument("--work", type=Path, help="where training keeps what is not finished (default: under build/)")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/truetype"), help="installed fonts")
    parser.add_argument("--quick", action="store_true", help="only show that every part runs")
    return parser


if __name__ == "__main__":
    main()
