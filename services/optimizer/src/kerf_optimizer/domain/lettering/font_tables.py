"""Lookups in the tables of a font from anybody: which glyph stands for a character, and how pairs of glyphs are kerned.

Read from the bytes at each question instead of being unpacked: a few bytes of a table can stand for billions of
entries, and a question costs the same whatever the table says. Source: the OpenType specification's cmap, kern, GPOS.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_MAX_TABLES = 64
_MAX_SUBTABLES = 256
_RECORD_BYTES = 16
_PAIRS, _EXTENSION = 2, 9
_X_ADVANCE = 4
_BEFORE_X_ADVANCE = 3
"""Bits of a value format: the advance along x, and what stands before it in a record."""


def read_directory(data: bytes) -> dict[str, bytes]:
    """The tables of an sfnt file by their tags. Raises struct.error or ValueError where it is damaged."""
    count = _u16(data, 4)
    if count > _MAX_TABLES:
        raise ValueError(f"{count} tables")
    tables = {}
    for number in range(count):
        tag, _, offset, length = struct.unpack_from(">4sLLL", data, 12 + _RECORD_BYTES * number)
        if offset + length > len(data):
            raise ValueError("a table ends after the file")
        tables[tag.decode("latin-1")] = data[offset : offset + length]
    return tables


class CharacterMap:
    """The best Unicode subtable of a cmap: format 12, or else 4. Raises struct.error or ValueError without one."""

    def __init__(self, cmap: bytes) -> None:
        found: dict[int, bytes] = {}
        for number in range(min(_u16(cmap, 2), _MAX_SUBTABLES)):
            platform, encoding, offset = struct.unpack_from(">HHL", cmap, 4 + 8 * number)
            if platform == 0 or (platform, encoding) in ((3, 1), (3, 10)):
                found.setdefault(_u16(cmap, offset), cmap[offset:])
        if 12 in found:
            count = struct.unpack_from(">L", found[12], 12)[0]
            self._groups = np.frombuffer(found[12], ">u4", 3 * count, 16).reshape(-1, 3)
        elif 4 in found:
            self._groups = np.zeros((0, 3), dtype=">u4")
        else:
            raise ValueError("no Unicode characters")
        self._table = found.get(4, b"")
        self._segments = _u16(self._table, 6) // 2 if 12 not in found else 0
        self._ends = _array(self._table, 14, self._segments)

    def glyph(self, character: str) -> int:
        """Number of the glyph; 0 = the font has none."""
        code = ord(character)
        if not self._segments:
            return self._of_group(code)
        segment = int(np.searchsorted(self._ends, code))
        if code > 0xFFFF or segment >= self._segments:
            return 0
        table, at = self._table, 16 + 2 * self._segments + 2 * segment
        start, delta = _u16(table, at), _u16(table, at + 2 * self._segments)
        offset_at = at + 4 * self._segments
        if code < start:
            return 0
        offset = _u16(table, offset_at)
        if not offset:
            return (code + delta) & 0xFFFF
        glyph = _u16(table, offset_at + offset + 2 * (code - start))
        return (glyph + delta) & 0xFFFF if glyph else 0

    def _of_group(self, code: int) -> int:
        row = int(np.searchsorted(self._groups[:, 1], code))
        if row >= len(self._groups):
            return 0
        start, _, first = (int(value) for value in self._groups[row])
        return first + code - start if code >= start else 0


class Kerning:
    """Pair kerning of a font: its GPOS `kern` feature, or its old kern table where there is no such feature."""

    def __init__(self, gpos: bytes, kern: bytes) -> None:
        self._lookups = list(_kern_lookups(gpos)) if gpos else []
        self._pairs = list(_kern_pairs(kern)) if kern and not self._lookups else []

    def units(self, left: int, right: int) -> int:
        """How much closer (negative) the right glyph moves to the left one, in units of the font."""
        total = 0
        for subtables in self._lookups:
            for subtable in subtables:
                found = _pair_value(subtable, left, right)
                if found is not None:  # the first subtable that knows the pair has the last word
                    total += found
                    break
        key = left << 16 | right
        for keys, values in self._pairs:
            row = int(np.searchsorted(keys, key))
            if row < len(keys) and int(keys[row]) == key:
                total += int(values[row])
        return total


def _kern_pairs(kern: bytes) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]:
    """Horizontal subtables of format 0 as sorted keys, left glyph × 65536 + right, and values."""
    if _u16(kern, 0) != 0:
        return  # Apple's own layout, which fonts of today do not have
    at = 4
    for _ in range(min(_u16(kern, 2), _MAX_SUBTABLES)):
        length, coverage = _u16(kern, at + 2), _u16(kern, at + 4)
        if coverage == 1:
            count = _u16(kern, at + 6)
            rows = np.frombuffer(kern, ">u2", 3 * count, at + 14).reshape(-1, 3).astype(np.int64)
            yield rows[:, 0] << 16 | rows[:, 1], rows[:, 2].astype(np.int16)
        at += length


def _kern_lookups(gpos: bytes) -> Iterator[list[bytes]]:
    """The pair subtables of each lookup of the feature `kern`."""
    features, lookups = gpos[_u16(gpos, 6) :], gpos[_u16(gpos, 8) :]
    wanted: set[int] = set()
    for number in range(_u16(features, 0)):
        tag, offset = struct.unpack_from(">4sH", features, 2 + 6 * number)
        if tag == b"kern":
            feature = features[offset:]
            wanted.update(_array(feature, 4, _u16(feature, 2)).tolist())
    left = _MAX_SUBTABLES
    for number in sorted(wanted)[:_MAX_SUBTABLES]:
        if number < _u16(lookups, 0):
            subtables = _pair_subtables(lookups[_u16(lookups, 2 + 2 * number) :])[:left]
            left -= len(subtables)
            if subtables:
                yield subtables


def _pair_subtables(lookup: bytes) -> list[bytes]:
    kind = _u16(lookup, 0)
    offsets = _array(lookup, 6, min(_u16(lookup, 4), _MAX_SUBTABLES)).tolist()
    found = []
    for offset in offsets:
        subtable = lookup[offset:]
        if kind == _EXTENSION and _u16(subtable, 2) == _PAIRS:
            found.append(subtable[struct.unpack_from(">L", subtable, 4)[0] :])
        elif kind == _PAIRS:
            found.append(subtable)
    return found


def _pair_value(table: bytes, left: int, right: int) -> int | None:
    """What a PairPos subtable adds to the advance of `left`; None = it does not know the pair."""
    covered = _coverage_index(table[_u16(table, 2) :], left)
    if covered is None:
        return None
    first, second = _u16(table, 4), _u16(table, 6)
    size = 2 * (first.bit_count() + second.bit_count())
    advance_at = 2 * (first & _BEFORE_X_ADVANCE).bit_count()
    if _u16(table, 0) == 1:
        pairs = table[_u16(table, 10 + 2 * covered) :]
        rows = np.frombuffer(pairs, np.uint8, _u16(pairs, 0) * (2 + size), 2).reshape(-1, 2 + size)
        found = np.flatnonzero(rows[:, 0].astype(np.int64) * 256 + rows[:, 1] == right)
        if not len(found):
            return None
        at, record = 4 + int(found[0]) * (2 + size), pairs
    else:
        left_class = _class_of(table[_u16(table, 8) :], left)
        right_class = _class_of(table[_u16(table, 10) :], right)
        if left_class >= _u16(table, 12) or right_class >= _u16(table, 14):
            return None
        at, record = 16 + (left_class * _u16(table, 14) + right_class) * size, table
    return int(struct.unpack_from(">h", record, at + advance_at)[0]) if first & _X_ADVANCE else 0


def _coverage_index(coverage: bytes, glyph: int) -> int | None:
    count = _u16(coverage, 2)
    if _u16(coverage, 0) == 1:
        glyphs = _array(coverage, 4, count)
        place = int(np.searchsorted(glyphs, glyph))
        return place if place < count and int(glyphs[place]) == glyph else None
    found = _in_ranges(coverage, count, glyph)
    return None if found is None else found[1] + glyph - found[0]


def _class_of(classes: bytes, glyph: int) -> int:
    if _u16(classes, 0) == 1:
        place = glyph - _u16(classes, 2)
        return _u16(classes, 6 + 2 * place) if 0 <= place < _u16(classes, 4) else 0
    found = _in_ranges(classes, _u16(classes, 2), glyph)
    return 0 if found is None else found[1]


def _in_ranges(table: bytes, count: int, glyph: int) -> tuple[int, int] | None:
    """First glyph and value of the range (first, last, value) that holds the glyph."""
    rows = _array(table, 4, 3 * count).reshape(-1, 3)
    row = int(np.searchsorted(rows[:, 1], glyph))
    if row >= count or glyph < int(rows[row, 0]):
        return None
    return int(rows[row, 0]), int(rows[row, 2])


def _array(table: bytes, offset: int, count: int) -> NDArray[np.uint16]:
    return np.frombuffer(table, ">u2", count, offset).astype(np.uint16) if count else np.zeros(0, dtype=np.uint16)


def _u16(table: bytes, offset: int) -> int:
    return int(struct.unpack_from(">H", table, offset)[0])
