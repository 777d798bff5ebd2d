"""How a caption is wanted, and the rules that a wish must keep before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument, Violation

MAX_REPETITION_PENALTY = 10.0


@dataclass(frozen=True)
class CaptionWish:
    """How to caption. 0 and an empty text stand for the model's default or for none."""

    model: str = ""
    prompt: str = ""
    beams: int = 0
    max_tokens: int = 0
    min_tokens: int = 0
    repetition_penalty: float = 0.0
    trigger_word: str = ""
    max_chars: int = 0


@dataclass(frozen=True)
class CaptionLimits:
    """How much one request may ask of this worker."""

    max_prompt_chars: int = 500
    max_beams: int = 16
    max_tokens: int = 256


def check_wish(wish: CaptionWish, limits: CaptionLimits) -> None:
    """Check everything that does not depend on the model.

    Raises InvalidArgument INVALID_REQUEST with every violation, by the field names of `CaptionRequest`.
    """
    raise_violations((*_text_violations(wish, limits), *_number_violations(wish, limits)))


def raise_violations(violations: tuple[Violation, ...]) -> None:
    """Raise InvalidArgument INVALID_REQUEST that names all violations; nothing if there are none."""
    if violations:
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise InvalidArgument("INVALID_REQUEST", text, violations=violations)


def _text_violations(wish: CaptionWish, limits: CaptionLimits) -> Iterator[Violation]:
    if len(wish.prompt) > limits.max_prompt_chars:
        yield Violation(
            "options.prompt", f"has {len(wish.prompt)} characters, at most {limits.max_prompt_chars} are allowed"
        )
    for field, text in (("prompt", wish.prompt), ("trigger_word", wish.trigger_word)):
        if not text.isprintable():
            yield Violation(f"options.{field}", "holds a line break or another control character")
    trigger = wish.trigger_word.strip()
    if 0 < wish.max_chars < len(trigger):
        yield Violation("options.max_chars", f"is {wish.max_chars}, too short for the trigger word ({len(trigger)})")


def _number_violations(wish: CaptionWish, limits: CaptionLimits) -> Iterator[Violation]:
    for field, value, most in (
        ("beams", wish.beams, limits.max_beams),
        ("max_tokens", wish.max_tokens, limits.max_tokens),
        ("min_tokens", wish.min_tokens, limits.max_tokens),
    ):
        if not 0 <= value <= most:
            yield Violation(f"options.{field}", f"is {value}; 0 to {most} are allowed")
    if wish.max_tokens and wish.min_tokens > wish.max_tokens:
        yield Violation("options.min_tokens", f"is {wish.min_tokens}, more than max_tokens ({wish.max_tokens})")
    penalty = wish.repetition_penalty
    if not (math.isfinite(penalty) and 0 <= penalty <= MAX_REPETITION_PENALTY):
        yield Violation(
            "options.repetition_penalty", f"is {penalty}; 0 (the default) to {MAX_REPETITION_PENALTY:g} are allowed"
        )
