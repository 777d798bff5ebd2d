"""A running stack under a seeded schedule of faults keeps every promise; the harness itself does what it says."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.faults.checker import violations
from chaos.faults.disk import DISK_MIB, small_disk
from chaos.faults.history import TERMINAL, Execution, History
from chaos.faults.proxy import Link, Protocol
from chaos.faults.readback import is_amid, read_journals
from chaos.faults.run import Plan, run_plan
from chaos.faults.schedule import NODE_FAULTS, NODES, Fault, draw_schedule
from chaos.faults.violations import Kind
from chaos.faults.wires import REFUSAL, Meddling, NatsFrames, Piece, body_bytes
from chaos.faults.wishes import draw_wishes
from kerf_embedded.ports import LOOPBACK

SIZE = "KERF_CHAOS_SIZE"
PATIENCE = "KERF_CHAOS_PATIENCE"
SEED = "KERF_CHAOS_SEED"
PLANS = {"small": (20, 8, 30.0), "full": (340, 100, 300.0)}
"""Jobs asked for, faults, seconds. Who asks without a request_id while a gateway is away asks once, and has no job."""


def chosen_plan() -> Plan:
    """A new seed every time, for each explores something else; to repeat one, it is given in the environment."""
    seed = os.environ.get(SEED) or str(random.SystemRandom().randrange(1 << 31))
    jobs, faults, seconds = PLANS[os.environ.get(SIZE) or "full"]
    return Plan(int(seed), jobs, faults, seconds, float(os.environ.get(PATIENCE) or "1"))


@pytest.mark.chaos
@pytest.mark.timeout(1500)
async def test_no_promise_is_broken_whatever_fails(tmp_path: Path) -> None:
    plan = chosen_plan()
    print(f"{SEED}={plan.seed} repeats the schedule")
    report = await run_plan(plan, tmp_path)
    print(report)
    assert report.clean, f"{SEED}={plan.seed}\n{report}"
    assert sum(report.faults.values()) + len(report.missed) == plan.faults
    assert len(report.missed) <= plan.faults // 5
    assert report.bodies["accepted"] >= 0.6 * plan.jobs
    found = {name: {violation.kind for violation in violations(each)} for name, each in spoiled(report.history)}
    assert all(kind in found[kind.name] for kind in SPOILED), found


def spoiled(history: History) -> Iterator[tuple[str, History]]:
    """What really happened, with one thing changed: the name says what the checker must find."""
    known = {call.job for call in history.asked} & {told.job for told in history.told}
    ended = [entry for entry in history.entries if entry.body == "succeeded" and entry.job in known]
    job, after = ended[0].job, max(entry.at for entry in history.entries)
    again = replace(ended[0], at=after + 1, sequence=ended[0].sequence + 1, writer="another")
    yield Kind.TWO_TERMINALS.name, replace(history, entries=[*history.entries, again])
    gone = [entry for entry in history.entries if entry.job != job]
    yield Kind.LOST_JOB.name, replace(history, entries=gone)
    started = next(entry for entry in history.entries if entry.job == job and entry.body == "stage_started")
    yield Kind.SEQUENCE_GAP.name, replace(history, entries=[each for each in history.entries if each != started])
    longest = max(history.sittings, key=lambda sitting: len(sitting.seen))
    others = [sitting for sitting in history.sittings if sitting is not longest]
    torn = replace(longest, seen=longest.seen[:1] + longest.seen[2:])
    yield Kind.STREAM_GAP.name, replace(history, sittings=[*others, torn])
    told = replace(next(told for told in history.told if told.job == job), state="cancelled")
    yield Kind.ANSWER_DIFFERS.name, replace(history, told=[*history.told, told])
    yield Kind.WRONG_BYTES.name, replace(history, deliveries=[replace(history.deliveries[0], got="0" * 64)])
    yield Kind.FOREIGN_RESULT.name, replace(history, executions=[])


SPOILED = (
    Kind.TWO_TERMINALS,
    Kind.LOST_JOB,
    Kind.SEQUENCE_GAP,
    Kind.STREAM_GAP,
    Kind.ANSWER_DIFFERS,
    Kind.WRONG_BYTES,
    Kind.FOREIGN_RESULT,
)


@pytest.mark.chaos
@pytest.mark.root
@pytest.mark.timeout(600)
async def test_no_promise_is_broken_when_the_disk_is_full(tmp_path: Path) -> None:
    plan = Plan(chosen_plan().seed, jobs=20, faults=0, seconds=40.0, patience=chosen_plan().patience, full_disks=2)
    with small_disk(tmp_path / "disk", DISK_MIB) as disk:
        report = await run_plan(plan, tmp_path / "disk" / "run", disk)
    assert report.clean, f"{SEED}={plan.seed}\n{report}"
    assert report.faults == {Fault.FILL_DISK.name: 2}


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_no_promise_is_broken_when_one_server_of_a_cluster_fails(tmp_path: Path) -> None:
    plan = Plan(chosen_plan().seed, jobs=20, faults=6, seconds=24.0, patience=chosen_plan().patience, cluster=True)
    report = await run_plan(plan, tmp_path)
    print(report)
    assert report.clean, f"{SEED}={plan.seed}\n{report}"
    assert sum(report.faults.values()) + len(report.missed) == plan.faults
    assert {fault.name for fault in NODE_FAULTS} <= report.faults.keys()
    assert report.bodies["accepted"] >= 0.5 * plan.jobs


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_a_worker_that_is_told_to_stop_hands_back_what_it_cannot_end(tmp_path: Path) -> None:
    """It has less time than any stage needs. What it computed is not computed again where it could be saved."""
    hasty = {"DRAIN_GRACE": "0.1", "STEP_SECONDS": "0.8"}
    plan = replace(chosen_plan(), jobs=30, faults=0, seconds=30.0, roll_outs=8, workers=hasty)
    report = await run_plan(plan, tmp_path)
    print(report)
    assert report.clean, f"{SEED}={plan.seed}\n{report}"
    handed_back = {entry.head.stage > 0 for entry in report.history.entries if entry.handed_back}
    assert handed_back == {True, False}, "stages that save their work, and stages that do not"
    assert repeated(report.history) == []
    assert unexplained(report.history) == []
    once = next(made for made in report.history.executions if made.steps and made.stage == "draw")
    spoilt = replace(report.history, executions=[*report.history.executions, once])
    assert repeated(spoilt), "it can fail"
    assert unexplained(spoilt), "it can fail too"


def repeated(history: History) -> list[tuple[str, str, int]]:
    """(job, stage, step) of what was computed twice, of stages that save their work and were not lost otherwise."""
    taken_over = {(entry.job, entry.stage) for entry in history.entries if entry.takes_over}
    steps = Counter(
        (made.job, made.stage, step) for made in history.executions for step in made.steps if "burn" not in made.stage
    )
    return [place for place, count in steps.items() if count > 1 and place[:2] not in taken_over]


def unexplained(history: History) -> list[str]:
    """Jobs with more executions than stages and lost attempts: a stage that was done has been done again."""
    begun = Counter(made.job for made in history.executions)
    for entry in history.entries:
        begun[entry.job] -= entry.body in ("attempt_lost", "stage_completed", *TERMINAL) or entry.takes_over
    return [job for job, count in begun.items() if count > 0]


def test_a_seed_gives_one_schedule_and_one_load() -> None:
    assert draw_schedule(5, 100, 300.0) == draw_schedule(5, 100, 300.0) != draw_schedule(6, 100, 300.0)
    assert draw_wishes(5, 300, 300.0) == draw_wishes(5, 300, 300.0) != draw_wishes(6, 300, 300.0)


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_has_every_sort_of_fault_and_leaves_none_without_time(seed: int) -> None:
    schedule = draw_schedule(seed, 100, 300.0)
    assert {planned.fault for planned in schedule} == {fault for fault in Fault if fault.weight}
    assert len(schedule) == 100
    assert schedule == sorted(schedule, key=lambda planned: planned.at_s)
    assert schedule[-1].at_s < 330.0
    free_from: dict[str, float] = {}
    for planned in schedule:
        assert planned.at_s >= free_from.get(planned.process, 0.0), "two faults at once on one target"
        free_from[planned.process] = planned.at_s + planned.lasts_s


@pytest.mark.parametrize("seed", range(20))
def test_on_a_cluster_one_server_fails_at_a_time(seed: int) -> None:
    schedule = draw_schedule(seed, 60, 300.0, cluster=True)
    assert {planned.fault for planned in schedule[:8]} & set(NODE_FAULTS)
    assert {planned.target for planned in schedule} & set(NODES)
    assert not [planned for planned in schedule if planned.target == "nats"]
    free_from = 0.0
    for planned in schedule:
        if planned.fault in NODE_FAULTS:
            assert planned.at_s >= free_from
            free_from = planned.at_s + planned.lasts_s


@pytest.mark.parametrize("seed", range(20))
def test_power_cuts_befall_everybody_in_turn(seed: int) -> None:
    cuts = draw_schedule(seed, 0, 60.0, power_cuts=7)
    targets = [cut.target for cut in cuts]
    assert {cut.fault for cut in cuts} == {Fault.POWER_CUT}
    assert set(targets[:3]) == set(targets[3:6]) == set(Fault.POWER_CUT.targets)
    assert [int(cut.at_s // (60.0 / 7)) for cut in cuts] == list(range(7))


def test_a_worker_is_amid_a_stage_while_it_can_be_interrupted_without_loss(tmp_path: Path) -> None:
    journal = tmp_path / "draw1-7.jsonl"
    assert not is_amid(tmp_path, "draw1", 7)
    begun = {"execution": "x", "worker": "draw1", "job": "jobs/a", "stage": "draw"}
    computed = [{"execution": "x", "step": str(step), "interruptible": str(left)} for step, left in ((1, 0), (2, 1))]
    lines = [begun, *computed, {"execution": "x", "made": "ff"}]
    amid = []
    for count in range(1, len(lines) + 1):
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines[:count]) + '{"execution": "y"')
        amid.append(is_amid(tmp_path, "draw1", 7))
    assert amid == [False, False, True, False]
    assert read_journals(tmp_path) == [Execution("draw1", "x", "jobs/a", "draw", ("ff",), (1, 2))]


def test_frames_are_cut_where_they_end_however_they_arrive() -> None:
    ack = b"PUB $JS.ACK.KERF_WORK.work-noop.1.2.3.4.5 4\r\n+ACK\r\n"
    headed = b"HPUB $JS.ACK.KERF_WORK.x _INBOX.1 12 16\r\nNATS/1.0\r\n\r\n+ACK\r\n"
    feed = b"MSG kerf.v1.feed.local.abc 3 7\r\na\r\nb\r\nc\r\n"
    answer = b'MSG _INBOX.x.1 2 33\r\n{"stream":"KERF_EVENTS", "seq":12}\r\n'.replace(b" 33", b" 34")
    frames = [b'INFO {"a":1}\r\n', ack, b"PING\r\n", headed, feed, answer, b"SUB kerf.v1.feed.> 1\r\n", b"+OK\r\n"]
    sorts = [Piece.OTHER, Piece.ACK, Piece.OTHER, Piece.ACK, Piece.FEED, Piece.ANSWER, Piece.OTHER, Piece.OTHER]
    for size in (1, 2, 7, 1000):
        cutter, data = NatsFrames(), b"".join(frames)
        found = [pair for start in range(0, len(data), size) for pair in cutter.feed(data[start : start + size])]
        assert found == list(zip(sorts, frames, strict=True))


def test_meddling_counts_the_messages_of_its_sort_only() -> None:
    drops = Meddling(Piece.ACK, every=2, copies=0)
    pieces = [Piece.ACK, Piece.FEED, Piece.ACK, Piece.OTHER, Piece.ACK, Piece.ACK]
    assert [drops.copies_of(piece) for piece in pieces] == [1, 1, 0, 1, 1, 0]
    assert {Meddling().copies_of(piece) for piece in Piece} == {1}


def test_the_rest_of_a_body_is_known_from_the_head() -> None:
    assert body_bytes(b"PUT /a HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc") == 7
    assert body_bytes(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n") == 0
    assert body_bytes(b"PUT /a HTTP/1.1\r\nContent-Le") is None


async def linked(protocol: Protocol) -> tuple[Link, asyncio.Server, int]:
    """A link to a server that answers with what it got."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    link = Link("test", protocol, lambda: port)
    return link, server, await link.start()


async def test_a_link_carries_holds_cuts_and_refuses() -> None:
    link, server, port = await linked(Protocol.GRPC)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"
    link.hold()
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    link.let_go()
    assert await reader.readexactly(3) == b"two"
    link.refuses = True
    link.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    refused, other = await asyncio.open_connection(LOOPBACK, port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(refused.readexactly(1), 5)
    other.close()
    server.close()
    await link.stop()


async def test_a_link_to_s3_refuses_and_tears() -> None:
    link, server, port = await linked(Protocol.S3)
    body = bytes(range(256)) * 8
    request = b"PUT /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    link.answers_503 = True
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    for start in range(0, len(request), 100):
        writer.write(request[start : start + 100])
        await writer.drain()
    assert await asyncio.wait_for(reader.readexactly(len(REFUSAL)), 5) == REFUSAL
    writer.close()
    link.answers_503, link.tears_uploads = False, True
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(request)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)) as torn:
        await asyncio.wait_for(reader.readexactly(len(request)), 5)
    if isinstance(torn.value, asyncio.IncompleteReadError):
        assert len(torn.value.partial) < len(request)
    writer.close()
    server.close()
    await link.stop()
