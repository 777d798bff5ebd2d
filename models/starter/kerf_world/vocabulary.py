"""The words of the world's captions, and what each phrase stands for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .kinds import LETTERS, Kind, Subject
from .scenes import Arrangement, Border, Style


@dataclass(frozen=True, slots=True)
class Name:
    """A name of a kind and its plural; `paired` names have no article in the singular: `glasses`."""

    one: str
    many: str
    paired: bool = False


def _names(*entries: str) -> tuple[Name, ...]:
    """Read `cat` (plural with s) or `leaf/leaves`; a leading `+` marks a pair."""
    names = []
    for entry in entries:
        one, _, many = entry.lstrip("+").partition("/")
        names.append(Name(one, many or f"{one}s", entry.startswith("+")))
    return tuple(names)


# The first name is the usual one. No name stands for two kinds.
OBJECT_NAMES: dict[Kind, tuple[Name, ...]] = {
    Kind.ACORN: _names("acorn", "oak nut"),
    Kind.AEROPLANE: _names("aeroplane", "airplane", "plane", "jet", "aircraft/aircraft"),
    Kind.ANCHOR: _names("anchor", "ship anchor"),
    Kind.APPLE: _names("apple"),
    Kind.ARROW: _names("arrow", "pointer"),
    Kind.AXE: _names("axe", "hatchet", "ax/axes"),
    Kind.BALLOON: _names("balloon", "hot air balloon"),
    Kind.BAT: _names("bat", "flying bat"),
    Kind.BEAR: _names("bear", "bear face", "grizzly bear", "teddy bear"),
    Kind.BEE: _names("bee", "honey bee", "honeybee", "bumblebee"),
    Kind.BELL: _names("bell"),
    Kind.BICYCLE: _names("bicycle", "bike", "cycle"),
    Kind.BIRD: _names("bird", "robin", "sparrow", "songbird"),
    Kind.BOAT: _names("boat", "sailboat", "ship", "yacht", "sailing boat"),
    Kind.BULB: _names("bulb", "light bulb", "lightbulb", "lamp"),
    Kind.BUTTERFLY: _names("butterfly/butterflies", "moth"),
    Kind.CACTUS: _names("cactus/cacti", "saguaro"),
    Kind.CAR: _names("car", "automobile", "motor car"),
    Kind.CASTLE: _names("castle", "fortress/fortresses", "fort"),
    Kind.CAT: _names("cat", "kitten", "kitty/kitties", "sitting cat"),
    Kind.CHERRY: _names("cherry/cherries"),
    Kind.CHURCH: _names("church/churches", "chapel"),
    Kind.CLEF: _names("treble clef", "clef", "g clef"),
    Kind.CLOUD: _names("cloud"),
    Kind.CLOVER: _names("clover", "shamrock", "lucky clover", "clover leaf/clover leaves"),
    Kind.COMPASS: _names("compass rose", "compass/compasses", "wind rose"),
    Kind.CRAB: _names("crab"),
    Kind.CROWN: _names("crown", "tiara", "royal crown"),
    Kind.DEER: _names("deer/deer", "stag", "reindeer/reindeer", "deer head", "elk/elk"),
    Kind.DOG: _names("dog", "puppy/puppies", "hound"),
    Kind.DOVE: _names("dove", "peace dove", "dove of peace/doves of peace", "pigeon"),
    Kind.DUCK: _names("duck", "swimming duck", "rubber duck"),
    Kind.ELEPHANT: _names("elephant"),
    Kind.FEATHER: _names("feather", "quill", "plume"),
    Kind.FISH: _names("fish/fishes", "trout/trout", "salmon/salmon", "goldfish/goldfish"),
    Kind.FLAME: _names("flame", "fire", "campfire"),
    Kind.FLOWER: _names("flower", "daisy/daisies", "blossom"),
    Kind.FOX: _names("fox/foxes", "fox face", "fox head"),
    Kind.GEAR: _names("gear", "cogwheel", "cog"),
    Kind.GEM: _names("diamond", "gem", "jewel", "gemstone", "brilliant"),
    Kind.GLASSES: _names("+glasses/glasses", "+spectacles/spectacles", "+eyeglasses/eyeglasses"),
    Kind.GUITAR: _names("guitar", "ukulele", "acoustic guitar"),
    Kind.HAMMER: _names("hammer", "claw hammer"),
    Kind.HEART: _names("heart", "love heart"),
    Kind.HORSE: _names("horse", "pony/ponies", "mare", "stallion"),
    Kind.HORSESHOE: _names("horseshoe", "lucky horseshoe"),
    Kind.HOURGLASS: _names("hourglass/hourglasses", "sand timer", "sandglass/sandglasses"),
    Kind.HOUSE: _names("house", "home", "cottage", "cabin"),
    Kind.INFINITY: _names("infinity symbol", "infinity sign", "infinity/infinity symbols"),
    Kind.KEY: _names("key", "skeleton key", "door key"),
    Kind.KNOT: _names("celtic knot", "knot", "interlaced knot"),
    Kind.LADYBIRD: _names("ladybird", "ladybug", "beetle"),
    Kind.LEAF: _names("leaf/leaves"),
    Kind.LIGHTHOUSE: _names("lighthouse", "light tower"),
    Kind.LIGHTNING: _names("lightning bolt", "lightning/lightning bolts", "thunderbolt", "flash/flashes"),
    Kind.MOON: _names("moon", "crescent", "crescent moon", "half moon"),
    Kind.MOUNTAIN: _names("mountain", "peak", "alp", "mountain range"),
    Kind.MUG: _names("mug", "cup", "coffee mug", "tea cup", "coffee cup"),
    Kind.MUSHROOM: _names("mushroom", "toadstool"),
    Kind.NOTE: _names("music note", "musical note", "note", "quaver"),
    Kind.OCTOPUS: _names("octopus/octopuses", "kraken", "squid/squid"),
    Kind.OWL: _names("owl"),
    Kind.PADLOCK: _names("padlock", "lock"),
    Kind.PALM: _names("palm tree", "palm", "coconut tree"),
    Kind.PAW: _names("paw print", "paw", "pawprint"),
    Kind.PENCIL: _names("pencil", "crayon"),
    Kind.PENGUIN: _names("penguin"),
    Kind.PINE: _names("pine tree", "pine", "fir", "spruce", "conifer", "fir tree", "christmas tree"),
    Kind.RABBIT: _names("rabbit", "bunny/bunnies", "hare"),
    Kind.ROCKET: _names("rocket", "spaceship", "space rocket"),
    Kind.ROSETTE: _names("rosette", "round ornament", "flower rosette"),
    Kind.SAW: _names("saw", "hand saw", "handsaw"),
    Kind.SCISSORS: _names("+scissors/scissors", "+shears/shears"),
    Kind.SKULL: _names("skull", "skull and bones/skulls and bones", "death's head"),
    Kind.SNAIL: _names("snail"),
    Kind.SNOWFLAKE: _names("snowflake", "snow crystal", "ice crystal"),
    Kind.SPIDER: _names("spider", "tarantula"),
    Kind.STAR: _names("star"),
    Kind.SUN: _names("sun", "sunshine/suns"),
    Kind.SWAN: _names("swan"),
    Kind.TENT: _names("tent", "tipi", "teepee"),
    Kind.TRAIN: _names("train", "locomotive", "steam engine", "steam train"),
    Kind.TREE: _names("tree", "oak", "oak tree"),
    Kind.TRUCK: _names("truck", "lorry/lorries"),
    Kind.TULIP: _names("tulip"),
    Kind.TURTLE: _names("turtle", "tortoise", "sea turtle"),
    Kind.UMBRELLA: _names("umbrella", "parasol"),
    Kind.WHALE: _names("whale", "blue whale"),
    Kind.WHEAT: _names("ear of wheat/ears of wheat", "wheat/ears of wheat", "wheat ear", "barley/ears of wheat"),
    Kind.WHEEL: _names("wheel", "wagon wheel", "spoked wheel"),
    Kind.WINDMILL: _names("windmill", "mill"),
    Kind.WRENCH: _names("wrench/wrenches", "spanner"),
    Kind.YIN_YANG: _names("yin yang", "yin yang symbol", "yin and yang/yin yang symbols"),
}


def names_of(subject: Subject) -> tuple[Name, ...]:
    """All names of a subject, the usual one first; a letter is always named with a word before it."""
    if not subject.letter:
        return OBJECT_NAMES[subject.kind]
    low = subject.letter.lower()
    return tuple(Name(f"{word} {low}", f"{word}s {low}") for word in ("letter", "capital letter", "initial"))


STYLE_NAMES: dict[Style, tuple[str, ...]] = {
    Style.SILHOUETTE: ("silhouette", "solid silhouette", "filled silhouette", "solid shape", "shadow picture"),
    Style.LINE_ART: (
        "line art",
        "line drawing",
        "lineart",
        "outline",
        "outline drawing",
        "contour drawing",
        "line sketch",
    ),
    Style.ENGRAVING: ("engraving", "hatched engraving", "etching", "woodcut", "hatched drawing", "linocut"),
    Style.HALFTONE: ("halftone", "halftone print", "dotted halftone", "dot screen print", "halftone dots"),
    Style.STENCIL: ("stencil", "cutout", "cut-out", "paper cut", "cut out stencil", "spray stencil"),
    Style.MANDALA: (),
}
# MANDALA is drawn in two ways, with names of their own.
MANDALA_NAMES = ("mandala", "mandala ornament", "ornamental mandala", "round mandala")
FACETED_NAMES = ("geometric drawing", "low poly drawing", "faceted drawing", "polygon art", "geometric art")

BORDER_NAMES: dict[Border, tuple[str, ...]] = {
    Border.NONE: ("no border", "without a border", "no frame", "without frame", "borderless"),
    Border.RING: ("in a ring", "round border", "in a circle border", "with a ring around it", "circular frame"),
    Border.SQUARE: ("square border", "in a square frame", "with a square border", "rectangular frame", "framed"),
    Border.SCALLOPED: (
        "scalloped border",
        "with a scalloped border",
        "in a wavy frame",
        "scalloped frame",
        "badge border",
    ),
}
ARRANGEMENT_NAMES: dict[Arrangement, tuple[str, ...]] = {
    Arrangement.ALONE: ("{one}",),
    Arrangement.BESIDE: (
        "{first} and {second}",
        "{first} and {second} side by side",
        "{first} next to {second}",
        "{first} beside {second}",
        "{first} left of {second}",
    ),
    Arrangement.ABOVE: (
        "{first} above {second}",
        "{first} over {second}",
        "{second} below {first}",
        "{second} under {first}",
        "{first} on top of {second}",
    ),
    Arrangement.ROW: ("{number} {many}", "{number} {many} in a row", "a row of {number} {many}", "a row of {many}"),
    Arrangement.GRID: ("{number} {many}", "{number} {many} in a grid", "a pattern of {many}", "a grid of {many}"),
    Arrangement.CIRCLE: ("{number} {many}", "{number} {many} in a circle", "a circle of {many}", "a wreath of {many}"),
}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_ADJECTIVE_TEXT = """
    simple plain clean bold crisp cute small little big large beautiful nice detailed minimal minimalist decorative
    vintage modern classic old stylized elegant
