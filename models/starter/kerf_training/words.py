"""The words that the starter model was trained on, and what each stands for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kerf_world.vocabulary import known_words, style_phrases, subject_phrases, words_in

from .syllabus import TAUGHT_SUBJECTS

VOCABULARY_FILE = "vocabulary.json"


class WordRole(StrEnum):
    """What a word does in a prompt."""

    OBJECT = "object"
    STYLE = "style"
    FILLER = "filler"


@dataclass(frozen=True, slots=True)
class Word:
    """A word in lower case; `means` is the kind of object or the style that it names, empty for a filler."""

    text: str
    role: WordRole
    means: str = ""


def taught_words() -> list[Word]:
    """Return every word of the training prompts once: objects first, then styles, then all others."""
    taught = frozenset(TAUGHT_SUBJECTS)
    kinds = {phrase: subject.kind.value for phrase, subject in subject_phrases().items() if subject in taught}
    styles = {phrase: style.value for phrase, style in style_phrases().items()}
    found: dict[str, Word] = {}
    for role, meanings in ((WordRole.OBJECT, kinds), (WordRole.STYLE, styles)):
        # Single words first, so that "tree" means a tree although a pine is also a "pine tree".
        for phrase in sorted(meanings, key=lambda phrase: " " in phrase):
            for text in words_in(phrase):
                # The letter A is named "letter a"; "a" alone says nothing.
                if len(text) > 1:
                    found.setdefault(text, Word(text, role, meanings[phrase]))
    for text in known_words(taught):
        found.setdefault(text, Word(text, WordRole.FILLER))
    return list(found.values())


def write_vocabulary(folder: Path) -> None:
    """Write `vocabulary.json`: {"words": {word: {"role", "means"}}}."""
    entries = {word.text: {"role": word.role.value, "means": word.means} for word in taught_words()}
    (folder / VOCABULARY_FILE).write_text(json.dumps({"words": entries}, indent=1) + "\n", encoding="utf-8")
