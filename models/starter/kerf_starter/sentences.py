"""What the starter captioner says: its sentences, its tokenizer, and how a caption is judged."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import numpy as np
from transformers import BertTokenizer

from .canvas import Style
from .captions import with_article
from .objects import Kind
from .vocabulary import FILLERS, OBJECT_NAMES, STYLE_NAMES, WordRole, words

UNKNOWN_PICTURE = "something unknown"
"""The caption of blank paper, noise and smooth shades."""
MAX_TOKENS = 64

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
_DECODE = "[DEC]"
_USUAL_SHARE = 0.7
_PAIRS = frozenset({Kind.GLASSES, Kind.SCISSORS})
_OPENINGS = {
    Style.SILHOUETTE: "a silhouette of {named}",
    Style.LINE_ART: "line art of {named}",
    Style.ENGRAVING: "an engraving of {named}",
}
# Seldom used, so that a prompt such as "a picture of" is a beginning that the model has seen.
_OTHERS = ("a picture of {named}, {style}", "a drawing of {named}, {style}", "{named}, {style}")
_WORD = re.compile(r"[a-z]+")


def sentence(kind: Kind, style: Style) -> str:
    """The usual caption of an object in a style."""
    return _OPENINGS[style].format(named=_named(kind))


def any_sentence(kind: Kind, style: Style, rng: np.random.Generator) -> str:
    """The usual caption most of the time, else one of another order."""
    if rng.random() < _USUAL_SHARE:
        return sentence(kind, style)
    return _OTHERS[int(rng.integers(len(_OTHERS)))].format(named=_named(kind), style=STYLE_NAMES[style][0])


def _named(kind: Kind) -> str:
    name = OBJECT_NAMES[kind][0]
    return name if kind in _PAIRS else with_article(name)


def new_bert_tokenizer() -> BertTokenizer:
    """A tokenizer with one token per known word; other words are spelt in letters (WordPiece, Schuster 2012)."""
    alphabet = string.ascii_lowercase + string.digits
    known = [*(word.text for word in words()), *FILLERS, *UNKNOWN_PICTURE.split(), ",", ".", "-", "'"]
    tokens = [*_SPECIAL, *known, *alphabet, *(f"##{letter}" for letter in alphabet)]
    return BertTokenizer(
        vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))},
        do_lower_case=True,
        bos_token=_DECODE,
        model_max_length=MAX_TOKENS,
    )


@dataclass(frozen=True, slots=True)
class Named:
    """The objects and styles that a text names."""

    kinds: frozenset[str]
    styles: frozenset[str]


_MEANINGS = {word.text: word for word in words() if word.role is not WordRole.FILLER}


def named_in(caption: str) -> Named:
    """What a caption names, by the words that the starter model knows."""
    known = [_MEANINGS[text] for text in _WORD.findall(caption.lower()) if text in _MEANINGS]
    return Named(
        frozenset(word.means for word in known if word.role is WordRole.OBJECT),
        frozenset(word.means for word in known if word.role is WordRole.STYLE),
    )


def names_rightly(caption: str, kind: Kind, style: Style) -> tuple[bool, bool]:
    """Whether the caption names this object and no other, and this style and no other."""
    named = named_in(caption)
    return named.kinds == {kind.value}, named.styles == {style.value}
