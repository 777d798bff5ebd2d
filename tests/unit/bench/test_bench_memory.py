"""`bench.memory`: its line finds a planted leak and no other, and its parts look at real processes."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.memory import JUDGED_MINUTES, MINUTES, POOLED, SAMPLE_SECONDS, Measured, measure, rows
from bench.memory_line.processes import Held, Memory, held, memory_of
from bench.memory_line.trend import MIN_STRETCHES, trend

LEVEL_MIB = 120.0
ALLOCATING = """
import sys, time
kept = []
held = bytearray(8 << 20)
print("ready", flush=True)
while True:
    block = bytes(64 << 10).replace(b"\\0", b"x")
    if sys.argv[1] == "leaks":
        kept.append(block)
    time.sleep(0.005)
"""
WAITING = """
import asyncio
async def watcher(): await asyncio.Event().wait()
async def main():
    tasks = [asyncio.create_task(watcher()) for _ in range(3)]
    print("ready", flush=True)
    await asyncio.gather(*tasks)
asyncio.run(main())
"""


def series(leak_mib_per_hour: float, *, noise_mib: float = 0.4, seed: int = 1) -> list[Memory]:
    """Half an hour of a process that warms up, then saws up and down, then jumps once for a moment."""
    draw = random.Random(seed)
    samples = []
    for index in range(int(60 * MINUTES / SAMPLE_SECONDS)):
        seconds = index * SAMPLE_SECONDS
        warming = -40.0 * max(0.0, 1 - seconds / 400)
        garbage = 3.0 * (seconds / 45 % 1)
        jump = 60.0 if 1200 < seconds < 1230 else 0.0
        own = LEVEL_MIB + warming + garbage + jump + draw.gauss(0, noise_mib) + leak_mib_per_hour * seconds / 3600
        samples.append(Memory(own, own + 50))
    return samples


def measured(minutes: float = MINUTES, **memory: list[Memory]) -> Measured:
    count = len(next(iter(memory.values())))
    return Measured(minutes, [60 * minutes * index / count for index in range(count)], memory)


def verdict(found: Measured, name: str) -> bool | None:
    return {row.name: row.met for row in rows(found)}[name]


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_leak_is_found_and_a_flat_line_is_flat(seed: int) -> None:
    tenth = LEVEL_MIB / 10
    found = measured(gateway=series(0, seed=seed), noop=series(tenth, seed=seed), s3=series(10 * tenth, seed=seed))
    assert verdict(found, "gateway: growth of its memory") is True
    assert verdict(found, "noop: growth of its memory") is False, "a tenth of its memory in an hour"
    assert verdict(found, "s3: growth of its memory") is None, "not ours to judge"
    line = found.line("noop")
    assert line is not None
    assert line.low < tenth < line.high
    assert line.last > line.first


def test_what_cannot_be_told_is_not_told() -> None:
    noisy = measured(gateway=series(0, noise_mib=400))
    assert verdict(noisy, "gateway: growth of its memory") is None
    short = measured(JUDGED_MINUTES / 2, gateway=series(100))
    assert verdict(short, "gateway: growth of its memory") is None
    line = short.line("gateway")
    assert line is not None
    assert line.low > 0, "it is shown all the same"
    assert trend([0.0, 1.0], [1.0, 2.0]) is None
    assert trend([], []) is None
    (row,) = [row for row in rows(measured(gateway=series(0)[:MIN_STRETCHES])) if row.name.startswith("gateway")]
    assert row.value is None
    assert "run longer" in row.why


def test_what_is_left_is_counted_by_name() -> None:
    before = Held(0, {"main": 1, "watch": 2}, 10, 20)
    after = Held(3, {"main": 1, "watch": 4, "sweep": 1}, 11, 18)
    left = after.above(before)
    assert left == Held(3, {"watch": 2, "sweep": 1}, 1, 0)
    assert left.calls == 6
    found = measured(gateway=series(0))
    found.left = {"gateway": left, "noop": Held(0, {}, POOLED, 1), "optimizer": Held(0, {}, 1, POOLED - 1)}
    judged = {row.name: row.met for row in rows(found)}
    assert judged["gateway: handlers and tasks above the start"] is False
    assert judged["gateway: threads and open files above the start"] is True
    assert judged["noop: handlers and tasks above the start"] is True
    assert judged["noop: threads and open files above the start"] is False
    assert judged["optimizer: threads and open files above the start"] is True


def test_a_load_that_mostly_failed_is_seen() -> None:
    found = measured(gateway=series(0))
    found.done, found.failed = {"batches": 1000}, {"batches: UNAVAILABLE": 11}
    assert verdict(found, "times that it ended with an error") is False
    found.failed = {"batches: UNAVAILABLE": 10}
    assert verdict(found, "times that it ended with an error") is True


@contextmanager
def python(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it is ready."""
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("what", ["leaks", "forgets"])
def test_a_real_process_that_leaks_is_told_from_one_that_does_not(what: str) -> None:
    seconds, own = [], []
    with python("-c", ALLOCATING, what) as process:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            seconds.append(time.monotonic())
            memory = memory_of([process.pid])
            own.append(memory.own)
            assert memory.own <= memory.resident
            time.sleep(0.03)
    line = trend(seconds, own)
    assert line is not None
    assert line.first > 8, "what it holds from the start is its own"
    if what == "leaks":
        assert line.low > 100
        assert line.last > line.first + 1
    else:
        assert line.last < line.first + 0.5


def test_tasks_and_handlers_of_a_running_service_are_counted(tmp_path: Path) -> None:
    (tmp_path / "waiting_service.py").write_text(WAITING)
    report = tmp_path / "report.json"

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            page = 'kerf_grpc_server_running{method="a"} 2.0\nkerf_grpc_server_running{method="b"} 1.0\nother 9.0\n'
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Not to the test's output."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = f"import sys; sys.path.append({str(tmp_path)!r}); sys.argv[1:] = ['waiting_service', {str(report)!r}]; "
        with python("-c", run + "from bench.memory_line.counted import main; main()") as process:
            for _ in range(2):
                found = held(process.pid, f"http://127.0.0.1:{server.server_port}/metrics", report)
                assert found.handlers == 3
                assert found.tasks == {"main": 1, "watcher": 3}
                assert found.threads >= 1
                assert found.files >= 3
        server.shutdown()


@pytest.mark.timeout(300)
async def test_the_whole_bench_on_a_real_stack_leaves_nothing(tmp_path: Path) -> None:
    found = await measure(0.05, tmp_path)
    assert set(found.memory) == {"gateway", "noop", "optimizer", "callers", "nats", "s3"}
    assert all(each.own > 1 for samples in found.memory.values() for each in samples)
    assert len(found.done) > 10
    assert {name: left.calls for name, left in found.left.items()} == {"gateway": 0, "noop": 0, "optimizer": 0}
    assert not (tmp_path / "stack").exists()
