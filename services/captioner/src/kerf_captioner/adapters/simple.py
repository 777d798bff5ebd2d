"""An engine without a network: the same configured text for every picture. It says so in every answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kerf_captioner.domain.engine import CaptionOrder, Description, Engine, ModelFacts


class SimpleModel:
    """For data sets whose pictures all show one thing, and for workers that have no model."""

    def __init__(self, name: str, text: str) -> None:
        self._text = text
        self.facts = ModelFacts(
            name=name,
            engine=Engine.SIMPLE,
            sha256="",
            image_size_px=0,
            beams=1,
            max_tokens=1,
            repetition_penalty=1.0,
            warnings=(f"The model {name} answers with configured text and does not look at the picture.",),
        )

    def describe(self, rgb: NDArray[np.uint8], order: CaptionOrder, check: Callable[[], None]) -> Description:
        """See `CaptionModel`. Beams and tokens mean nothing here."""
        check()
        return Description(" ".join(part for part in (order.prompt, self._text) if part), 0.0)
