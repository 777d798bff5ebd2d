"""Bugs that the model of the protocol can have, each with what the checker must call it."""

from __future__ import annotations

from enum import Enum

from chaos.faults.violations import Kind


class Bug(Enum):
    """(what is done wrong, the violation that it must be found by)."""

    ACK_BEFORE_COMMIT = ("the worker acks when it begins, and nobody looks after it", Kind.NOT_TERMINAL)
    NO_FENCE = ("the worker writes without asking whose attempt it is", Kind.ZOMBIE_WRITE)
    REFUSAL_IS_LOSS = ("a commit whose answer was lost is taken for not stored", Kind.ENTRY_TWICE)
    STALE_NAK = ("a superseded worker naks", Kind.EARLY_TAKEOVER)
    SECOND_TERMINAL = ("a cancellation is appended to a job that has ended", Kind.TWO_TERMINALS)
    SEQUENCE_REUSE = ("an entry keeps its sequence when it moves to a new tail", Kind.SEQUENCE_REUSE)
    SEQUENCE_SKIPPED = ("an entry is counted that was never stored", Kind.SEQUENCE_GAP)
    REPLAY_IS_NEW = ("the same request_id makes a second job", Kind.TWO_JOBS)
    PAYLOAD_UNCHECKED = ("a request_id is answered whatever was asked", Kind.OTHER_PAYLOAD)
    REPLAY_REFUSED = ("every second use of a request_id is refused", Kind.REPLAY_REFUSED)
    ANSWER_BEFORE_APPEND = ("the job is answered before it is stored", Kind.LOST_JOB)
    REFUSAL_AFTER_APPEND = ("the job is stored and the caller is told that it was refused", Kind.REFUSED_BUT_ACCEPTED)
    RESUME_WITH_GAP = ("a resumed stream leaves out one entry", Kind.STREAM_GAP)
    RESUME_REPEATS = ("a resumed stream repeats the last entry", Kind.STREAM_DUPLICATE)
    STREAM_CLOSES_EARLY = ("a stream is closed at the end of a stage", Kind.STREAM_SHORT)
    STREAM_INVENTS = ("a stream shows an entry that was refused", Kind.STREAM_DIFFERS)
    STALE_ANSWER = ("an answer comes from a replica that is behind", Kind.ANSWER_OLD)
    SHOWS_UNCOMMITTED = ("the artifacts of an attempt that has not committed are shown", Kind.ANSWER_DIFFERS)
    COMMITS_WHAT_IT_FINDS = ("an attempt commits what another one stored", Kind.FOREIGN_RESULT)
    LOST_CANCEL = ("a cancellation is answered and not stored", Kind.CANCEL_LOST)
    START_AFTER_CANCEL = ("a stage is started although the job is being cancelled", Kind.START_AFTER_CANCEL)
    DEPENDS_ON_WORKER = ("the result depends on who made it", Kind.BYTES_DIFFER)
    COMMIT_BEFORE_STORE = ("the commit comes before the bytes", Kind.UNDELIVERED)
    TORN_WRITE = ("half of the bytes are kept as if they were all", Kind.WRONG_BYTES)
    ENDLESS_ATTEMPTS = ("a stage is tried again for ever", Kind.TOO_MANY_ATTEMPTS)
    GIVES_UP = ("a job fails when its worker is lost once", Kind.WRONG_END)
    STATE_FROM_MEMORY = ("the head is taken from an old tail", Kind.HEAD_WRONG)

    @property
    def found_as(self) -> Kind:
        """The violation that the checker must report."""
        return self.value[1]