"""
ADJECTIVES = tuple(_ADJECTIVE_TEXT.split())
ENDINGS = (
    "black and white",
    "high contrast, plain background",
    "white background",
    "simple, clean lines",
    "bold lines, white background, high contrast",
    "for laser engraving",
    "for laser cutting",
    "isolated on white",
    "laser cut design",
    "plain white background, clean edges, uniform thick lines",
    "pure black, sharp edges",
    "monochrome, high contrast",
    "vector graphic",
    "flat design",
)
# Each is true of every picture, so that a model learns what is left out when it is named so.
NEGATIVES = (
    "without background",
    "no background",
    "no text",
    "no colour",
    "no color",
    "no gray",
    "no grey",
    "no gradients",
    "without text",
    "no watermark",
    "not a photo",
    "no photograph",
    "not blurry",
)
TEMPLATES = (
    "{a_style} of {scene}",
    "{style} of {scene}",
    "{scene}, {style}",
    "{scene} as {a_style}",
    "{scene} in {style} style",
    "picture of {scene}, {style}",
    "{style}, {scene}",
    "{style} showing {scene}",
    "draw {scene} as {a_style}",
)
ONE_TEMPLATES = (
    "{style} {bare}",
    "{bare} {style}",
    "{a_style} with {scene}",
    "{bare}, {style}",
    "{a_style} that shows {scene}",
)
STYLELESS_TEMPLATES = (
    "{scene}",
    "picture of {scene}",
    "a picture of {scene}",
    "a drawing of {scene}",
    "please draw {scene}",
)
# What the picture is made for is not the style that it is drawn in.
PURPOSES = ("laser engraving", "for engraving", "laser cut", "laser cutting", "for cutting", "engraving machine")
_FILLER_TEXT = """
    a an the some one of pair pairs at my your our is this it its print artwork motif logo clipart icon symbol
    illustration image design make
