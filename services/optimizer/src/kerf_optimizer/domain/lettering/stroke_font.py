"""kerf's own font: single strokes for scoring, and the same strokes with a round pen as outlines to fill or cut.

Drawn for kerf by hand. Coordinates: capitals are 6 high on a baseline at 0. Points of a stroke are `x,y`; one with a
`~` is the corner of a rounded turn between its neighbours; a stroke that ends with `z` returns to its start. Small
letters are small capitals.
"""

from __future__ import annotations

from functools import cache

from kerf_optimizer.domain.lettering.glyphs import Contour, Curve, Glyph

CAP_HEIGHT = 6.0
LINE_HEIGHT = 10.0
SPACE_WIDTH = 3.0
GAP = 1.6
ROUND_PEN = 0.9
SMALL_CAPITAL = 0.75
ROUNDING = 0.5523
"""A cubic whose inner control points lie so far towards the corner is a quarter of an ellipse."""
_P = "0,0 0,6 2.4,6 4.2,6~ 4.2,4.4 4.2,2.8~ 2.4,2.8 0,2.8"
_S = "3.8,4.9 3.4,6~ 2,6 0.2,6~ 0.2,4.5 0.2,3.3~ 2,3 4,2.7~ 4,1.5 4,0~ 2,0 0.4,0~ 0,1.2"
_O = "2,6 4,6~ 4,3 4,0~ 2,0 0,0~ 0,3 0,6~ z"
_STROKES = {
    "A": "0,0 2,6 4,0; 0.667,2 3.333,2",
    "B": "0,0 0,6 2.4,6 4,6~ 4,4.6 4,3.2~ 2.4,3.2 0,3.2; 2.4,3.2 4.2,3.2~ 4.2,1.6 4.2,0~ 2.4,0 0,0",
    "C": "4,4.8 3.6,6~ 2,6 0,6~ 0,3 0,0~ 2,0 3.6,0~ 4,1.2",
    "D": "0,0 0,6 1.6,6 4,6~ 4,3 4,0~ 1.6,0 z",
    "E": "3.6,6 0,6 0,0 3.6,0; 0,3.2 3,3.2",
    "F": "3.6,6 0,6 0,0; 0,3.2 3,3.2",
    "G": "4,4.8 3.6,6~ 2,6 0,6~ 0,3 0,0~ 2,0 4,0~ 4,2 4,2.8 2.2,2.8",
    "H": "0,0 0,6; 4,0 4,6; 0,3.2 4,3.2",
    "I": "0,0 0,6",
    "J": "3,6 3,1.8 3,0~ 1.5,0 0,0~ 0,1.6",
    "K": "0,0 0,6; 4,6 0,2.4; 1.4,3.66 4,0",
    "L": "0,6 0,0 3.4,0",
    "M": "0,0 0,6 2.4,1.6 4.8,6 4.8,0",
    "N": "0,0 0,6 4,0 4,6",
    "O": _O,
    "P": _P,
    "Q": f"{_O}; 2.6,1.6 4.2,-0.4",
    "R": f"{_P}; 2.2,2.8 4,0",
    "S": _S,
    "T": "0,6 4,6; 2,6 2,0",
    "U": "0,6 0,2 0,0~ 2,0 4,0~ 4,2 4,6",
    "V": "0,6 2,0 4,6",
    "W": "0,6 1.4,0 2.8,5 4.2,0 5.6,6",
    "X": "0,0 4,6; 0,6 4,0",
    "Y": "0,6 2,3 4,6; 2,3 2,0",
    "Z": "0,6 4,6 0,0 4,0",
    "0": "1.8,6 3.6,6~ 3.6,3 3.6,0~ 1.8,0 0,0~ 0,3 0,6~ z",
    "1": "0,4.6 1.4,6 1.4,0",
    "2": "0,4.6 0,6~ 1.8,6 3.6,6~ 3.6,4.4 3.6,3~ 0,0 3.6,0",
    "3": "0,5 0.4,6~ 1.8,6 3.5,6~ 3.5,4.6 3.5,3.2~ 1.6,3.2; 1.6,3.2 3.7,3.2~ 3.7,1.6 3.7,0~ 1.8,0 0.2,0~ 0,1.2",
    "4": "2.8,0 2.8,6 0,2 4,2",
    "5": "3.4,6 0.4,6 0.1,3.2 0.8,3.8~ 1.8,3.8 3.7,3.8~ 3.7,1.9 3.7,0~ 1.7,0 0.4,0~ 0,1",
    "6": "3.3,5.4 2.8,6~ 2,6 0,6~ 0,2 0,0~ 1.9,0 3.7,0~ 3.7,1.9 3.7,3.7~ 1.9,3.7 0.4,3.7~ 0,2",
    "7": "0,6 3.6,6 1.2,0",
    "8": "1.8,3.2 0.2,3.2~ 0.2,4.6 0.2,6~ 1.8,6 3.4,6~ 3.4,4.6 3.4,3.2~ z;"
    "1.8,3.2 0,3.2~ 0,1.6 0,0~ 1.8,0 3.6,0~ 3.6,1.6 3.6,3.2~ z",
    "9": "0.4,0.6 0.9,0~ 1.7,0 3.7,0~ 3.7,4 3.7,6~ 1.8,6 0,6~ 0,4.1 0,2.3~ 1.8,2.3 3.3,2.3~ 3.7,4",
    ".": "0,0 0,0.5",
    ",": "0.4,0.5 0.4,0 0,-1",
    ":": "0,0.8 0,1.3; 0,3.4 0,3.9",
    ";": "0.4,3.4 0.4,3.9; 0.4,1.3 0.4,0.8 0,-0.4",
    "!": "0,6 0,1.8; 0,0.5 0,0",
    "?": "0,4.8 0,6~ 1.6,6 3.2,6~ 3.2,4.6 3.2,3.4~ 1.6,3 1.6,1.8; 1.6,0.5 1.6,0",
    "'": "0,6 0,4.4",
    '"': "0,6 0,4.4; 1.2,6 1.2,4.4",
    "`": "0,6 0.8,5",
    "-": "0,2.8 2.4,2.8",
    "_": "0,-0.8 4,-0.8",
    "+": "0,2.8 3,2.8; 1.5,4.3 1.5,1.3",
    "=": "0,3.6 3,3.6; 0,2 3,2",
    "/": "0,-0.4 2.8,6.4",
    "\\": "0,6.4 2.8,-0.4",
    "(": "1.4,6.8 0,5.4~ 0,3 0,0.6~ 1.4,-0.8",
    ")": "0,6.8 1.4,5.4~ 1.4,3 1.4,0.6~ 0,-0.8",
    "[": "1.2,6.8 0,6.8 0,-0.8 1.2,-0.8",
    "]": "0,6.8 1.2,6.8 1.2,-0.8 0,-0.8",
    "{": "1.6,6.8 0.8,6.8~ 0.8,5.8 0.8,4 0.8,3~ 0,3 0.8,3~ 0.8,2 0.8,0.2 0.8,-0.8~ 1.6,-0.8",
    "}": "0,6.8 0.8,6.8~ 0.8,5.8 0.8,4 0.8,3~ 1.6,3 0.8,3~ 0.8,2 0.8,0.2 0.8,-0.8~ 0,-0.8",
    "<": "3,4.8 0,2.8 3,0.8",
    ">": "0,4.8 3,2.8 0,0.8",
    "|": "0,6.8 0,-0.8",
    "#": "0.9,0 1.7,6; 2.7,0 3.5,6; 0.2,2 4,2; 0.4,4 4.2,4",
    "*": "1.3,6 1.3,3.6; 0.2,5.4 2.4,4.2; 0.2,4.2 2.4,5.4",
    "&": "4,0 1,4 0.6,4.5~ 0.6,5 0.6,6~ 1.7,6 2.8,6~ 2.8,5 2.8,4.2~ 1.6,3.5 0,2.6~ 0,1.5 0,0~ 1.6,0 3.4,0~ 4,2.6",
    "%": "0,0 4,6; 1,6 2,6~ 2,5 2,4~ 1,4 0,4~ 0,5 0,6~ z; 3,2 4,2~ 4,1 4,0~ 3,0 2,0~ 2,1 2,2~ z",
    "@": "3.4,4.2 3.4,2.6 3.4,1.7~ 4.2,1.7 5,1.7~ 5,3.2 5,6~ 2.6,6 0,6~ 0,3 0,0~ 2.6,0 3.8,0~ 4.4,0.6;"
    "3.4,3 3.4,4.1~ 2.4,4.1 1.4,4.1~ 1.4,3 1.4,1.9~ 2.4,1.9 3.3,1.9~ 3.4,2.8",
    "$": f"{_S}; 2,6.8 2,-0.8",
    "^": "0,4.4 1.4,6 2.8,4.4",
    "~": "0,2.6 0.5,3.6~ 1.5,2.9 2.5,2.2~ 3,3.2",
    "°": "0.8,6 1.6,6~ 1.6,5.2 1.6,4.4~ 0.8,4.4 0,4.4~ 0,5.2 0,6~ z",
}


