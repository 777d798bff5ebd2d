"""Builds the model's CLIP tokenizer: byte-level BPE (Sennrich et al., 2016) in which each known word is one token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS_PER_PROMPT = 77
_WORD_END = "</w>"

Merge = tuple[str, str]


def new_tokenizer(known_words: Sequence[str]) -> CLIPTokenizer:
    """Return a tokenizer that turns each of `known_words` into one token and spells every other text in bytes."""
    merges = merges_for(known_words)
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + _WORD_END for letter in alphabet), *("".join(merge) for merge in merges)]
    unique = dict.fromkeys([*tokens, START, END])
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(unique)},
        merges=merges,  # type: ignore[arg-type]  # pairs are what its own backend takes; the annotation is too narrow
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=TOKENS_PER_PROMPT,
    )


def merges_for(known_words: Sequence[str]) -> list[Merge]:
    """Return merges, most urgent first, that join each word into one token.

    Each word is split with the merges so far, and what remains is joined from the left by merges added at the end.
    Merges added later are less urgent than all that an earlier word needed, so they never break it up.
    """
    ranks: dict[Merge, int] = {}
    for word in known_words:
        pieces = _split(word, ranks)
        while len(pieces) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
            pieces = _split(word, ranks)
    return list(ranks)


def _split(word: str, ranks: dict[Merge, int]) -> list[str]:
    pieces = [*word[:-1], word[-1] + _WORD_END]
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in ranks]
        if not pairs:
            return pieces
        best = min(pairs, key=ranks.__getitem__)
        joined: list[str] = []
        for piece in pieces:
            # A left half that was itself just joined must not join again in the same pass.
            if joined and (joined[-1], piece) == best:
                joined[-1] = joined[-1] + piece
            else:
                joined.append(piece)
        pieces = joined
