"""What each dialect of G-code allows, for those who read it. The writer has a table of its own: a mistake in one of the
two is found by the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from kerf_optimizer.domain.presets import Dialect

BEAM_OFF, BEAM_CONSTANT, BEAM_DYNAMIC = 5, 3, 4
"""M words of the beam."""
BEAM_WORDS = (BEAM_CONSTANT, BEAM_DYNAMIC, BEAM_OFF)
ARC_WORDS = (2, 3)
"""G words of an arc: clockwise, counter-clockwise."""
MOTION_WORDS = (0, 1, *ARC_WORDS)
"""G words that move: rapid, straight, two arcs."""
FEED_PER_MINUTE, PLANE_XY, MILLIMETRES, ABSOLUTE = 94, 17, 21, 90
UNIT_WORDS = (20, MILLIMETRES, 93, FEED_PER_MINUTE, 95)
"""G words that change what a feed means: it must be said again."""


@dataclass(frozen=True)
class Grammar:
    """What a strict reader takes.

    `steps_per_s`: steps of power in one unit of S. `beam_word`: the only M word that may switch on. `modes`: G words
    that must be said before the first move. `end_words`: M words that end a program; () = it ends with the beam's off.
    `one_command`: a line holds at most one G or M word. `own_motion`: each move says its G word. `inline`: M3 takes
    the letter I without a number, and has to. `parentheses`: comments may stand in them.
    """

    beam_word: int
    modes: tuple[int, ...]
    end_words: tuple[int, ...] = ()
    steps_per_s: float = 1.0
    one_command: bool = False
    own_motion: bool = False
    inline: bool = False
    parentheses: bool = False


_GRBL_MODES = (MILLIMETRES, ABSOLUTE, PLANE_XY, FEED_PER_MINUTE)
_GRBL_ENDS = (2, 30)
_GRAMMARS = {
    Dialect.GRBL_M4: Grammar(BEAM_DYNAMIC, _GRBL_MODES, _GRBL_ENDS, parentheses=True),
    Dialect.GRBL_M3: Grammar(BEAM_CONSTANT, _GRBL_MODES, _GRBL_ENDS, parentheses=True),
    Dialect.GRBL_NO_LASER_MODE: Grammar(BEAM_CONSTANT, _GRBL_MODES, _GRBL_ENDS, parentheses=True),
    # Marlin knows neither G94 nor M2, and its M30 deletes a file; G17 needs an option of its build.
    Dialect.MARLIN_INLINE: Grammar(
        BEAM_CONSTANT, (MILLIMETRES, ABSOLUTE), one_command=True, own_motion=True, inline=True
    ),
    Dialect.SMOOTHIEWARE: Grammar(
        BEAM_CONSTANT, (MILLIMETRES, ABSOLUTE, PLANE_XY), steps_per_s=1000.0, one_command=True, own_motion=True
    ),
}


def grammar_of(dialect: Dialect) -> Grammar:
    """The grammar of a dialect."""
    return _GRAMMARS[dialect]
