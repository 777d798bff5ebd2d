"""Tidies what a model wrote."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r"\s+([,.;:!?)\]])")
_STUTTER = re.compile(r"\b(\w+)(?:\s+\1\b){2,}", re.IGNORECASE)
_LOOSE_ENDS = " \t,;:-–—'\"("


def tidy(text: str) -> str:
    """One clean line: composed Unicode, single spaces, none before a mark, no word three times on end, no loose ends.

    A word said twice stays, because people do say "very very". Tidying twice changes nothing more.
    """
    visible = "".join(_visible(letter) for letter in text)
    line = _SPACES.sub(" ", unicodedata.normalize("NFC", visible))
    while (shorter := _BEFORE_MARK.sub(r"\1", _STUTTER.sub(r"\1", line.strip(_LOOSE_ENDS)))) != line:
        line = shorter
    return line


def finished(text: str, trigger_word: str, max_chars: int) -> tuple[str, bool]:
    """The tidied text after the trigger word, cut to `max_chars` (0 = no limit); and whether it was cut."""
    trigger = trigger_word.strip()
    whole = ", ".join(part for part in (trigger, tidy(text)) if part)
    if not max_chars or len(whole) <= max_chars:
        return whole, False
    return cut_between_words(whole, max_chars), True


def cut_between_words(text: str, max_chars: int) -> str:
    """The longest beginning of whole words within `max_chars`; a first word that is longer is cut itself."""
    if len(text) <= max_chars:
        return text
    end = text.rfind(" ", 0, max_chars + 1)
    return text[:end].rstrip(_LOOSE_ENDS) if end > 0 else text[:max_chars]


def _visible(letter: str) -> str:
    category = unicodedata.category(letter)
    if category == "Cc" or category.startswith("Z"):
        return " "
    return "" if category.startswith("C") else letter
