"""What goes over a connection, piece by piece, and what a fault makes of it. Pure: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum


class Piece(Enum):
    """A message between a service and NATS that a fault can lose or repeat."""

    ACK = "an acknowledgement of a delivery"
    ANSWER = "the server's answer that a message is stored"
    FEED = "a republished entry"
    OTHER = "anything else, which is left alone"


@dataclass
class Meddling:
    """What to do with every n-th message of a sort. Counted, not drawn: nothing depends on chance while it runs."""

    piece: Piece = Piece.OTHER
    every: int = 1
    copies: int = 1
    met: int = field(default=0, init=False)

    def copies_of(self, piece: Piece) -> int:
        """How often a message goes on: 0, 1 or 2 times."""
        if piece is not self.piece or piece is Piece.OTHER:
            return 1
        self.met += 1
        return self.copies if self.met % self.every == 0 else 1


class NatsFrames:
    """Cuts one direction of a NATS connection into its protocol messages."""

    _WITH_PAYLOAD = frozenset({b"PUB", b"HPUB", b"MSG", b"HMSG"})

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[Piece, bytes]]:
        """Whole messages, as they become complete."""
        self._rest += data
        while (frame := self._next()) is not None:
            yield _sort(frame), frame

    def _next(self) -> bytes | None:
        end = self._rest.find(b"\r\n")
        if end < 0:
            return None
        words = self._rest[:end].split()
        size = end + 2
        if words and words[0].upper() in self._WITH_PAYLOAD:
            size += int(words[-1]) + 2
        if len(self._rest) < size:
            return None
        frame, self._rest = self._rest[:size], self._rest[size:]
        return frame


def _sort(frame: bytes) -> Piece:
    words = frame[: frame.find(b"\r\n")].split()
    if len(words) < 2:
        return Piece.OTHER
    if words[0] in (b"PUB", b"HPUB") and words[1].startswith(b"$JS.ACK."):
        return Piece.ACK
    if words[0] in (b"MSG", b"HMSG"):
        if words[1].startswith(b"kerf.v1.feed."):
            return Piece.FEED
        if b'{"stream":"KERF_' in frame:
            return Piece.ANSWER
    return Piece.OTHER


def body_bytes(request: bytes) -> int | None:
    """Bytes of an HTTP request's body that are still to come, judged from what is there; None: no whole head yet."""
    head, found, rest = request.partition(b"\r\n\r\n")
    if not found:
        return None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return max(0, int(value) - len(rest))
    return 0


SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>a fault on purpose</Message></Error>'
)
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    + f"Content-Length: {len(SLOW_DOWN)}\r\n\r\n".encode()
    + SLOW_DOWN
)
