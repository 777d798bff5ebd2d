"""What can be wrong with a history. The number is that of the invariant in the product's promise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """A broken promise: (invariant, what it means)."""

    LOST_JOB = (1, "a request was answered with a job that has no log")
    TWO_JOBS = (1, "one request became two jobs")
    GHOST_JOB = (1, "a job that nobody asked for")
    REFUSED_BUT_ACCEPTED = (1, "a request was refused for good, and became a job all the same")
    REPLAY_REFUSED = (1, "the same request again was refused as if it were another one")
    OTHER_PAYLOAD = (1, "a job does not do what was asked for under its request_id")
    TWO_TERMINALS = (1, "a second terminal entry")
    AFTER_TERMINAL = (1, "an entry after the terminal one")
    NOT_TERMINAL = (1, "the job did not end within its bound")
    ZOMBIE_WRITE = (1, "an attempt wrote after another one had taken over, or without its fence")
    EARLY_TAKEOVER = (1, "a living attempt was superseded although nothing disturbed it")
    START_AFTER_CANCEL = (1, "a stage was started after the job was to be cancelled")
    WRONG_STAGE = (1, "an entry speaks of a stage that the job is not in")
    TOO_MANY_ATTEMPTS = (1, "more attempts than are allowed")
    HEAD_WRONG = (1, "the state that an entry claims is not what the entries before it give")
    WRONG_END = (1, "the job ended otherwise than its request calls for")
    CANCEL_LOST = (1, "a cancellation was answered and is not in the log")
    FOREIGN_RESULT = (1, "what was committed is not what this attempt made")
    SEQUENCE_GAP = (2, "the log leaves out a sequence")
    SEQUENCE_REUSE = (2, "the log has a sequence twice")
    ENTRY_TWICE = (2, "the same append is stored twice")
    STREAM_GAP = (2, "a stream left out an entry")
    STREAM_DUPLICATE = (2, "a stream repeated an entry")
    STREAM_DIFFERS = (2, "a stream showed what the log does not have")
    STREAM_SHORT = (2, "a stream ended without an error before the terminal entry")
    ANSWER_OLD = (2, "an answer is older than what the client had already been told")
    BYTES_DIFFER = (3, "the same request gave other bytes")
    ANSWER_DIFFERS = (4, "an answer shows what the log does not say")
    WRONG_BYTES = (5, "bytes were delivered that are not those of the artifact")
    UNDELIVERED = (5, "an artifact that was committed cannot be had")

    @property
    def invariant(self) -> int:
        """Its number, 1–5."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """A sentence."""
        return self.value[1]


@dataclass(frozen=True)
class Violation:
    """One broken promise, and where to look."""

    kind: Kind
    job: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind.name} ({self.kind.invariant}): {self.kind.meaning}: {self.job}: {self.detail}"
