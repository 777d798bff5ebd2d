"""What a model makes of a prompt's words: which it does not know, and which it does not read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerf_core.errors import FailedPrecondition
from kerf_models.files import read_json

VOCABULARY_FILE = "vocabulary.json"
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Vocabulary:
    """A closed list of words, in lower case, that a model was trained on."""

    words: frozenset[str]

    def unknown_words(self, prompt: str) -> list[str]:
        """The prompt's words that the model has never seen, in order, each once, in lower case."""
        return list(dict.fromkeys(word for word in split_words(prompt) if word not in self.words))


def split_words(text: str) -> list[str]:
    """The runs of letters of a text, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary of a model folder, or None if it has none (a model of general knowledge has none).

    The file is a JSON object whose `words` is either a list of words or an object with the words as keys.
    Raises FailedPrecondition MODEL_BROKEN.
    """
    if not (folder / VOCABULARY_FILE).is_file():
        return None
    words = read_json(folder, VOCABULARY_FILE).get("words")
    if not isinstance(words, list | dict) or not all(isinstance(word, str) for word in words):
        raise FailedPrecondition(
            "MODEL_BROKEN", f"model folder {folder}: {VOCABULARY_FILE} has no `words`; install the model again"
        )
    return Vocabulary(frozenset(part for word in words for part in split_words(word)))


def unread_text(tokenizers: Iterable[Any], prompt: str) -> str:
    """The end of the prompt that does not fit into the text encoder's tokens, as words; empty if all is read.

    Of several tokenizers the one that reads least decides.
    """
    tails = [_unread_by(tokenizer, prompt) for tokenizer in tokenizers]
    return max(tails, key=len, default="")


def _unread_by(tokenizer: Any, prompt: str) -> str:
    room = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    ids = tokenizer(prompt, add_special_tokens=False, truncation=False)["input_ids"]
    return str(tokenizer.decode(ids[room:])).strip()
