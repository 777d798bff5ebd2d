"""The work on one picture, the same behind both doors: job stages and direct calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kerf_captioner.domain.analysis import Analysis, analyse
from kerf_captioner.domain.answers import AnswerCache, answer_key
from kerf_captioner.domain.engine import CaptionOrder, CaptionShelf, ModelFacts
from kerf_captioner.domain.requests import CaptionLimits, CaptionWish, check_wish
from kerf_captioner.domain.wording import finished
from kerf_core.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from kerf_media import PictureLimits, decode_picture

Check = Callable[[], None]
"""Called between steps, from the computing thread; raises to stop the work."""

FAULTS_OF_THE_PICTURE = (InvalidArgument, NotFound, DataLoss)
"""Errors that concern one picture; all others, a broken model say, would meet every picture of a batch."""
UNKNOWN_SECONDS = -1.0


@dataclass(frozen=True)
class Captioned:
    """A caption and how it came about."""

    text: str
    facts: ModelFacts
    cached: bool
    numeric_class: str
    warnings: list[str]
    device_seconds: float
    """Negative = not known: the answer is from the cache."""


class CaptionDesk:
    """Captions and measures pictures. Thread-safe; every method blocks and belongs into a worker thread."""

    def __init__(
        self, shelf: CaptionShelf, cache: AnswerCache, limits: CaptionLimits, picture_limits: PictureLimits
    ) -> None:
        self.shelf = shelf
        self._cache = cache
        self._limits = limits
        self._picture_limits = picture_limits

    @property
    def max_picture_bytes(self) -> int:
        """Bytes above which a picture is refused, so that it need not be fetched."""
        return self._picture_limits.max_bytes

    def admit(self, wish: CaptionWish) -> None:
        """Refuse what cannot work, before it waits for a slot. Cheap.

        Raises InvalidArgument with every violated field, FailedPrecondition MODEL_NOT_INSTALLED.
        """
        check_wish(wish, self._limits)
        self._model_name(wish)

    def caption(self, data: bytes, wish: CaptionWish, scope: str, check: Check) -> Captioned:
        """Caption an encoded picture.

        Answers of the same `scope` are taken from the cache. `check` is called at least once per token and while a
        model loads or is waited for; nothing is kept after it has raised. Raises as `admit` and `decode_picture` do,
        and what the engine raises.
        """
        self.admit(wish)
        picture = decode_picture(data, self._picture_limits)
        check()
        name = self._model_name(wish)
        facts = self.shelf.last_facts(name)
        if facts is not None and facts.sha256:
            key = answer_key(scope, picture.rgb, facts, _order(wish, facts))
            known = self._cache.get(key)
            if known is not None:
                return self._finished(known, wish, facts, picture.notes, UNKNOWN_SECONDS)
        model = self.shelf.open(name, check)
        order = _order(wish, model.facts)
        made = model.describe(picture.rgb, order, check)
        check()
        if model.facts.sha256:
            self._cache.put(answer_key(scope, picture.rgb, model.facts, order), made.text)
        return self._finished(made.text, wish, model.facts, picture.notes, made.device_seconds)

    def analyse(self, data: bytes, colors: int, check: Check) -> Analysis:
        """Measure an encoded picture; at most `colors` dominant colours. Raises as `decode_picture` does."""
        picture = decode_picture(data, self._picture_limits)
        check()
        return analyse(picture, colors, check)

    def _finished(
        self, raw: str, wish: CaptionWish, facts: ModelFacts, notes: tuple[str, ...], device_seconds: float
    ) -> Captioned:
        text, was_cut = finished(raw, wish.trigger_word, wish.max_chars)
        warnings = [*facts.warnings, *notes]
        if was_cut:
            warnings.append(f"The caption was cut to {wish.max_chars} characters.")
        if not finished(raw, "", 0)[0]:
            warnings.append(f"The model {facts.name} had nothing to say about this picture.")
        return Captioned(
            text=text,
            facts=facts,
            cached=device_seconds < 0,
            numeric_class=self.shelf.numeric_class_of(facts.engine),
            warnings=warnings,
            device_seconds=device_seconds,
        )

    def _model_name(self, wish: CaptionWish) -> str:
        name = wish.model or self.shelf.default_model
        known = self.shelf.names()
        if name not in known:
            raise FailedPrecondition(
                "MODEL_NOT_INSTALLED", f"model {name!r} is not installed; installed: {', '.join(known) or 'none'}"
            )
        return name


def _order(wish: CaptionWish, facts: ModelFacts) -> CaptionOrder:
    """The wish with the model's defaults filled in. Raises InvalidArgument if they contradict each other."""
    max_tokens = wish.max_tokens or facts.max_tokens
    if wish.min_tokens > max_tokens:
        raise InvalidArgument.of_field(
            "options.min_tokens",
            f"is {wish.min_tokens}, more than model {facts.name} writes by default ({max_tokens}); set max_tokens too",
            "INVALID_REQUEST",
        )
    return CaptionOrder(
        prompt=" ".join(wish.prompt.split()),
        beams=wish.beams or facts.beams,
        max_tokens=max_tokens,
        min_tokens=wish.min_tokens,
        repetition_penalty=wish.repetition_penalty or facts.repetition_penalty,
    )
