"""The simulation of GRBL's planner, judged by a slow and literal reference of the published algorithm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grbl_reference import Controller, Line, reference_seconds
from kerf_core.errors import WorkCancelled
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.timing import (
    TimeBound,
    estimate_seconds,
    estimate_time,
    line_bytes,
)
from kerf_optimizer.domain.machine.work import Toolpath, Work
from kerf_optimizer.domain.motion import MotionProgram, PlannerSettings, arc_chords, run_seconds
from kerf_optimizer.domain.presets import Dialect, machine_profile
from plan_samples import sample_plan, sample_work

MACHINE = machine_profile("grbl-diode-10w")
JOBS = 200
FAST_LINE = 1e9
Job = Callable[[np.random.Generator], list[Line]]


def program_of(lines: list[Line]) -> MotionProgram:
    return MotionProgram(
        step_mm=np.array([[line.x, line.y] for line in lines]),
        feed_mm_per_min=np.array([line.feed for line in lines]),
        line_bytes=np.array([line.size for line in lines], dtype=np.int64),
        stops=np.array([line.stops for line in lines]),
    )


def settings_of(controller: Controller) -> PlannerSettings:
    return PlannerSettings(
        max_rate_mm_per_min=controller.rate,
        acceleration_mm_per_s2=controller.accel,
        junction_deviation_mm=controller.deviation,
        serial_bytes_per_s=controller.bytes_per_s,
        receive_bytes=controller.receive,
        reply_seconds=controller.reply,
    )


def seconds(lines: list[Line], controller: Controller) -> float:
    return float(run_seconds(program_of(lines), settings_of(controller))[-1])


def random_controller(random: np.random.Generator) -> Controller:
    rate_x, rate_y = random.uniform(2000, 15000, 2)
    accel_x, accel_y = random.uniform(200, 3000, 2)
    return Controller(
        rate=(float(rate_x), float(rate_y)),
        accel=(float(accel_x), float(accel_y)),
        deviation=float(random.uniform(0.005, 0.05)),
        bytes_per_s=float(random.choice([11520.0, 11520.0, 2000.0, FAST_LINE])),
        receive=int(random.choice([128, 128, 0])),
        reply=float(random.choice([0.0, 0.002])),
    )


def vector_job(random: np.random.Generator) -> list[Line]:
    """Curves of short steps, straight lines and rapid moves between them."""
    lines: list[Line] = []
    while len(lines) < 60:
        feed = float(random.uniform(300, 9000))
        heading, bend = random.uniform(0, math.tau), random.normal(0, 0.3)
        step = float(random.choice([0.05, 0.2, 1.0, 8.0]))
        jump_x, jump_y = random.uniform(-20, 20, 2)
        lines.append(Line(float(jump_x), float(jump_y), math.inf, 20, bool(random.random() < 0.1)))
        for _ in range(int(random.integers(1, 30))):
            heading += bend + random.normal(0, 0.2) * (random.random() < 0.2)
            size = int(random.integers(8, 25))
            lines.append(Line(step * math.cos(heading), step * math.sin(heading), feed, size))
    return lines


def raster_job(random: np.random.Generator) -> list[Line]:
    """Rows back and forth with a run-up, burns and gaps of a few pixels, and a rapid step to the next row."""
    lines: list[Line] = []
    feed, pitch = float(random.uniform(1000, 9000)), float(random.choice([0.05, 0.1, 0.25]))
    way = 1.0
    while len(lines) < 60:
        lines.append(Line(way * 2.0, 0.0, feed, 14))
        for _ in range(int(random.integers(1, 25))):
            lines.append(Line(way * pitch * int(random.integers(1, 12)), 0.0, feed, int(random.integers(9, 16))))
        lines.append(Line(way * 2.0, 0.0, feed, 14))
        lines.append(Line(0.0, pitch, math.inf, 24))
        way = -way
    return lines


@pytest.mark.parametrize("make", [vector_job, raster_job])
def test_random_jobs_take_as_long_as_the_literal_planner_says(make: Job) -> None:
    worst = 0.0
    for seed in range(JOBS // 2):
        random = np.random.default_rng(seed)
        controller, lines = random_controller(random), make(random)
        expected = reference_seconds(lines, controller)
        worst = max(worst, abs(seconds(lines, controller) / expected - 1))
    assert worst <= 0.001


def test_the_referee_sees_another_ring_another_deviation_and_another_line() -> None:
    """A comparison that cannot fail judges nothing: with one setting changed it must."""
    random = np.random.default_rng(5)
    lines = [Line(0.2 * math.cos(i / 9), 0.2 * math.sin(i / 9), 6000, 16) for i in range(150)]
    controller = dataclasses.replace(random_controller(random), accel=(500.0, 500.0), bytes_per_s=FAST_LINE)
    expected = reference_seconds(lines, controller)
    same = settings_of(controller)
    assert run_seconds(program_of(lines), same)[-1] == pytest.approx(expected, rel=0.002)
    for other in (
        dataclasses.replace(same, ring_slots=12),
        dataclasses.replace(same, serial_bytes_per_s=1000.0),
        dataclasses.replace(same, acceleration_mm_per_s2=(500.0, 400.0)),
    ):
        assert abs(run_seconds(program_of(lines), other)[-1] / expected - 1) > 0.02


def test_steps_of_no_length_cost_their_bytes_only() -> None:
    controller = Controller((6000, 6000), (500, 500), 0.01, bytes_per_s=100.0)
    plain = [Line(10, 0, 3000, 20), Line(10, 0, 3000, 40)]
    with_rest = [Line(10, 0, 3000, 20), Line(0, 0, 3000, 15), Line(10, 0, 3000, 25)]
    assert seconds(with_rest, controller) == pytest.approx(seconds(plain, controller))
    assert len(run_seconds(program_of(with_rest), settings_of(controller))) == 2
    nothing = run_seconds(program_of([Line(0, 0, 3000, 5)]), settings_of(controller))
    assert len(nothing) == 0


def test_motion_that_is_cut_already_is_not_planned_anew() -> None:
    """The first line is cut up to 50 ms ahead when the second arrives: a short one comes to rest in between."""
    controller = Controller((6000, 6000), (500, 500), 0.01, bytes_per_s=11520.0)
    short = [Line(0.2, 0, 3000, 20), Line(50, 0, 3000, 20)]
    assert seconds(short, controller) == pytest.approx(20 / 11520 + 2 * math.sqrt(0.2 / 500) + 1.1, rel=3e-3)
    long = [Line(20, 0, 3000, 20), Line(30.2, 0, 3000, 20)]
    assert seconds(long, controller) == pytest.approx(20 / 11520 + 1.104, rel=3e-3)


def test_a_few_steps_from_rest_take_longer_than_their_trapezoid() -> None:
    """As the real firmware does it: 32.07 ms for four steps that a trapezoid would make in 26.74 ms."""
    controller = Controller((13637.356, 6000), (279.684, 500), 0.029, bytes_per_s=FAST_LINE)
    lines = [Line(0.05, 0, 3000, 20, stops=True) for _ in range(11)]
    ends = run_seconds(program_of(lines), settings_of(controller))
    assert np.diff(ends)[1:] == pytest.approx(0.026741 + 0.00533, abs=2e-5)


def test_a_slow_line_takes_as_long_as_its_bytes() -> None:
    controller = Controller((6000, 6000), (500, 500), 0.01, bytes_per_s=200.0)
    lines = [Line(0.05, 0, 6000, 20) for _ in range(100)]
    assert seconds(lines, controller) == pytest.approx(10.0, rel=0.02)


def test_a_stop_lets_all_motion_end() -> None:
    controller = Controller((6000, 6000), (500, 500), 0.01, bytes_per_s=FAST_LINE)
    through = [Line(50, 0, 3000, 20), Line(50, 0, 3000, 20)]
    stopping = [Line(50, 0, 3000, 20), Line(50, 0, 3000, 20, stops=True)]
    # The timer's ticks are whole cycles of its clock, a thousandth longer than asked for.
    assert seconds(through, controller) == pytest.approx(2.1, rel=2e-3)
    assert seconds(stopping, controller) == pytest.approx(2.2, rel=2e-3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=40),
    st.sampled_from([300.0, 3000.0, math.inf]),
)
def test_more_of_anything_that_helps_never_takes_longer(steps: list[tuple[int, int]], feed: float) -> None:
    lines = [Line(x / 10, y / 10, feed, 16) for x, y in steps]
    base = settings_of(Controller((6000, 5000), (500, 400), 0.01, FAST_LINE))
    program = program_of(lines)
    if not len(program.without_rests()):
        return
    whole = run_seconds(program, base)
    assert (np.diff(whole) > 0).all()
    # The timer rounds; and on a slow line a brisker start may end the first line before the next one is here.
    rounding = 1.005
    assert whole[-1] <= run_seconds(program, dataclasses.replace(base, serial_bytes_per_s=11_520.0))[-1] * rounding
    for better in (
        dataclasses.replace(base, acceleration_mm_per_s2=(900.0, 900.0)),
        dataclasses.replace(base, ring_slots=64),
        dataclasses.replace(base, max_rate_mm_per_min=(9000.0, 9000.0)),
    ):
        assert run_seconds(program, better)[-1] <= whole[-1] * rounding


def moves(points_mm: list[tuple[float, float]], feed: int) -> Toolpath:
    um: NDArray[np.int64] = np.rint(np.array(points_mm) * 1000).astype(np.int64)
    count = len(um)
    return Toolpath(
        x_um=um[:, 0],
        y_um=um[:, 1],
        s=np.full(count, 100, dtype=np.int32),
        rapid=np.zeros(count, dtype=np.bool_),
        feed_mm_per_min=np.full(count, feed, dtype=np.int32),
        layer=np.zeros(count, dtype=np.int16),
    )


LONG_LINE = moves([(0, 0), (390, 0)], 600)
TINY_LINES = moves([(x / 50, 0.0) for x in range(4000)], 6000)
ZIGZAG = moves([(float(x % 2), x / 100) for x in range(300)], 6000)
DENSE = moves([(200 + 0.1 * math.cos(x), x / 100) for x in range(2000)], 200)


@pytest.mark.parametrize("path,bound", [(LONG_LINE, TimeBound.FEED), (ZIGZAG, TimeBound.ACCELERATION)])
def test_an_estimate_says_what_holds_it_back(path: Toolpath, bound: TimeBound) -> None:
    estimate = estimate_time(path, MACHINE)
    assert estimate.bounded_by is bound
    assert 0 < estimate.low_seconds <= estimate.expected_seconds <= estimate.high_seconds
    parts = estimate.feed_seconds + estimate.acceleration_seconds + estimate.serial_seconds
    assert parts == pytest.approx(estimate.expected_seconds)


def test_a_brisk_machine_waits_for_the_serial_line() -> None:
    brisk = dataclasses.replace(MACHINE, acceleration_mm_per_s2=20_000.0)
    estimate = estimate_time(TINY_LINES, brisk)
    assert estimate.bounded_by is TimeBound.SERIAL_LINE
    assert estimate.expected_seconds >= line_bytes(TINY_LINES)[1:].sum() / 11_520
    assert estimate.expected_seconds > 2 * estimate_seconds(TINY_LINES, brisk)


@pytest.mark.parametrize("dialect", [Dialect.MARLIN_INLINE, Dialect.SMOOTHIEWARE])
def test_other_firmwares_get_an_interval_around_grbl_s(dialect: Dialect) -> None:
    for path in (LONG_LINE, ZIGZAG, DENSE):
        grbl, other = estimate_time(path, MACHINE), estimate_time(path, dataclasses.replace(MACHINE, dialect=dialect))
        assert not other.simulated
        assert other.low_seconds <= grbl.low_seconds * 1.001
        assert other.high_seconds >= grbl.high_seconds * 0.999
        assert other.low_seconds < other.expected_seconds < other.high_seconds


def test_a_single_target_takes_no_time() -> None:
    estimate = estimate_time(moves([(5, 5)], 100), MACHINE)
    assert (estimate.low_seconds, estimate.expected_seconds, estimate.high_seconds) == (0, 0, 0)


def test_an_estimate_can_be_cancelled() -> None:
    def cancelled() -> None:
        raise WorkCancelled("CANCELLED", "enough")

    with pytest.raises(WorkCancelled):
        estimate_time(LONG_LINE, MACHINE, cancelled)


def written_bytes(work: Work) -> list[int]:
    text = write_gcode(work, 1.0).decode("ascii").splitlines(keepends=True)
    return [len(line) for line in text if line[0] in "GXYS" and not line.startswith("G21")]


def arc_path() -> Toolpath:
    """To (20, 10), a quarter circle to (10, 20) around (10, 10), a line on, an arc back below the start, then home."""
    um = np.array([[20, 10], [10, 20], [5, 20], [20, 10], [10, 10]]) * 1000
    return Toolpath(
        x_um=um[:, 0],
        y_um=um[:, 1],
        s=np.array([0, 300, 300, 1000, 0], dtype=np.int32),
        rapid=np.array([True, False, False, False, True]),
        feed_mm_per_min=np.array([0, 600, 600, 1200, 0], dtype=np.int32),
        layer=np.array([0, 0, 0, 0, -1], dtype=np.int16),
        turn=np.array([0, 1, 0, -1, 0], dtype=np.int8),
        i_um=np.array([0, -10_000, 0, 7_500, 0]),
        j_um=np.array([0, 0, 0, -5_000, 0]),
    )


def test_bytes_of_lines_are_those_of_the_g_code() -> None:
    work = sample_work()
    assert line_bytes(work.toolpath).tolist() == written_bytes(work)
    curved = dataclasses.replace(work, toolpath=arc_path())
    assert line_bytes(curved.toolpath).tolist() == written_bytes(curved)


def test_an_arc_takes_the_time_of_its_length() -> None:
    brisk = dataclasses.replace(MACHINE, acceleration_mm_per_s2=50_000.0)
    path = arc_path()
    length_mm = path.length_mm
    at_feed = length_mm[1] / 10 + length_mm[2] / 10 + length_mm[3] / 20 + 10 / 100  # the last one is rapid
    assert length_mm[1] == pytest.approx(10 * math.pi / 2)
    assert estimate_seconds(path, brisk) == pytest.approx(at_feed, rel=0.02)


def test_chords_of_an_arc_lie_as_far_off_as_grbl_lets_them() -> None:
    radius, sweep = np.array([0.5, 10.0, 200.0]), np.array([math.pi, math.pi / 2, 0.1])
    sagitta = radius * (1 - np.cos(sweep / arc_chords(radius, sweep) / 2))
    assert (sagitta < 0.0025).all()
    assert (sagitta > 0.0015).all()


def test_without_its_laser_mode_grbl_stops_at_each_change_of_power() -> None:
    work = sample_work()
    plain = dataclasses.replace(MACHINE, dialect=Dialect.GRBL_NO_LASER_MODE)
    assert estimate_seconds(work.toolpath, plain) > 1.3 * estimate_seconds(work.toolpath, MACHINE)


def test_a_plan_reports_the_interval() -> None:
    report = sample_plan().report
    assert report.time.low_seconds < report.estimated_seconds < report.time.high_seconds
    assert report.estimated_seconds == report.time.expected_seconds