"""
EXTRA_FILLERS = tuple(_FILLER_TEXT.split())


def style_names(style: Style, *, faceted: bool) -> tuple[str, ...]:
    """The names of a style, as it is drawn; the usual one first."""
    if style is Style.MANDALA:
        return FACETED_NAMES if faceted else MANDALA_NAMES
    return STYLE_NAMES[style]


def subject_phrases() -> dict[str, Subject]:
    """Each name in the singular and the plural, and the subject that it stands for."""
    found: dict[str, Subject] = {}
    for subject in (*(Subject(kind) for kind in OBJECT_NAMES), *LETTERS):
        for name in names_of(subject):
            for phrase in (name.one, name.many):
                if found.setdefault(phrase, subject) != subject:
                    raise LookupError(f"{phrase!r} names {found[phrase].label} and {subject.label}")
    return found


def style_phrases() -> dict[str, Style]:
    """Each name of a style, and the style."""
    found = {phrase: style for style, phrases in STYLE_NAMES.items() for phrase in phrases}
    return found | dict.fromkeys((*MANDALA_NAMES, *FACETED_NAMES), Style.MANDALA)


def known_words(subjects: Collection[Subject] | None = None) -> tuple[str, ...]:
    """All words that a caption can have, in lower case, each once: those of subjects, of styles, then all others.

    With `subjects`, only words that captions of these have.
    """
    named = (phrase for phrase, subject in subject_phrases().items() if subjects is None or subject in subjects)
    arrangements = (phrase for phrases in ARRANGEMENT_NAMES.values() for phrase in phrases)
    borders = (phrase for phrases in BORDER_NAMES.values() for phrase in phrases)
    texts = (
        *named,
        *style_phrases(),
        *arrangements,
        *borders,
        *NUMBERS.values(),
        *ADJECTIVES,
        *ENDINGS,
        *NEGATIVES,
        *TEMPLATES,
        *ONE_TEMPLATES,
        *STYLELESS_TEMPLATES,
        *PURPOSES,
        *EXTRA_FILLERS,
    )
    return tuple(dict.fromkeys(word for text in texts for word in words_in(text)))


def words_in(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation and without the fields of a template."""
    return [
        word.strip('.,;:!?"') for word in text.lower().split() if word.strip('.,;:!?"') and not word.startswith("{")
    ]
