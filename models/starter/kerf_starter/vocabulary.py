"""The words that the starter model was trained on, and what each stands for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .canvas import Style
from .objects import Kind

VOCABULARY_FILE = "vocabulary.json"


class WordRole(StrEnum):
    """What a word does in a prompt."""

    OBJECT = "object"
    STYLE = "style"
    FILLER = "filler"


@dataclass(frozen=True, slots=True)
class Word:
    """A word in lower case; `means` is the `Kind` or `Style` that it names, empty for a filler."""

    text: str
    role: WordRole
    means: str = ""


# The first name is the usual one, and captions have it most often. Each word of a longer name is a word of the
# vocabulary, with the meaning that it has alone where it is a name itself.
OBJECT_NAMES: dict[Kind, tuple[str, ...]] = {
    Kind.ANCHOR: ("anchor", "anchors"),
    Kind.ARROW: ("arrow", "arrows"),
    Kind.BELL: ("bell", "bells"),
    Kind.BIRD: ("bird", "birds", "robin", "sparrow"),
    Kind.BOAT: ("boat", "boats", "sailboat", "ship", "yacht", "sailing boat"),
    Kind.BULB: ("bulb", "bulbs", "lightbulb", "light bulb", "lamp"),
    Kind.BUTTERFLY: ("butterfly", "butterflies", "moth"),
    Kind.CAT: ("cat", "cats", "kitten", "kitty", "sitting cat"),
    Kind.CLOUD: ("cloud", "clouds"),
    Kind.CROWN: ("crown", "crowns", "tiara", "royal crown"),
    Kind.FEATHER: ("feather", "feathers", "quill"),
    Kind.FISH: ("fish", "fishes", "trout", "salmon"),
    Kind.FLOWER: ("flower", "flowers", "daisy", "blossom"),
    Kind.GLASSES: ("glasses", "spectacles", "eyeglasses"),
    Kind.GUITAR: ("guitar", "guitars", "ukulele", "acoustic guitar"),
    Kind.HEART: ("heart", "hearts", "love"),
    Kind.HOUSE: ("house", "houses", "home", "cottage", "cabin"),
    Kind.KEY: ("key", "keys", "skeleton key"),
    Kind.LEAF: ("leaf", "leaves"),
    Kind.MOON: ("moon", "moons", "crescent", "crescent moon"),
    Kind.MOUNTAIN: ("mountain", "mountains", "peak", "peaks", "alps", "mountain range"),
    Kind.MUG: ("mug", "mugs", "cup", "cups", "coffee mug", "tea cup"),
    Kind.MUSHROOM: ("mushroom", "mushrooms", "toadstool"),
    Kind.OWL: ("owl", "owls"),
    Kind.PINE: ("pine", "pines", "fir", "spruce", "conifer", "pine tree", "fir tree", "christmas tree"),
    Kind.RABBIT: ("rabbit", "rabbits", "bunny", "hare"),
    Kind.ROCKET: ("rocket", "rockets", "spaceship", "space rocket"),
    Kind.SCISSORS: ("scissors", "shears"),
    Kind.SNAIL: ("snail", "snails"),
    Kind.STAR: ("star", "stars"),
    Kind.SUN: ("sun", "suns", "sunshine"),
    Kind.TREE: ("tree", "trees", "oak", "oak tree"),
    Kind.TURTLE: ("turtle", "turtles", "tortoise", "sea turtle"),
    Kind.UMBRELLA: ("umbrella", "umbrellas", "parasol"),
    Kind.WHEEL: ("wheel", "wheels", "wagon wheel", "spoked wheel"),
}

# Phrases; each word of a phrase is a word of the vocabulary with the phrase's style.
STYLE_NAMES: dict[Style, tuple[str, ...]] = {
    Style.SILHOUETTE: ("silhouette", "silhouetted", "stencil", "cutout", "solid silhouette", "filled shape"),
    Style.LINE_ART: ("line art", "line drawing", "lineart", "outline", "outlined", "contour drawing", "line sketch"),
    Style.ENGRAVING: ("engraving", "engraved", "hatched", "hatching", "hatched engraving", "woodcut", "etching"),
}

_FILLER_TEXT = """
    a an the of as in on with and for to from by at my your our is this that it its one single
    style drawing picture image illustration icon symbol design print artwork motif logo sign clipart graphic
    simple plain clean clear bold crisp sharp cute small little big large beautiful nice pretty detailed minimal
    minimalist minimalistic decorative ornamental vintage modern classic old high low quality contrast black white
    monochrome grayscale greyscale ink paper wood wooden background lines thick thin fine uniform strong smooth edges
    laser cut cutting engrave made draw drawn make please show vector flat centered centred isolated no shading
    shaded color colour colors colours text watermark blurry blur photo photograph gray grey gradient gradients ready
    only pure very ornate style stylized side view front out without pair
"""
FILLERS = tuple(dict.fromkeys(_FILLER_TEXT.split()))


def words() -> list[Word]:
    """Return every known word once: objects first, then styles, then fillers."""
    found: dict[str, Word] = {}
    names = [(kind, name) for kind, names_of_kind in OBJECT_NAMES.items() for name in names_of_kind]
    # Single words first, so that "tree" means a tree although a pine is also a "pine tree".
    for kind, name in sorted(names, key=lambda named: " " in named[1]):
        for text in (part for part in name.split() if part not in FILLERS):
            found.setdefault(text, Word(text, WordRole.OBJECT, kind.value))
    for style, phrases in STYLE_NAMES.items():
        for text in (part for phrase in phrases for part in phrase.split()):
            if text not in FILLERS:
                found.setdefault(text, Word(text, WordRole.STYLE, style.value))
    for text in FILLERS:
        found.setdefault(text, Word(text, WordRole.FILLER))
    return list(found.values())


def write_vocabulary(folder: Path) -> None:
    """Write `vocabulary.json`: {"words": {word: {"role", "means"}}}."""
    entries = {word.text: {"role": word.role.value, "means": word.means} for word in words()}
    (folder / VOCABULARY_FILE).write_text(json.dumps({"words": entries}, indent=1) + "\n", encoding="utf-8")
