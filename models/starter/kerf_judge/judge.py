"""Reads pictures: which subject of the world each shows, and in which style."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from kerf_world.kinds import SUBJECTS, Subject
from kerf_world.scenes import Style

from .disturbance import as_ink
from .network import JudgeNetwork, TextureNetwork
from .normalising import SIZE_PX, Pixels, normalised, reduced

SUBJECT_WEIGHTS = "model.safetensors"
STYLE_WEIGHTS = "styles.safetensors"
_BATCH = 64
# Each picture is looked at several times, and the looks are averaged: turned by degrees, and scaled.
_LOOKS = ((0.0, 1.0), (0.0, 0.9), (-7.0, 0.96), (7.0, 0.96))


@dataclass(frozen=True, slots=True)
class Reading:
    """What the judge takes N pictures for: indices of `SUBJECTS` and of `Style`, each (N,) int64.

    The probabilities, (N, subjects) and (N, styles) float32, are over all that the judge knows, whatever was claimed.
    """

    subjects: NDArray[np.int64]
    styles: NDArray[np.int64]
    subject_probabilities: NDArray[np.float32]
    style_probabilities: NDArray[np.float32]
    claimed: NDArray[np.bool_]
    """Whether the subject that was read is one that the reader's caller claims to draw; all true without a claim."""


class Judge:
    """Two trained networks and the way to look at pictures with them."""

    def __init__(self, network: JudgeNetwork, textures: TextureNetwork) -> None:
        self._network = network.eval()
        self._textures = textures.eval()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the weights of a folder; raises FileNotFoundError, or what safetensors raises on a damaged file."""
        network, textures = JudgeNetwork(), TextureNetwork()
        network.load_state_dict(load_file(folder / SUBJECT_WEIGHTS))
        textures.load_state_dict(load_file(folder / STYLE_WEIGHTS))
        return cls(network, textures)

    def read(self, pixels: Pixels, claims: Collection[Subject] | None = None) -> Reading:
        """Name the subject and the style of (N, 128, 128) uint8 pictures, 255 = paper.

        `claims` are the subjects that a model says it draws. They never narrow the choice: what looks like another
        subject is named so, and marked as not claimed. Raises ValueError on pictures of another shape or type.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (SIZE_PX, SIZE_PX):
            raise ValueError(f"the judge reads (N, {SIZE_PX}, {SIZE_PX}) uint8, not {pixels.shape} {pixels.dtype}")
        known = np.array([claims is None or subject in claims for subject in SUBJECTS])
        runs = [self._seen(pixels[first : first + _BATCH]) for first in range(0, len(pixels), _BATCH)]
        by_subject = np.concatenate([np.empty((0, len(SUBJECTS)), np.float32), *(run[0] for run in runs)])
        by_style = np.concatenate([np.empty((0, len(Style)), np.float32), *(run[1] for run in runs)])
        subjects = by_subject.argmax(axis=1)
        return Reading(subjects, by_style.argmax(axis=1), by_subject, by_style, known[subjects])

    def _seen(self, pixels: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the geometric means of the probabilities over all looks."""
        whole = normalised(pixels)
        small = reduced(whole)
        with torch.inference_mode():
            by_subject = [
                self._network(as_ink(_looked_at(small, *look))).subjects.log_softmax(dim=1) for look in _LOOKS
            ]
            by_style = [self._textures(as_ink(_looked_at(whole, *look))).log_softmax(dim=1) for look in _LOOKS]
            return _mean(by_subject), _mean(by_style)


def _mean(looks: list[torch.Tensor]) -> NDArray[np.float32]:
    return np.asarray(torch.stack(looks).mean(dim=0).softmax(dim=1).numpy(), dtype=np.float32)


def _looked_at(pixels: Pixels, degrees: float, scale: float) -> Pixels:
    if not degrees and scale == 1.0:
        return pixels
    size = pixels.shape[1]
    moved = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), degrees, scale)
    return np.stack(
        [
            cv2.warpAffine(each, moved, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=(255,))
            for each in pixels
        ]
    )
