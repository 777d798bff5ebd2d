"""The gateway and the clients of the model."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace

from chaos.faults.bugs import Bug
from chaos.faults.history import TERMINAL, Asked, Cancel, Delivery, Entry, Origin, Outcome, Seen, Sitting, Told
from chaos.faults.model_world import Refused, Steps, World

_REUSED = "REQUEST_ID_REUSED"
_RECIPES = ("fish", "fox", "fails")


@dataclass
class _Wish:
    """What a client wants of one job."""

    client: str
    ask: str
    request_id: str
    recipe: str
    stages: tuple[str, ...]

    @property
    def payload(self) -> str:
        return f"{self.ask}/{self.recipe}/{len(self.stages)}"

    def asked(self, outcome: Outcome, job: str = "", reason: str = "", payload: str = "") -> Asked:
        expects = "failed" if self.recipe == "fails" else "succeeded"
        return Asked(
            self.client, self.ask, self.request_id, payload or self.payload, expects, outcome, job=job, reason=reason
        )


class Gateway:
    """Stateless: its reservations belong to the world."""

    def __init__(self, world: World, reservations: dict[str, tuple[str, str]]) -> None:
        self._world = world
        self._reservations = reservations

    def create(self, wish: _Wish, payload: str) -> Asked:
        """One call; it may die before the reservation, before the append, or before the answer."""
        world, bug = self._world, self._world.bug
        if world.luck(0.1):
            return wish.asked(Outcome.UNKNOWN, payload=payload)
        job = f"j{world.number()}"
        if wish.request_id:
            known = self._reservations.get(wish.request_id)
            if known and self._refuses(known[0] != payload):
                return wish.asked(Outcome.REFUSED, reason=_REUSED, payload=payload)
            if known and bug is not Bug.REPLAY_IS_NEW:
                job = known[1]
            self._reservations.setdefault(wish.request_id, (payload, job))
        if bug is Bug.ANSWER_BEFORE_APPEND and world.luck(0.2):
            return wish.asked(Outcome.ANSWERED, job, payload=payload)
        if world.luck(0.1):
            return wish.asked(Outcome.UNKNOWN, payload=payload)
        if job not in world.logs:
            self._accept(wish, job, payload)
            if bug is Bug.REFUSAL_AFTER_APPEND and world.luck(0.3):
                return wish.asked(Outcome.REFUSED, reason="STORE_FULL", payload=payload)
        if world.luck(0.1):
            return wish.asked(Outcome.UNKNOWN, payload=payload)
        return wish.asked(Outcome.ANSWERED, job, payload=payload)

    def _refuses(self, another_payload: bool) -> bool:
        bug = self._world.bug
        return (another_payload and bug is not Bug.PAYLOAD_UNCHECKED) or bug is Bug.REPLAY_REFUSED

    def _accept(self, wish: _Wish, job: str, payload: str) -> None:
        world = self._world
        origin = Origin(wish.ask, payload, f"{wish.recipe}/{len(wish.stages)}", wish.stages, derived=False)
        world.append(replace(world.draft(job, "accepted"), origin=origin))
        if not world.luck(0.3):
            world.dispatch(job)

    def cancel(self, client: str, job: str, *, saves: bool) -> Cancel:
        """One call."""
        world, bug = self._world, self._world.bug
        tail = world.logs[job][-1]
        body = "cancel_requested" if saves and tail.head.fence else "cancelled"
        if tail.head.cancel_requested or (bug is Bug.LOST_CANCEL and world.luck(0.5)):
            return Cancel(client, job, tail.sequence)
        with suppress(Refused):  # the first terminal entry stands
            tail = world.append(world.draft(job, body), unasked=bug is Bug.SECOND_TERMINAL)
        return Cancel(client, job, None if world.luck(0.2) else tail.sequence)

    def get(self, client: str, job: str, seen: int) -> Told:
        """One call."""
        world, bug = self._world, self._world.bug
        entries = world.logs[job]
        if bug is Bug.STALE_ANSWER and len(entries) > 2 and world.luck(0.5):
            entries = entries[:-2]
        outputs = [output for entry in entries for output in entry.outputs]
        if bug is Bug.SHOWS_UNCOMMITTED and job in world.uncommitted:
            outputs.append(world.uncommitted[job])
        return Told(client, "GetJob", job, entries[-1].head.state, entries[-1].sequence, tuple(outputs), seen)

    def stream(self, job: str, after: int) -> list[Entry]:
        """What there is to send after a sequence."""
        bug = self._world.bug
        if after and bug is Bug.RESUME_WITH_GAP:
            after += 1
        if after and bug is Bug.RESUME_REPEATS:
            after -= 1
        entries = [entry for entry in self._world.logs[job] if entry.sequence > after]
        if bug is Bug.STREAM_INVENTS and entries and self._world.luck(0.1):
            entries[-1] = replace(entries[-1], digest="refused")
        return entries


def client(world: World, name: str, jobs: int) -> Steps:
    """Asks for jobs one after the other, follows each to its end, and fetches what it made."""
    gateway = Gateway(world, {})
    for number in range(jobs):
        stages = ("one", "two")[: world.rng.randint(1, 2)]
        request_id = f"{name}-{number}" if world.rng.random() < 0.6 else ""
        wish = _Wish(name, f"{name}/{number}", request_id, world.rng.choice(_RECIPES), stages)
        job = yield from _create(world, gateway, wish)
        if job in world.logs:
            yield from _follow(world, gateway, wish, job)


def _create(world: World, gateway: Gateway, wish: _Wish) -> Generator[None, None, str]:
    """The job, as far as the client knows it. With a request_id an unknown outcome is asked again."""
    while True:
        answer = gateway.create(wish, wish.payload)
        world.history.asked.append(answer)
        yield
        if answer.outcome is not Outcome.UNKNOWN or not wish.request_id:
            break
    if answer.job and wish.request_id:
        for payload in (wish.payload, "something else"):
            if world.rng.random() < 0.5:
                world.history.asked.append(gateway.create(wish, payload))
                yield
    return answer.job


def _follow(world: World, gateway: Gateway, wish: _Wish, job: str) -> Steps:
    last, cancels = 0, world.rng.random() < 0.3
    ended = False
    while not ended:
        seen: list[Seen] = []
        after = last
        closed = False
        while not closed and not world.luck(0.15):
            yield
            for entry in gateway.stream(job, last if seen else after):
                seen.append(Seen(entry.sequence, entry.digest))
                last = max(last, entry.sequence)
                ended |= entry.body in TERMINAL
                closed |= ended or (world.bug is Bug.STREAM_CLOSES_EARLY and entry.body == "stage_completed")
            closed |= ended
            if cancels and seen and (ended or world.rng.random() < 0.2):
                cancels = False
                world.history.cancels.append(gateway.cancel(wish.client, job, saves=world.rng.random() < 0.5))
            if world.rng.random() < 0.2:
                world.history.told.append(gateway.get(wish.client, job, last))
        world.history.sittings.append(Sitting(wish.client, job, after, tuple(seen), closed))
        if closed and not ended:
            return  # a client takes a closed stream for the end
    final = gateway.get(wish.client, job, last)
    world.history.told.append(final)
    for output in final.outputs:
        got = world.store.get(output.sha256, "")
        world.history.deliveries.append(Delivery(wish.client, job, output.sha256, got))