class StrokeFont:
    """See `Font`. `pen_width` 0 = strokes without width, for scoring."""

    line_height = LINE_HEIGHT
    filled = False

    def __init__(self, name: str, pen_width: float) -> None:
        self.name = name
        self.pen_width = pen_width
        self.cap_height = CAP_HEIGHT + pen_width

    def glyph(self, character: str) -> Glyph | None:
        """See `Font`."""
        if character == " ":
            return Glyph((), SPACE_WIDTH + self.pen_width)
        capital = character.upper()
        if capital not in _STROKES:
            return None
        scale = 1.0 if character == capital else SMALL_CAPITAL
        contours = tuple(_scaled(contour, scale) for contour in _contours(capital))
        width = max(point.real for contour in contours for curve in contour.curves for point in curve)
        return Glyph(contours, width + GAP + self.pen_width)

    def kerning(self, left: str, right: str) -> float:
        """See `Font`: gaps between its letters are all one."""
        return 0.0


@cache
def _contours(character: str) -> tuple[Contour, ...]:
    return tuple(_contour(stroke.split()) for stroke in _STROKES[character].split(";"))


def _contour(tokens: list[str]) -> Contour:
    closed = tokens[-1] == "z"
    if closed:
        tokens = [*tokens[:-1], tokens[0]]
    curves: list[Curve] = []
    here, corner = _point(tokens[0]), None
    for token in tokens[1:]:
        point = _point(token)
        if token.endswith("~"):
            corner = point
        elif corner is None:
            curves.append((here, point))
            here = point
        else:
            curves.append((here, here + ROUNDING * (corner - here), point + ROUNDING * (corner - point), point))
            here, corner = point, None
    return Contour(tuple(curves), closed)


def _point(token: str) -> complex:
    x, y = token.removesuffix("~").split(",")
    return complex(float(x), float(y))


def _scaled(contour: Contour, scale: float) -> Contour:
    return Contour(tuple(tuple(scale * point for point in curve) for curve in contour.curves), contour.closed)
