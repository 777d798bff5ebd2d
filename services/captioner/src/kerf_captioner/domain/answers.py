"""Captions that were made before, so that the same picture is not looked at twice."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from kerf_captioner.domain.engine import CaptionOrder, ModelFacts

_ENTRY_BYTES = 256
"""What an entry takes beside its text: key, links, object headers; a rounded-up estimate."""


def answer_key(scope: str, rgb: NDArray[np.uint8], facts: ModelFacts, order: CaptionOrder) -> str:
    """SHA-256 of all that a caption depends on: decoded pixels, model and parameters, within one scope.

    The scope is the tenant: that an answer came from the cache must not tell one tenant what another one sent.
    """
    digest = hashlib.sha256()
    for part in (scope, facts.name, facts.sha256, repr(rgb.shape), repr(order)):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


class AnswerCache:
    """Texts by key within so many bytes, the longest unused dropped first. Thread-safe; 0 bytes = keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._used_bytes = 0
        self._books = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Bytes of all entries, estimated."""
        return self._used_bytes

    def get(self, key: str) -> str | None:
        """The text, or None."""
        with self._books:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
            return text

    def put(self, key: str, text: str) -> None:
        """Keep a text; one that is larger than the whole cache is not kept."""
        size_bytes = _size_bytes(text)
        if size_bytes > self._max_bytes:
            return
        with self._books:
            old = self._texts.pop(key, None)
            if old is not None:
                self._used_bytes -= _size_bytes(old)
            self._texts[key] = text
            self._used_bytes += size_bytes
            while self._used_bytes > self._max_bytes:
                self._used_bytes -= _size_bytes(self._texts.popitem(last=False)[1])


def _size_bytes(text: str) -> int:
    return _ENTRY_BYTES + len(text.encode("utf-8", "surrogatepass"))
