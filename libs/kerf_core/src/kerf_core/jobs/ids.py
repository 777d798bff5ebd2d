"""A sorted set of ids that stays quick with 100,000 of them: no step moves more than some hundreds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

_CHUNK = 512


class _Sorts(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


_Id = TypeVar("_Id", bound=_Sorts)


class SortedIds(Generic[_Id]):
    """Ids in ascending order, each at most once. Not for several threads."""

    __slots__ = ("_chunks", "_count")

    def __init__(self) -> None:
        self._chunks: list[list[_Id]] = []
        """In order, none of them empty."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[_Id]:
        for chunk in self._chunks:
            yield from chunk

    def add(self, wanted: _Id) -> None:
        """Add an id, if it is not there."""
        if not self._chunks:
            self._chunks.append([wanted])
            self._count = 1
            return
        last = len(self._chunks) - 1
        number = last if self._chunks[last][-1] < wanted else self._chunk_of(wanted)  # most ids come in order
        chunk = self._chunks[number]
        at = bisect_left(chunk, wanted)
        if at < len(chunk) and chunk[at] == wanted:
            return
        chunk.insert(at, wanted)
        self._count += 1
        if len(chunk) > 2 * _CHUNK:
            self._chunks[number : number + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]

    def discard(self, wanted: _Id) -> None:
        """Remove an id, if it is there."""
        number = self._chunk_of(wanted)
        if number == len(self._chunks):
            return
        chunk = self._chunks[number]
        at = bisect_left(chunk, wanted)
        if chunk[at] == wanted:
            del chunk[at]
            self._count -= 1
            if not chunk:
                del self._chunks[number]

    def last_before(self, bound: _Id | None) -> _Id | None:
        """The greatest id below `bound`, or of all of them (None); None if there is none."""
        if not self._chunks:
            return None
        if bound is None:
            return self._chunks[-1][-1]
        number = self._chunk_of(bound)
        at = bisect_left(self._chunks[number], bound) if number < len(self._chunks) else 0
        if at:
            return self._chunks[number][at - 1]
        return self._chunks[number - 1][-1] if number else None

    def count_before(self, bound: _Id) -> int:
        """How many ids are below `bound`."""
        number = self._chunk_of(bound)
        before = sum(len(chunk) for chunk in self._chunks[:number])
        return before + (bisect_left(self._chunks[number], bound) if number < len(self._chunks) else 0)

    def _chunk_of(self, wanted: _Id) -> int:
        """Number of the first chunk whose last id is not below the wanted one; of chunks if there is none."""
        return bisect_left(self._chunks, wanted, key=_last)


def _last(chunk: list[_Id]) -> _Id:
    return chunk[-1]
