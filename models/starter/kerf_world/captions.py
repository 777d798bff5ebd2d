"""Says what a scene shows in natural words, and reads back what a caption names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from .kinds import Kind, Subject
from .scenes import Arrangement, Border, Scene, Style
from .vocabulary import (
    ADJECTIVES,
    ARRANGEMENT_NAMES,
    BORDER_NAMES,
    ENDINGS,
    NEGATIVES,
    NUMBERS,
    ONE_TEMPLATES,
    PURPOSES,
    STYLELESS_TEMPLATES,
    TEMPLATES,
    Name,
    known_words,
    names_of,
    style_names,
    style_phrases,
    subject_phrases,
    words_in,
)

_USUAL_NAME_SHARE = 0.6
_STYLELESS_SHARE = 0.06
_ADJECTIVE_SHARE = 0.25
_BORDER_SHARE = 0.9
_NO_BORDER_SHARE = 0.12
_ENDING_SHARE = 0.3
_NEGATIVE_SHARE = 0.15

Random = np.random.Generator
_T = TypeVar("_T")


def caption(scene: Scene, rng: Random, *, styled: bool = False) -> str:
    """Return one caption of a scene in lower case; a pure function of the scene and the generator.

    It names every subject, mostly the style (always if `styled`), a border that is there, and often what is not.
    """
    style = _usually_first(style_names(scene.style, faceted=scene.faceted), rng)
    shown, bare = _shown(scene, rng)
    templates: Sequence[str] = TEMPLATES
    if scene.arrangement is Arrangement.ALONE:
        templates = (*TEMPLATES, *ONE_TEMPLATES)
    if not styled and rng.random() < _STYLELESS_SHARE:
        templates = STYLELESS_TEMPLATES
    text = _any_of(templates, rng).format(style=style, a_style=with_article(style), scene=shown, bare=bare)
    return ", ".join([text, *_additions(scene, rng)])


def usual_caption(scene: Scene) -> str:
    """The plainest caption of a scene: `line art of two cats in a row, round border`."""
    style = style_names(scene.style, faceted=scene.faceted)[0]
    names = [names_of(subject)[0] for subject in scene.subjects]
    phrases = ARRANGEMENT_NAMES[scene.arrangement]
    phrase = phrases[min(1, len(phrases) - 1)]
    text = f"{style} of {_filled(phrase, scene, [_one(name) for name in names], names[0].many)}"
    return text if scene.border is Border.NONE else f"{text}, {BORDER_NAMES[scene.border][1]}"


def with_article(text: str) -> str:
    """Put `a` or `an` before a phrase; what is no countable thing stays as it is."""
    if text in _UNCOUNTED:
        return text
    # `u` is mostly said as in ukulele.
    return f"{'an' if text[0] in 'aeio' or text.startswith(('umb', 'hour')) else 'a'} {text}"


# `a line art` is what nobody says.
_UNCOUNTED = frozenset({"line art", "lineart", "polygon art", "geometric art", "halftone dots"})
_BARE = frozenset({"lightning", "wheat", "barley", "infinity", "sunshine", "yin and yang", "fire"})


def _one(name: Name, adjective: str = "") -> str:
    text = f"{adjective} {name.one}".strip()
    return text if name.paired or name.one in _BARE else with_article(text)


def _shown(scene: Scene, rng: Random) -> tuple[str, str]:
    """The scene in words, and its (only) subject without an article."""
    names = [_usually_first(names_of(subject), rng) for subject in scene.subjects]
    adjectives = [_any_of(ADJECTIVES, rng) if rng.random() < _ADJECTIVE_SHARE else "" for _ in names]
    ones = [_one(name, adjective) for name, adjective in zip(names, adjectives, strict=True)]
    many = f"{adjectives[0]} {names[0].many}".strip()
    phrase = _any_of(ARRANGEMENT_NAMES[scene.arrangement], rng)
    return _filled(phrase, scene, ones, many), f"{adjectives[0]} {names[0].one}".strip()


def _filled(phrase: str, scene: Scene, ones: Sequence[str], many: str) -> str:
    number = NUMBERS.get(scene.count, "")
    if many.endswith(("glasses", "spectacles", "scissors", "shears")) and scene.subjects[0].kind in _PAIRED_KINDS:
        many = f"pairs of {many}"
    return phrase.format(one=ones[0], first=ones[0], second=ones[-1], many=many, number=number)


_PAIRED_KINDS = frozenset({Kind.GLASSES, Kind.SCISSORS})


def _additions(scene: Scene, rng: Random) -> list[str]:
    added = []
    share = _NO_BORDER_SHARE if scene.border is Border.NONE else _BORDER_SHARE
    if rng.random() < share:
        added.append(_any_of(BORDER_NAMES[scene.border], rng))
    if rng.random() < _ENDING_SHARE:
        added.append(_any_of(ENDINGS, rng))
    if rng.random() < _NEGATIVE_SHARE:
        added.append(_any_of(NEGATIVES, rng))
    return added


def _usually_first(choices: Sequence[_T], rng: Random) -> _T:
    return choices[0] if rng.random() < _USUAL_NAME_SHARE else _any_of(choices, rng)


def _any_of(choices: Sequence[_T], rng: Random) -> _T:
    return choices[int(rng.integers(len(choices)))]


@dataclass(frozen=True, slots=True)
class Named:
    """What a text names; `unknown` are the words that no caption ever has, in their order."""

    subjects: frozenset[Subject]
    styles: frozenset[Style]
    unknown: tuple[str, ...]


def named_in(text: str) -> Named:
    """Read a text: the longest phrase counts, so that a wagon wheel is no wagon and a horseshoe no horse."""
    words = words_in(text)
    subjects, styles, unknown = set(), set(), []
    phrases, longest = _phrases()
    at = 0
    while at < len(words):
        phrase: tuple[str, ...] = ()
        for length in range(min(longest, len(words) - at), 0, -1):
            phrase = tuple(words[at : at + length])
            if phrase in phrases:
                break
        meaning = phrases.get(phrase)
        if meaning is None and words[at] not in _known():
            unknown.append(words[at])
        if isinstance(meaning, Style):
            styles.add(meaning)
        elif meaning is not None:
            subjects.add(meaning)
        at += len(phrase)
    return Named(frozenset(subjects), frozenset(styles), tuple(unknown))


@lru_cache(maxsize=1)
def _phrases() -> tuple[dict[tuple[str, ...], Subject | Style | None], int]:
    meanings: dict[str, Subject | Style | None] = {**dict.fromkeys(PURPOSES), **subject_phrases(), **style_phrases()}
    split = {tuple(words_in(phrase)): meaning for phrase, meaning in meanings.items()}
    return split, max(len(words) for words in split)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(known_words())
