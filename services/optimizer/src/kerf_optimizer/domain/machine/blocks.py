"""Reads G-code a block of lines at a time, so that memory does not grow with the file.

Each block begins with a prelude: lines that say again what is in force where the block begins, as those lines of the
file did that said it last. A rule that looks at one line, at what is in force, or at the move before, judges a block as
it would judge the whole; what it finds in the prelude it has found before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from kerf_optimizer.domain.machine.grammar import BEAM_WORDS, MOTION_WORDS, UNIT_WORDS
from kerf_optimizer.domain.machine.reader import Program, read_program, stated_dialect
from kerf_optimizer.domain.presets import Dialect

BLOCK_BYTES = 1 << 20
"""Some 80,000 lines, which take a hundred times as many bytes while they are judged."""
_IN_FORCE: tuple[tuple[str, tuple[int, ...]], ...] = (
    *((letter, ()) for letter in "XYZSF"),
    ("G", MOTION_WORDS),
    ("G", UNIT_WORDS),
    ("M", BEAM_WORDS),
)
"""What a line says for those after it: letters, and the values that count (() = all)."""


def read_blocks(text: bytes, dialect: Dialect | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Program]:
    """The program in blocks of at least `block_bytes`, by the dialect given, else as `read_program`. Never fails."""
    dialect = dialect or stated_dialect(text)
    before: Program | None = None
    begin = first_line = 0
    while before is None or begin < len(text):
        end = text.find(b"\n", begin + block_bytes - 1) + 1 or len(text)
        block = read_program(text[begin:end], dialect or Dialect.GRBL_M4)
        lines = block.line_count
        before = dataclasses.replace(_preceded(block, before), first_line=first_line, first_byte=begin)
        yield before
        begin, first_line = end, first_line + lines


def _preceded(block: Program, before: Program | None) -> Program:
    """The block behind a prelude of what is in force at the end of the block before."""
    if before is None:
        return block
    found = []
    for letter, allowed in _IN_FORCE:
        chosen = before.letter == ord(letter)
        if allowed:
            chosen &= np.isin(before.value, allowed)
        found += np.flatnonzero(chosen)[-1:].tolist()
    last = np.sort(np.array(found, dtype=np.int64))
    # What stood on one line stays on one: whether a feed came after its unit, or with it, makes a difference.
    said, line = np.unique(before.line[last], return_inverse=True)
    count = len(said)
    return dataclasses.replace(
        block,
        line_starts=np.concatenate([np.zeros(count, dtype=np.int64), block.line_starts]),
        line=np.concatenate([line.astype(np.int64), block.line + count]),
        letter=np.concatenate([before.letter[last], block.letter]),
        value=np.concatenate([before.value[last], block.value]),
        malformed=block.malformed + count,
        inline=block.inline + count,
        prelude=count,
    )
