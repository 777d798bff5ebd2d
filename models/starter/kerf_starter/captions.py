"""Writes captions for the training pictures: varied orders, synonyms, fillers and words that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .canvas import Style
from .objects import Kind
from .vocabulary import FILLERS, OBJECT_NAMES, STYLE_NAMES

_TEMPLATES = (
    "{a_style} {name}",
    "{a_name}, {style}",
    "{name}, {style}",
    "{style} of {a_name}",
    "{a_style} of {a_name}",
    "{a_name} in {style} style",
    "{a_style} drawing of {a_name}",
    "{name} {style}",
    "{style}, {name}",
    "{a_style} picture of {a_name}",
    "{style} {name}",
)
_WITHOUT_STYLE = ("{name}", "{a_name}", "picture of {a_name}", "drawing of {a_name}")
# What prompt templates for lasers usually add.
_TAILS = (
    "black and white",
    "high contrast, plain background",
    "white background",
    "simple, clean lines",
    "bold lines, white background, high contrast",
    "for laser engraving",
    "isolated on white",
    "no shading",
    "laser cut design",
    "plain white background, clean edges, uniform thick lines",
    "pure black, sharp edges, no gradients",
    "monochrome, high contrast, fine lines, no gray",
)
_USUAL_NAME_SHARE = 0.6
_WITHOUT_STYLE_SHARE = 0.08
_TAIL_SHARE = 0.35
_FILLER_SHARE = 0.3
_NONSENSE_SHARE = 0.1
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def caption(kind: Kind, style: Style, rng: np.random.Generator) -> str:
    """Return one caption of a picture, in lower case."""
    name = _usually_first(OBJECT_NAMES[kind], rng)
    phrase = _usually_first(STYLE_NAMES[style], rng)
    if rng.random() < _FILLER_SHARE:
        name = f"{_any_of(FILLERS, rng)} {name}"
    templates = _WITHOUT_STYLE if rng.random() < _WITHOUT_STYLE_SHARE else _TEMPLATES
    text = _any_of(templates, rng).format(
        name=name, style=phrase, a_name=with_article(name), a_style=with_article(phrase)
    )
    if rng.random() < _TAIL_SHARE:
        text = f"{text}, {_any_of(_TAILS, rng)}"
    if rng.random() < _NONSENSE_SHARE:
        text = _with_nonsense(text, rng)
    return text


def with_article(text: str) -> str:
    """Put `a` or `an` before a phrase."""
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _usually_first(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[0] if rng.random() < _USUAL_NAME_SHARE else _any_of(choices, rng)


def _any_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _with_nonsense(text: str, rng: np.random.Generator) -> str:
    """Put a word of random letters somewhere, so that the model learns to overlook words that it does not know."""
    word = "".join(_any_of(_LETTERS, rng) for _ in range(int(rng.integers(3, 9))))
    parts = text.split(" ")
    parts.insert(int(rng.integers(len(parts) + 1)), word)
    return " ".join(parts)
