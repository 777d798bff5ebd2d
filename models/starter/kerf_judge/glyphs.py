"""Which glyphs of which fonts show which subject. The table was written before the judge saw any of them.

What is left out, and why:
- it shows another thing than the kind: the chestnut (acorn), the instrument (compass rose), the tied rope (Celtic
  knot), the beer mug and the cup without a handle (mug), the closed umbrella, the Japanese castle, the racing car, the
  chess knight (horse), the poodle (dog), the gavel (hammer), the bug (ladybird), Apple's, Twitter's and Linux's signs;
- it shows several, or a scene: fluttering leaves, two paw prints, the camp, the island, houses, hammers and tools;
- it is a sign about the thing: the bell that is crossed out, the infinity sign in a ring (permanent paper);
- it stands on a coloured tile: arrows, the wheel of dharma, yin and yang, and infinity, as colour emoji;
- in one font it shows another thing than in the others: Symbols 2 draws the rosette as a football, and Material Design
  Icons have a cyclist for the bicycle and a block of flats for the modern home.
No font shows clefs apart from Symbola; none shows horseshoes, lighthouses, windmills or Celtic knots.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kerf_world.kinds import Kind, Subject


class Inking(StrEnum):
    """How a glyph becomes ink."""

    PLAIN = "plain"
    LINES = "lines"
    """Lines where a colour emoji changes its colour."""
    SHADES = "shades"
    """The brightness of a colour emoji."""


@dataclass(frozen=True, slots=True)
class Font:
    """A font file of a Debian package; `left_out` are glyphs of the table that show something else in this font."""

    name: str
    package: str
    file: str
    glyphs: Mapping[Subject, str]
    inkings: tuple[Inking, ...] = (Inking.PLAIN,)
    left_out: str = ""


# By the names of Unicode characters.
_UNICODE: dict[Kind, str] = {
    Kind.AEROPLANE: "✈🛩🛦🛧",
    Kind.ANCHOR: "⚓",
    Kind.APPLE: "🍎🍏",
    Kind.ARROW: "➔➙➛➜➝➞➡⮕🡆→⇨⬆",
    Kind.AXE: "🪓",
    Kind.BALLOON: "🎈",
    Kind.BAT: "🦇",
    Kind.BEAR: "🐻",
    Kind.BEE: "🐝",
    Kind.BELL: "🔔🕭",
    Kind.BICYCLE: "🚲",
    Kind.BIRD: "🐦",
    Kind.BOAT: "⛵🚤🚢🛳",
    Kind.BULB: "💡",
    Kind.BUTTERFLY: "🦋",
    Kind.CACTUS: "🌵",
    Kind.CAR: "🚗🚙",
    Kind.CASTLE: "🏰",
    Kind.CAT: "🐱🐈",
    Kind.CHERRY: "🍒",
    Kind.CHURCH: "⛪",
    Kind.CLEF: "𝄞",
    Kind.CLOUD: "☁",
    Kind.CLOVER: "☘🍀",
    Kind.CRAB: "🦀",
    Kind.CROWN: "👑",
    Kind.DEER: "🦌",
    Kind.DOG: "🐶🐕",
    Kind.DOVE: "🕊",
    Kind.DUCK: "🦆",
    Kind.ELEPHANT: "🐘",
    Kind.FEATHER: "🪶",
    Kind.FISH: "🐟🐠",
    Kind.FLAME: "🔥",
    Kind.FLOWER: "🌼🌸🌻✿❀⚘",
    Kind.FOX: "🦊",
    Kind.GEAR: "⚙⛭",
    Kind.GEM: "💎",
    Kind.GLASSES: "👓🕶",
    Kind.GUITAR: "🎸",
    Kind.HAMMER: "🔨",
    Kind.HEART: "❤♥🖤♡",
    Kind.HORSE: "🐴🐎",
    Kind.HOURGLASS: "⌛⏳",
    Kind.HOUSE: "🏠🏡",
    Kind.INFINITY: "∞",
    Kind.KEY: "🔑🗝",
    Kind.LADYBIRD: "🐞",
    Kind.LEAF: "🍁",
    Kind.LIGHTNING: "⚡🗲",
    Kind.MOON: "🌙☽☾",
    Kind.MOUNTAIN: "⛰🏔🗻",
    Kind.MUG: "☕",
    Kind.MUSHROOM: "🍄",
    Kind.NOTE: "🎵♪♩♫♬",
    Kind.OCTOPUS: "🐙",
    Kind.OWL: "🦉",
    Kind.PADLOCK: "🔒🔓",
    Kind.PALM: "🌴",
    Kind.PENCIL: "✏🖉✎✐",
    Kind.PENGUIN: "🐧",
    Kind.PINE: "🌲🎄",
    Kind.RABBIT: "🐰🐇",
    Kind.ROCKET: "🚀",
    Kind.ROSETTE: "🏵",
    Kind.SAW: "🪚",
    Kind.SCISSORS: "✂✄",
    Kind.SKULL: "💀☠",
    Kind.SNAIL: "🐌",
    Kind.SNOWFLAKE: "❄❅❆",
    Kind.SPIDER: "🕷",
    Kind.STAR: "⭐★☆✩🌟",
    Kind.SUN: "☀☼🌣🌞",
    Kind.SWAN: "🦢",
    Kind.TENT: "⛺",
    Kind.TRAIN: "🚂🚆",
    Kind.TREE: "🌳",
    Kind.TRUCK: "🚚🚛⛟",
    Kind.TULIP: "🌷",
    Kind.TURTLE: "🐢",
    Kind.UMBRELLA: "☂☔⛱",
    Kind.WHALE: "🐋🐳",
    Kind.WHEAT: "🌾",
    Kind.WHEEL: "🛞☸",
    Kind.WRENCH: "🔧",
    Kind.YIN_YANG: "☯",
}
_AWESOME: dict[Kind, str] = {
    Kind.AEROPLANE: "\uf072",
    Kind.ANCHOR: "\uf13d",
    Kind.ARROW: "\uf060\uf061\uf062\uf063",
    Kind.BELL: "\uf0a2\uf0f3",
    Kind.BICYCLE: "\uf206",
    Kind.BOAT: "\uf21a",
    Kind.BULB: "\uf0eb",
    Kind.CAR: "\uf1b9",
    Kind.CLOUD: "\uf0c2",
    Kind.FLAME: "\uf06d",
    Kind.GEAR: "\uf013",
    Kind.GEM: "\uf219",
    Kind.HEART: "\uf004\uf08a",
    Kind.HOURGLASS: "\uf250\uf251\uf252\uf253\uf254",
    Kind.HOUSE: "\uf015",
    Kind.KEY: "\uf084",
    Kind.LEAF: "\uf06c",
    Kind.LIGHTNING: "\uf0e7",
    Kind.MOON: "\uf186",
    Kind.MUG: "\uf0f4",
    Kind.NOTE: "\uf001",
    Kind.PADLOCK: "\uf023\uf09c\uf13e",
    Kind.PAW: "\uf1b0",
    Kind.PENCIL: "\uf040",
    # The font calls it tree; it is a conifer of two tiers.
    Kind.PINE: "\uf1bb",
    Kind.ROCKET: "\uf135",
    Kind.SCISSORS: "\uf0c4",
    Kind.SNOWFLAKE: "\uf2dc",
    Kind.STAR: "\uf005\uf006",
    Kind.SUN: "\uf185",
    Kind.TRAIN: "\uf238\uf239",
    Kind.TRUCK: "\uf0d1",
    Kind.UMBRELLA: "\uf0e9",
    Kind.WRENCH: "\uf0ad",
}
_MATERIAL: dict[Kind, str] = {
    Kind.AEROPLANE: "\uf01d",
    Kind.ANCHOR: "\uf031",
    Kind.APPLE: "\uf25b",
    Kind.ARROW: "\uf054\uf055\uf05d\uf05e",
    Kind.BALLOON: "\uf01c",
    Kind.BELL: "\uf09a\uf09c",
    Kind.BOAT: "\uf213",
    Kind.BULB: "\uf335\uf336",
    Kind.CAR: "\uf10b",
    Kind.CASTLE: "\uf11a",
    Kind.CAT: "\uf11b",
    Kind.CHURCH: "\uf144",
    Kind.CLOUD: "\uf15f\uf163",
    Kind.CROWN: "\uf1a5",
    Kind.DUCK: "\uf1e5",
    Kind.FISH: "\uf23a",
    Kind.FLAME: "\uf238",
    Kind.FLOWER: "\uf24a",
    Kind.GEAR: "\uf493",
    Kind.GEM: "\uf1c8",
    Kind.GLASSES: "\uf2aa\uf4e0",
    Kind.GUITAR: "\uf2c4",
    Kind.HEART: "\uf2d1\uf2d5",
    Kind.HOURGLASS: "\uf51f",
    Kind.HOUSE: "\uf2dc\uf2de",
    Kind.KEY: "\uf306\uf30b",
    Kind.LEAF: "\uf32a",
    Kind.LIGHTNING: "\uf241",
    Kind.MOON: "\uf594",
    Kind.MOUNTAIN: "\uf2f5",
    Kind.MUG: "\uf176",
    Kind.NOTE: "\uf387\uf388",
    Kind.OWL: "\uf3d2",
    Kind.PADLOCK: "\uf33e\uf33f\uf340\uf341",
    Kind.PAW: "\uf3e9",
    Kind.PENCIL: "\uf3eb\uf64f",
    Kind.PINE: "\uf405",
    Kind.ROCKET: "\uf463",
    Kind.SCISSORS: "\uf190",
    Kind.STAR: "\uf4ce\uf4d2",
    Kind.SUN: "\uf599\uf5a8",
    Kind.TENT: "\uf508",
    Kind.TRAIN: "\uf52c",
    Kind.TREE: "\uf531\uf38e",
    Kind.TRUCK: "\uf53d",
    Kind.UMBRELLA: "\uf54a\uf54b",
    Kind.WHEAT: "\uf073",
    Kind.WRENCH: "\uf5b7",
}


def _objects(table: Mapping[Kind, str]) -> dict[Subject, str]:
    return {Subject(kind): glyphs for kind, glyphs in table.items()}


_SIGNS = _objects(_UNICODE)
_LETTERS = {Subject(Kind.LETTER, letter): letter for letter in string.ascii_uppercase}

OBJECT_FONTS = (
    Font(
        "Noto Color Emoji",
        "fonts-noto-color-emoji",
        "noto/NotoColorEmoji.ttf",
        _SIGNS,
        (Inking.LINES, Inking.SHADES),
        left_out="➡⬆☸☯",
    ),
    Font("Symbola", "fonts-symbola", "ancient-scripts/Symbola_hint.ttf", _SIGNS),
    Font("DejaVu Sans", "fonts-dejavu-core", "dejavu/DejaVuSans.ttf", _SIGNS),
    Font("OpenSymbol", "fonts-opensymbol", "libreoffice/opens___.ttf", _SIGNS),
    Font("Noto Sans Symbols", "fonts-noto-core", "noto/NotoSansSymbols-Regular.ttf", _SIGNS),
    Font("Noto Sans Symbols 2", "fonts-noto-core", "noto/NotoSansSymbols2-Regular.ttf", _SIGNS, left_out="🏵"),
    Font("Font Awesome", "fonts-font-awesome", "font-awesome/fontawesome-webfont.ttf", _objects(_AWESOME)),
    Font(
        "Material Design Icons",
        "fonts-materialdesignicons-webfont",
        "materialdesignicons-webfont/materialdesignicons-webfont.ttf",
        _objects(_MATERIAL),
    ),
)
LETTER_FONTS = tuple(
    Font(name, package, file, _LETTERS)
    for name, package, file in (
        ("DejaVu Sans", "fonts-dejavu-core", "dejavu/DejaVuSans.ttf"),
        ("DejaVu Sans Bold", "fonts-dejavu-core", "dejavu/DejaVuSans-Bold.ttf"),
        ("DejaVu Serif", "fonts-dejavu-core", "dejavu/DejaVuSerif.ttf"),
        ("Noto Sans", "fonts-noto-core", "noto/NotoSans-Regular.ttf"),
        ("Noto Serif", "fonts-noto-core", "noto/NotoSerif-Regular.ttf"),
    )
)
