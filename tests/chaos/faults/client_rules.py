"""What must be true of all that clients were told, given the logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from chaos.faults.history import TERMINAL, Asked, Cancel, Delivery, Entry, Outcome, Output, Sitting, Told
from chaos.faults.violations import Kind, Violation

Logs = Mapping[str, Sequence[Entry]]
_OTHER_PAYLOAD = "REQUEST_ID_REUSED"


def check_requests(asked: Sequence[Asked], logs: Logs) -> Iterator[Violation]:
    """One request, one job, which does what was asked for."""
    calls: dict[str, list[Asked]] = defaultdict(list)
    for call in asked:
        calls[call.ask].append(call)
    jobs: dict[str, list[str]] = defaultdict(list)
    for job, log in logs.items():
        origin = log[0].origin
        if origin is None or origin.derived:
            continue
        jobs[origin.ask].append(job)
        if origin.ask not in calls:
            yield Violation(Kind.GHOST_JOB, job, f"no request {origin.ask!r}")
        elif all(call.payload != origin.payload for call in calls[origin.ask]):
            yield Violation(Kind.OTHER_PAYLOAD, job, f"request {origin.ask!r} asked for something else")
    for ask, tries in calls.items():
        yield from _check_ask(ask, tries, jobs.get(ask, []), logs)


def _check_ask(ask: str, tries: list[Asked], jobs: list[str], logs: Logs) -> Iterator[Violation]:
    named = {call.job for call in tries if call.outcome is Outcome.ANSWERED}
    for job in sorted(named - set(logs)):
        yield Violation(Kind.LOST_JOB, job, f"request {ask!r}")
    if len(named | set(jobs)) > 1:
        yield Violation(Kind.TWO_JOBS, ", ".join(sorted(named | set(jobs))), f"request {ask!r}")
    if jobs and all(call.outcome is Outcome.REFUSED for call in tries):
        yield Violation(Kind.REFUSED_BUT_ACCEPTED, jobs[0], f"request {ask!r}: {tries[0].reason}")
    for call in tries:
        log = logs.get(call.job or (jobs[0] if jobs else ""))
        origin = log[0].origin if log else None
        if origin is None:
            continue
        same = origin.payload == call.payload
        if call.outcome is Outcome.ANSWERED and not same:
            yield Violation(Kind.OTHER_PAYLOAD, call.job, f"request {ask!r} was answered with another request's job")
        if call.reason == _OTHER_PAYLOAD and same:
            yield Violation(Kind.REPLAY_REFUSED, jobs[0] if jobs else "", f"request {ask!r}")


def check_ends(asked: Sequence[Asked], cancels: Sequence[Cancel], logs: Logs) -> Iterator[Violation]:
    """A job ends as its request calls for; only who was asked to cancel cancels."""
    expects = {call.ask: call.expects for call in asked}
    cancelled = {cancel.job for cancel in cancels}
    for job, log in logs.items():
        origin, end = log[0].origin, next((entry for entry in log if entry.body in TERMINAL), None)
        if end is None or origin is None or origin.ask not in expects:
            continue
        wanted = {expects[origin.ask]} | ({"cancelled"} if job in cancelled else set())
        if end.body not in wanted:
            yield Violation(Kind.WRONG_END, job, f"{end.body}, expected {' or '.join(sorted(wanted))}")


def check_cancels(cancels: Sequence[Cancel], logs: Logs) -> Iterator[Violation]:
    """An answered cancellation is in the log, unless the job had ended before it."""
    for cancel in cancels:
        if cancel.last_sequence is None:
            continue
        known = [entry.body for entry in logs.get(cancel.job, ()) if entry.sequence <= cancel.last_sequence]
        if "cancel_requested" not in known and not TERMINAL & set(known):
            yield Violation(Kind.CANCEL_LOST, cancel.job, f"answered to {cancel.client}, last entries {known[-3:]}")


def check_told(told: Sequence[Told], logs: Logs) -> Iterator[Violation]:
    """Every answer is the log's state at the sequence that it names, and never older than what was told before."""
    for answer in told:
        who = f"{answer.call} by {answer.client}"
        known = [entry for entry in logs.get(answer.job, ()) if entry.sequence <= answer.last_sequence]
        if not known or known[-1].sequence != answer.last_sequence:
            yield Violation(Kind.ANSWER_DIFFERS, answer.job, f"{who}: the log has no entry {answer.last_sequence}")
            continue
        if known[-1].head.state != answer.state:
            detail = f"{who}: {answer.state} at {answer.last_sequence}, the log says {known[-1].head.state}"
            yield Violation(Kind.ANSWER_DIFFERS, answer.job, detail)
        if committed(known) != set(answer.outputs):
            yield Violation(Kind.ANSWER_DIFFERS, answer.job, f"{who}: other outputs than were committed")
        if answer.last_sequence < answer.seen_before:
            detail = f"{who}: {answer.last_sequence} after {answer.seen_before}"
            yield Violation(Kind.ANSWER_OLD, answer.job, detail)


def committed(entries: Sequence[Entry]) -> set[Output]:
    """The outputs that entries commit, those that were saved on a cancellation too."""
    return {output for entry in entries for output in entry.outputs}


def check_streams(sittings: Sequence[Sitting], logs: Logs) -> Iterator[Violation]:
    """A stream is the log after the place where it was opened, entry by entry, to the terminal one."""
    for sitting in sittings:
        log = {entry.sequence: entry for entry in logs.get(sitting.job, ())}
        last = sitting.after
        for seen in sitting.seen:
            where = f"to {sitting.client} from {sitting.after}: {seen.sequence} after {last}"
            if seen.sequence <= last:
                yield Violation(Kind.STREAM_DUPLICATE, sitting.job, where)
            elif seen.sequence > last + 1:
                yield Violation(Kind.STREAM_GAP, sitting.job, where)
            if seen.sequence not in log or log[seen.sequence].digest != seen.digest:
                yield Violation(Kind.STREAM_DIFFERS, sitting.job, where)
            last = max(last, seen.sequence)
        end = next((entry.sequence for entry in log.values() if entry.body in TERMINAL), None)
        if sitting.closed and (end is None or last < end):
            yield Violation(
                Kind.STREAM_SHORT, sitting.job, f"to {sitting.client}: closed after {last}, the end is {end}"
            )


def check_deliveries(deliveries: Sequence[Delivery]) -> Iterator[Violation]:
    """What is delivered are the artifact's bytes."""
    for delivery in deliveries:
        if not delivery.got:
            yield Violation(Kind.UNDELIVERED, delivery.job, f"artifacts/{delivery.sha256}")
        elif delivery.got != delivery.sha256:
            yield Violation(Kind.WRONG_BYTES, delivery.job, f"artifacts/{delivery.sha256}: bytes of {delivery.got}")


def check_sameness(logs: Logs) -> Iterator[Violation]:
    """Jobs with the same recipe commit the same bytes, stage by stage."""
    known: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for job, log in logs.items():
        if log[0].origin is None:
            continue
        made: dict[str, list[str]] = defaultdict(list)
        for entry in log:
            if entry.body in ("stage_completed", "succeeded"):
                for output in entry.outputs:
                    made[output.stage].append(output.sha256)
        for stage, hashes in made.items():
            other, expected = known.setdefault((log[0].origin.recipe, stage), (job, hashes))
            if hashes != expected:
                yield Violation(Kind.BYTES_DIFFER, job, f"stage {stage!r} is not as in {other}")
