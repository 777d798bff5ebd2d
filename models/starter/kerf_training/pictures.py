"""The training pictures, drawn once in several processes and kept as one file."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from kerf_world.dialect import TRAINING
from kerf_world.drawing import SIZE_PX
from kerf_world.rendering import draw
from kerf_world.scenes import Scene

from .syllabus import taught_scene

_log = logging.getLogger(__name__)
_CHUNK = 200

Pixels = NDArray[np.uint8]


def training_scenes(count: int, seed: int) -> list[Scene]:
    """Return scenes that may be trained on; equal arguments give equal scenes."""
    rng = np.random.default_rng([seed, 1])
    return [taught_scene(rng) for _ in range(count)]


def drawn_once(scenes: Sequence[Scene], path: Path, workers: int) -> Pixels:
    """Draw the scenes into the file `path`, or take them from there; (N, 128, 128) uint8, 255 = paper, read-only.

    The file is mapped, not read: processes that open it share its memory.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name("unfinished.npy")
        pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=(len(scenes), SIZE_PX, SIZE_PX))
        chunks = [scenes[start : start + _CHUNK] for start in range(0, len(scenes), _CHUNK)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for number, drawn in enumerate(pool.map(_draw_all, chunks)):
                pixels[number * _CHUNK : number * _CHUNK + len(drawn)] = drawn
        pixels.flush()
        unfinished.replace(path)
        _log.info("drew %d pictures", len(scenes))
    return opened(path)


def opened(path: Path) -> Pixels:
    """Map a file of pictures."""
    return np.asarray(np.load(path, mmap_mode="r"), dtype=np.uint8)


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Copy (N, H, W) uint8 into the autoencoder's input: (N, 3, H, W) float32 from -1 (ink) to 1 (paper)."""
    grey = torch.tensor(pixels).to(torch.float32).div(127.5).sub(1.0)
    return grey[:, None].expand(-1, 3, -1, -1)


def _draw_all(scenes: Sequence[Scene]) -> Pixels:
    cv2.setNumThreads(1)
    return np.stack([draw(scene, TRAINING).picture for scene in scenes])
