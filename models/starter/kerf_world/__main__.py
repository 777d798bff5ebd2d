"""`python -m kerf_world sheet --out DIR` writes contact sheets; `… speed` measures how fast the world is drawn."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import cv2
import numpy as np

from .dialect import JUDGE, TRAINING
from .rendering import draw
from .scenes import random_scene
from .sheets import write_sheets

_log = logging.getLogger(__name__)
_DIALECTS = {dialect.name: dialect for dialect in (TRAINING, JUDGE)}


def main() -> None:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    dialect = _DIALECTS[options.dialect]
    if options.command == "sheet":
        for path in write_sheets(options.out, dialect, options.seed):
            _log.info("%s", path)
        return
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    scenes = [random_scene(rng) for _ in range(options.count)]
    began = time.process_time()
    for scene in scenes:
        draw(scene, dialect)
    _log.info("%.0f scenes a second of processor time", len(scenes) / (time.process_time() - began))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerf_world", description=__doc__)
    parser.add_argument("command", choices=("sheet", "speed"))
    parser.add_argument("--out", type=Path, default=Path("build", "world"), help="where the sheets go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dialect", choices=tuple(_DIALECTS), default=TRAINING.name, help="the parameters of drawing")
    parser.add_argument("--count", type=int, default=600, help="of scenes to measure with")
    return parser


if __name__ == "__main__":
    main()
