"""Which fault comes when, to whom and for how long: drawn from one seed, the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

WORKERS = ("draw1", "draw2", "burn1", "train1")
GATEWAYS = ("gateway", "gateway2")
SERVICES = (*GATEWAYS, *WORKERS)
SERVERS = ("nats", "s3")
NODES = ("nats1", "nats2", "nats3")
"""Stand for `nats` where it is a cluster."""
DISK = "disk"
MACHINE = "machine"
DOORS = ("door1", "door2")
"""The links of the clients to the gateways."""


def link(service: str, server: str) -> str:
    """Name of the link between a service and a server."""
    return f"{service}>{server}"


NATS_LINKS = tuple(link(service, "nats") for service in SERVICES)
WORKERS_NATS_LINKS = tuple(link(worker, "nats") for worker in WORKERS)
S3_LINKS = tuple(link(service, "s3") for service in SERVICES)


class Fault(Enum):
    """(what happens, whom it may befall, shortest and longest time in seconds, weight in the draw)."""

    KILL_WORKER = ("SIGKILL", WORKERS, (0.0, 0.0), 12)
    KILL_GATEWAY = ("SIGKILL", GATEWAYS, (0.0, 0.0), 7)
    KILL_SERVER = ("SIGKILL", SERVERS, (0.0, 0.0), 6)
    END_SERVICE = ("SIGTERM, which drains", SERVICES, (0.0, 0.0), 6)
    STOP_WORKER = ("SIGSTOP past ack_wait, then SIGCONT", WORKERS, (4.0, 7.0), 10)
    STOP_GATEWAY = ("SIGSTOP, then SIGCONT", GATEWAYS, (1.0, 6.0), 4)
    STOP_SERVER = ("SIGSTOP, then SIGCONT", SERVERS, (0.5, 4.0), 4)
    CUT = ("every connection is closed, and refused for a time", NATS_LINKS + S3_LINKS + DOORS, (0.0, 5.0), 14)
    HOLD = ("nothing goes through, without a word", NATS_LINKS + S3_LINKS + DOORS, (0.5, 6.0), 8)
    DELAY = ("every chunk is late", NATS_LINKS + S3_LINKS + DOORS, (2.0, 8.0), 8)
    S3_REFUSES = ("503 SlowDown", S3_LINKS, (1.0, 5.0), 6)
    TEAR_UPLOADS = ("uploads end in the middle", S3_LINKS, (1.0, 5.0), 6)
    TEAR_DOWNLOADS = ("downloads end in the middle", S3_LINKS, (1.0, 5.0), 4)
    DROP_ACKS = ("every second ack is lost", WORKERS_NATS_LINKS, (3.0, 8.0), 6)
    REPEAT_ACKS = ("every ack is sent twice", WORKERS_NATS_LINKS, (3.0, 8.0), 4)
    LOSE_ANSWERS = ("every third answer to an append is lost", NATS_LINKS, (2.0, 6.0), 8)
    LOSE_FEED = ("every second republished entry is lost", NATS_LINKS, (3.0, 8.0), 6)
    FILL_DISK = ("the servers' disk is full", (DISK,), (2.0, 4.0), 0)
    POWER_CUT = ("the volumes lose what was not synced", (MACHINE, *SERVERS), (0.0, 0.0), 0)
    KILL_NODE = ("SIGKILL of one NATS server of three", NODES, (0.0, 0.0), 0)
    STOP_NODE = ("SIGSTOP of one of three, often past an election, then SIGCONT", NODES, (1.0, 10.0), 0)
    PARTITION = ("one of three and the other two do not hear each other", NODES, (2.0, 10.0), 0)
    ROLL_OUT = ("SIGTERM, which drains, in the middle of a stage", WORKERS, (0.0, 0.0), 0)

    def __init__(self, what: str, targets: tuple[str, ...], lasts_s: tuple[float, float], weight: int) -> None:
        self.what = what
        self.targets = targets
        self.lasts_s = lasts_s
        self.weight = weight


RECOVERY_S = 12.0
"""A process that was killed is left alone for so long."""
NODE_FAULTS = {Fault.KILL_NODE: 8, Fault.STOP_NODE: 8, Fault.PARTITION: 8}
"""What befalls the servers of a cluster, with its weight in the draw; one server at a time."""
_NODE_RECOVERY_S = 5.0


@dataclass(frozen=True)
class PlannedFault:
    """One of a schedule."""

    at_s: float
    fault: Fault
    target: str
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.fault.name:14} {self.target:14} {self.lasts_s:.1f} s"

    @property
    def process(self) -> str:
        """The process that it befalls, whatever the way; the servers of a cluster count as one."""
        return _befalls(self.target)


def _befalls(target: str) -> str:
    return "nats" if target in NODES else target.partition(">")[0]


def draw_schedule(
    seed: int,
    faults: int,
    within_s: float,
    *,
    full_disks: int = 0,
    power_cuts: int = 0,
    roll_outs: int = 0,
    cluster: bool = False,
) -> list[PlannedFault]:
    """`faults` faults over a time, in order. Each sort comes before any comes twice; none meets another on one target.

    `full_disks`, `power_cuts` and `roll_outs` come on top, evenly spread: the first two need a disk that may be filled,
    or power that may be cut. On a cluster, its own faults take the place of those of the one NATS server.
    """
    draw = random.Random(f"faults {seed}")
    busy: dict[str, float] = {}
    planned = []
    for number, fault in enumerate(_kinds(draw, faults, cluster=cluster)):
        at_s = within_s * (number + draw.random()) / faults
        targets = [target for target in fault.targets if not (cluster and target == "nats")]
        free = [target for target in targets if busy.get(_befalls(target), 0.0) <= at_s]
        target = draw.choice(free or targets)
        lasts_s = draw.uniform(*fault.lasts_s)
        one = PlannedFault(at_s, fault, target, lasts_s)
        if not free:
            one = PlannedFault(max(at_s, busy[one.process]), fault, target, lasts_s)
        planned.append(one)
        busy[one.process] = one.at_s + lasts_s + _rest_s(one)
    planned += _full_disks(draw, full_disks, within_s)
    planned += _in_turn(draw, Fault.POWER_CUT, power_cuts, within_s)
    planned += _in_turn(draw, Fault.ROLL_OUT, roll_outs, within_s)
    return sorted(planned, key=lambda one: one.at_s)


def _kinds(draw: random.Random, faults: int, *, cluster: bool) -> list[Fault]:
    weights = {fault: fault.weight for fault in Fault}
    kinds = [fault for fault in Fault if fault.weight]
    draw.shuffle(kinds)
    if cluster:
        weights |= NODE_FAULTS
        for number, fault in enumerate(draw.sample(list(NODE_FAULTS), len(NODE_FAULTS))):
            kinds.insert(2 * number, fault)
    while len(kinds) < faults:
        kinds.append(draw.choices(list(weights), list(weights.values()))[0])
    return kinds[:faults]


def _rest_s(planned: PlannedFault) -> float:
    """For so long after a fault its target is left alone."""
    if planned.fault in NODE_FAULTS:
        return _NODE_RECOVERY_S
    return RECOVERY_S if planned.lasts_s == 0.0 else 1.0


def _full_disks(draw: random.Random, count: int, within_s: float) -> Iterator[PlannedFault]:
    for number in range(count):
        at_s = within_s * (number + 1) / (count + 1)
        yield PlannedFault(at_s, Fault.FILL_DISK, DISK, draw.uniform(*Fault.FILL_DISK.lasts_s))


def _in_turn(draw: random.Random, fault: Fault, count: int, within_s: float) -> Iterator[PlannedFault]:
    """Every target in turn, in an order that is drawn; each at any moment of its share of the time."""
    targets = list(fault.targets)
    draw.shuffle(targets)
    for number in range(count):
        at_s = within_s * (number + draw.random()) / count
        yield PlannedFault(at_s, fault, targets[number % len(targets)], 0.0)
