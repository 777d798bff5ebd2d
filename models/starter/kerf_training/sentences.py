"""What the starter captioner says: its sentences, its tokenizer, and how a caption is judged."""

from __future__ import annotations

import string

import numpy as np
from transformers import BertTokenizer

from kerf_starter.sentences import MAX_TOKENS, UNKNOWN_PICTURE
from kerf_world.captions import named_in, usual_caption, with_article
from kerf_world.scenes import Scene

from .words import taught_words

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
_DECODE = "[DEC]"
_USUAL_SHARE = 0.85
# Seldom used, so that a prompt such as "a picture of" is a beginning that the model has seen.
_OTHERS = ("a picture of {shown}, {style}", "a drawing of {shown}, {style}", "{shown}, {style}")


def sentence(scene: Scene) -> str:
    """The usual caption of a scene: `an engraving of a mushroom, round border`."""
    style, shown = usual_caption(scene).split(" of ", 1)
    return f"{with_article(style)} of {shown}"


def any_sentence(scene: Scene, rng: np.random.Generator) -> str:
    """The usual caption most of the time, else one of another order."""
    if rng.random() < _USUAL_SHARE:
        return sentence(scene)
    style, shown = usual_caption(scene).split(" of ", 1)
    return _OTHERS[int(rng.integers(len(_OTHERS)))].format(shown=shown, style=style)


def new_bert_tokenizer() -> BertTokenizer:
    """A tokenizer with one token per known word; other words are spelt in letters (WordPiece, Schuster 2012)."""
    alphabet = string.ascii_lowercase + string.digits
    known = [*(word.text for word in taught_words()), *UNKNOWN_PICTURE.split(), "picture", "drawing"]
    tokens = [*_SPECIAL, *known, *",.-'", *alphabet, *(f"##{letter}" for letter in alphabet)]
    return BertTokenizer(
        vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))},
        do_lower_case=True,
        bos_token=_DECODE,
        model_max_length=MAX_TOKENS,
    )


def names_rightly(caption: str, scene: Scene) -> tuple[bool, bool]:
    """Whether the caption names these subjects and no other, and this style and no other."""
    named = named_in(caption)
    return named.subjects == frozenset(scene.subjects), named.styles == {scene.style}
