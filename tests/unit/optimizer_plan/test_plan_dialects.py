"""Every dialect is written right, read by others, and watched by every rule of the linter."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from kerf_core.errors import Internal
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.lint_rules import LintRules, Rule
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.reader import read_program, stated_dialect
from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath, Work
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import AirAssist, Dialect, materials, required_settings
from plan_controllers import controller
from plan_samples import sample_work

SAMPLE = sample_work()
EVERY = list(Dialect)
GRBL = {Dialect.GRBL_M4, Dialect.GRBL_M3, Dialect.GRBL_NO_LASER_MODE}
ONE_PER_LINE = {Dialect.MARLIN_INLINE, Dialect.SMOOTHIEWARE}


def work_of(dialect: Dialect, work: Work = SAMPLE) -> Work:
    machine = dataclasses.replace(
        work.machine,
        dialect=dialect,
        required_settings=required_settings(dialect, work.machine.s_max),
        air_assist=AirAssist.M8,
    )
    return dataclasses.replace(work, machine=machine)


def program_of(dialect: Dialect) -> str:
    return write_gcode(work_of(dialect), 100.0).decode("ascii")


def rules_of(dialect: Dialect) -> LintRules:
    return LintRules(work_of(dialect).machine, SAMPLE.material, SAMPLE.margin_mm, 1000)


def found(dialect: Dialect, text: str, rules: LintRules | None = None) -> set[Rule]:
    return {violation.rule for violation in lint(text.encode("latin-1"), rules or rules_of(dialect))}


FRAMES = {
    Dialect.GRBL_M4: ("M5 S0\nG21 G90 G17 G94\nM4 S0\n", "M5 S0\nM2\n"),
    Dialect.GRBL_M3: ("M5 S0\nG21 G90 G17 G94\nM3 S0\n", "M5 S0\nM2\n"),
    Dialect.GRBL_NO_LASER_MODE: ("M5 S0\nG21 G90 G17 G94\nM3 S0\n", "M5 S0\nM2\n"),
    Dialect.MARLIN_INLINE: ("M5 S0\nG21\nG90\nM3 I S0\n", "M5 I S0\n"),
    Dialect.SMOOTHIEWARE: ("M5 S0\nG21\nG90\nG17\nM3 S0\n", "M5 S0\n"),
}


@pytest.mark.parametrize("dialect", EVERY)
def test_the_frame_is_what_the_controller_expects_and_the_file_states_its_dialect(dialect: Dialect) -> None:
    text = program_of(dialect)
    first, last = FRAMES[dialect]
    assert first in text
    assert text.endswith(last)
    assert stated_dialect(text.encode("ascii")) is dialect
    assert found(dialect, text) == set()


@pytest.mark.parametrize("dialect", EVERY)
def test_kerf_reads_back_what_it_wrote(dialect: Dialect) -> None:
    work = work_of(dialect)
    gcode = write_gcode(work, 100.0)
    assert len(check_gcode(gcode, work)) == 2 + len(work.layers)
    power = "S0.450" if dialect is Dialect.SMOOTHIEWARE else "S450"
    assert power.encode("ascii") in gcode
    with pytest.raises(Internal):
        check_gcode(gcode.replace(power.encode("ascii"), power[:-1].encode("ascii") + b"1"), work)


@pytest.mark.parametrize("dialect", EVERY)
def test_a_controller_burns_what_was_planned_and_nothing_on_the_way(dialect: Dialect) -> None:
    machine = controller(dialect, SAMPLE.machine.s_max)
    strokes = np.array(machine.run(program_of(dialect)))
    path = SAMPLE.toolpath
    burning = np.flatnonzero(path.s > 0)
    points = np.stack([path.x_um, path.y_um], axis=1) / UM_PER_MM
    meant = np.hstack([points[burning - 1], points[burning], path.s[burning, None] / SAMPLE.machine.s_max])
    assert strokes.shape == meant.shape
    assert np.abs(strokes - meant).max() < 0.0006
    assert machine.travel_power == []
    assert machine.air[0] == "M8"
    assert machine.air[-1] == "M9"
    assert not machine.beam


@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize("other", EVERY)
def test_a_file_for_another_dialect_is_refused(dialect: Dialect, other: Dialect) -> None:
    assert (found(dialect, program_of(other)) == set()) is (dialect is other)


TRAVEL = "G0 X10 Y10 S<0>\n"
BURN = "G1 X20 Y10 S<100> F3000\n"
BODY = TRAVEL + BURN + "G0 X30 Y10 S<0>\n"
ARC_START = "G0 X10 Y10 S<0>\n"
PLANTED = [
    (Rule.TRAVEL_BEAM_ON, TRAVEL + BURN + "G0 X30 Y10 S<100>\n"),
    (Rule.TRAVEL_WITHOUT_S0, TRAVEL + "G0 X30\n"),
    (Rule.FEED_MISSING, TRAVEL + "G1 X20 S<100>\n"),
    (Rule.FEED_ZERO, TRAVEL + "G1 X20 S<100> F0\n"),
    (Rule.FEED_OVER_MACHINE, TRAVEL + "G1 X20 S<100> F6001\n"),
    (Rule.POWER_OVER_MACHINE, TRAVEL + "G1 X20 S<1001> F3000\n"),
    (Rule.POWER_NEGATIVE, TRAVEL + "G1 X20 S<-1> F3000\n"),
    (Rule.ENERGY_OVER_CAP, TRAVEL + "G1 X20 S<1000> F50\n"),
    (Rule.BURN_OUT_OF_BED, TRAVEL + "G1 X401 S<100> F3000\n"),
    (Rule.OVERSCAN_OUT_OF_BED, TRAVEL + "G1 X-1 S<0> F3000\n"),
    (Rule.TRAVEL_OUT_OF_BED, "G0 X10 Y401 S<0>\n"),
    (Rule.DWELL_BEAM_ON, TRAVEL + BURN + "G4 P1\nG0 X5 Y5 S<0>\n"),
    (Rule.STATIONARY_BEAM, TRAVEL + "G1 X10 Y10 S<100> F3000\n"),
    (Rule.POWER_WITHOUT_BEAM, "M5 S<0>\n" + TRAVEL + BURN),
    (Rule.NOT_MILLIMETRES, "G20\n" + BODY),
    (Rule.NOT_ABSOLUTE, "G91\n" + BODY),
    (Rule.FEED_MODE, "G93\n" + BODY),
    (Rule.Z_MOVE, BODY + "G0 Z5 S<0>\n"),
    (Rule.ARC, ARC_START + "G2 X20 Y10 S<100> F3000\n"),
    (Rule.ARC, ARC_START + "G2 X20 Y10 I5.01 J0 S<100> F3000\n"),
    (Rule.ARC, ARC_START + "G3 X10 Y10 I5 J0 S<100> F3000\n"),
    (Rule.ARC, ARC_START + "G1 X20 Y10 I5 J0 S<100> F3000\n"),
    (Rule.BURN_OUT_OF_BED, "G0 X10 Y3 S<0>\nG3 X20 Y3 I5 J0 S<100> F3000\n"),
    (Rule.FORBIDDEN_COMMAND, "M6\n" + BODY),
    (Rule.FORBIDDEN_COMMAND, "G28\n" + BODY),
    (Rule.FORBIDDEN_COMMAND, "M7\n" + BODY),
    (Rule.SYSTEM_COMMAND, "$32=0\n" + BODY),
    (Rule.NOT_A_NUMBER, TRAVEL + "G1 XNaN S<100> F3000\n"),
    (Rule.MALFORMED, "g0 x10 y10 s0\n" + BODY),
    (Rule.CONTRADICTION, "G0 X10 X20 Y10 S<0>\n" + BODY),
    (Rule.LINE_TOO_LONG, "G0 X10 Y10 S<0> F" + "0" * 70 + "1\n" + BODY),
    (Rule.REALTIME_CHARACTER, "; really?\n" + BODY),
    (Rule.NOT_ASCII, "; \x90\n" + BODY),
    (Rule.CONTROL_CHARACTER, "; \x07\n" + BODY),
    (Rule.START_UNKNOWN, "G1 X20 S<0> F3000\n"),
]


WITH_Z = [
    (Rule.Z_MOVE, TRAVEL + "G1 X20 Z-1 S<100> F3000\nG0 X30 Y10 Z0 S<0>\n"),
    (Rule.Z_MOVE, TRAVEL + BURN + "G0 X30 Y10 Z-1 S<100>\nG0 X30 Y10 Z0 S<0>\n"),
    (Rule.Z_RANGE, TRAVEL + "G0 X10 Y10 Z-3.1 S<0>\n" + BURN + "G0 X30 Y10 Z0 S<0>\n"),
    (Rule.Z_RANGE, TRAVEL + "G0 X10 Y10 Z0.1 S<0>\n" + BURN + "G0 X30 Y10 Z0 S<0>\n"),
    (Rule.Z_LEFT_LOW, TRAVEL + "G0 X10 Y10 Z-1 S<0>\n" + BURN),
]
"""Violations on a machine that moves Z, of birch of 3 mm."""


def in_dialect(dialect: Dialect, body: str) -> str:
    """The body between the dialect's own frame, S<n> in thousandths of full power."""
    text = program_of(dialect)
    start = text[: text.index("; layer 1", text.index("\nM5 S0"))]
    end = text[text.rindex("M5 S0\nM9\n") :]
    share = (lambda m: f"S{int(m[1]) / 1000:.3f}") if dialect is Dialect.SMOOTHIEWARE else (lambda m: f"S{m[1]}")
    return start + re.sub(r"S<(-?\d+)>", share, body) + end


@pytest.mark.parametrize("dialect", EVERY)
def test_the_frame_of_the_planted_violations_is_clean(dialect: Dialect) -> None:
    arcs = ARC_START + "G2 X20 Y10 I5 J0 S<100> F3000\nG3 X10 Y10 I-5 J0 S<100>\n"
    for body in (BODY, arcs, BODY + "M8\nM9\n"):
        assert found(dialect, in_dialect(dialect, body)) == set()


@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize("rule,body", PLANTED)
def test_each_planted_violation_is_found_in_every_dialect(dialect: Dialect, rule: Rule, body: str) -> None:
    assert rule in found(dialect, in_dialect(dialect, body))


@pytest.mark.parametrize("dialect", EVERY)
def test_planted_heights_are_found_on_a_machine_that_moves_z(dialect: Dialect) -> None:
    rules = rules_of(dialect)
    with_z = dataclasses.replace(rules, machine=dataclasses.replace(rules.machine, has_z=True))
    clean = TRAVEL + "G0 X10 Y10 Z-3 S<0>\n" + BURN + "G0 X20 Y10 Z0 S<0>\n"
    assert found(dialect, in_dialect(dialect, clean), with_z) == set()
    assert found(dialect, in_dialect(dialect, clean), rules) == {Rule.Z_MOVE}
    for rule, body in WITH_Z:
        assert rule in found(dialect, in_dialect(dialect, body), with_z), body


def broken_frames(dialect: Dialect) -> list[tuple[Rule, str]]:
    """Violations of the frame, which looks different in each dialect."""
    good = in_dialect(dialect, BODY)
    last = FRAMES[dialect][1]
    off = last.splitlines()[0] + "\n"
    without_end = good[: -len(last)] + off if dialect in GRBL else good[: -len(last)]
    before_end = good[: -len(last)]
    out = [
        (Rule.NOT_OFF_FIRST, good.replace("\nM5 S0\nG21", "\nG21", 1)),
        (Rule.NOT_OFF_LAST, before_end.replace("M5 S0\nM9", "M9") + last[len(off) :]),
        (Rule.NO_END, without_end),
        (Rule.TEXT_AFTER_END, good + "G0 X1 Y1 S0\n"),
        (Rule.NOT_MILLIMETRES, re.sub("G21[ \n]", "", good)),
        (Rule.NOT_ABSOLUTE, re.sub("G90[ \n]", "", good)),
        (Rule.HEADER_MISSING, good.replace("unattended", "alone")),
        (Rule.HEADER_MISSING, good.replace(f"dialect: {dialect.value}", "dialect: fanuc")),
        (Rule.HEADER_MISSING, good.replace(rules_of(dialect).machine.required_settings[-1], "whatever")),
        (Rule.POWER_UNKNOWN, re.sub(r" ?S[0-9.]+", "", good)),
        (Rule.NOTHING_TO_RUN, "; nothing\n"),
        (Rule.AIR_LEFT_ON, good.replace("M9\n", "M8\n")),
    ]
    if dialect is not Dialect.MARLIN_INLINE:
        out.append((Rule.PLANE, re.sub("G17[ \n]", "", good)))
    if dialect in GRBL:
        out.append((Rule.FEED_MODE, good.replace(" G94", "")))
    if dialect in ONE_PER_LINE:
        out.append((Rule.SEVERAL_COMMANDS, good.replace("G21\nG90", "G21 G90")))
        out.append((Rule.MOTION_WORD_MISSING, good.replace("G1 X20", "X20")))
        out.append((Rule.FORBIDDEN_COMMAND, good + "M30\n"))
    if dialect is Dialect.MARLIN_INLINE:
        out.append((Rule.INLINE_MISSING, good.replace("M3 I S0", "M3 S0")))
    if dialect is Dialect.GRBL_M4:
        out.append((Rule.CONSTANT_POWER, good.replace("M4 S0", "M3 S0")))
    else:
        out.append((Rule.WRONG_BEAM_WORD, good.replace("M3 ", "M4 ")))
    return out


@pytest.mark.parametrize("dialect", EVERY)
def test_each_broken_frame_is_found(dialect: Dialect) -> None:
    for rule, text in broken_frames(dialect):
        assert rule in found(dialect, text), rule


NOT_IN = {
    Rule.PLANE: {Dialect.MARLIN_INLINE},  # G17 needs an option of Marlin's build
    Rule.SEVERAL_COMMANDS: GRBL,
    Rule.MOTION_WORD_MISSING: GRBL,
    Rule.INLINE_MISSING: set(EVERY) - {Dialect.MARLIN_INLINE},
    Rule.CONSTANT_POWER: set(EVERY) - {Dialect.GRBL_M4},
    Rule.WRONG_BEAM_WORD: {Dialect.GRBL_M4},
}
"""Where a rule has nothing to find, because the dialect has no such thing or another rule finds it."""
BY_ARGUMENT = {Rule.MATERIAL_BLOCKED, Rule.MATERIAL_UNSUITED, Rule.POWER_OVER_PLAN}
"""Rules about what the linter is told, planted in the test below."""


@pytest.mark.parametrize("dialect", EVERY)
def test_no_rule_is_without_a_planted_violation(dialect: Dialect) -> None:
    planted = {rule for rule, _ in [*PLANTED, *WITH_Z]} | {rule for rule, _ in broken_frames(dialect)} | BY_ARGUMENT
    left_out = {rule for rule, dialects in NOT_IN.items() if dialect in dialects}
    assert planted | left_out == set(Rule)


@pytest.mark.parametrize("dialect", EVERY)
def test_material_and_planned_power_are_judged_in_every_dialect(dialect: Dialect) -> None:
    by_name = {material.name: material for material in materials()}
    text = in_dialect(dialect, BODY)
    for name, rule in (("pvc", Rule.MATERIAL_BLOCKED), ("acrylic-clear-3mm", Rule.MATERIAL_UNSUITED)):
        assert rule in found(dialect, text, dataclasses.replace(rules_of(dialect), material=by_name[name]))
    assert Rule.POWER_OVER_PLAN in found(dialect, text, dataclasses.replace(rules_of(dialect), s_limit=99))


def arc_work(dialect: Dialect) -> Work:
    """A travel, a half circle over the front, one back over the back, and a straight line."""
    x_um, y_um = np.array([20, 40, 20, 60, 2]) * 1000, np.array([30, 30, 30, 30, 2]) * 1000
    path = Toolpath(
        x_um=x_um,
        y_um=y_um,
        s=np.array([0, 500, 500, 300, 0], dtype=np.int32),
        rapid=np.array([True, False, False, False, True]),
        feed_mm_per_min=np.array([0, 3000, 3000, 3000, 0], dtype=np.int32),
        layer=np.array([0, 0, 0, 0, -1], dtype=np.int16),
        turn=np.array([0, 1, 1, 0, 0], dtype=np.int8),
        i_um=np.array([0, 10, -10, 0, 0]) * 1000,
        j_um=np.array([0, 0, 0, 0, 0]) * 1000,
    )
    return work_of(dialect, dataclasses.replace(SAMPLE, toolpath=path, layers=SAMPLE.layers[:1]))


@pytest.mark.parametrize("dialect", EVERY)
def test_arcs_are_written_measured_and_run(dialect: Dialect) -> None:
    work = arc_work(dialect)
    text = write_gcode(work, 10.0).decode("ascii")
    assert found(dialect, text) == set()
    power = "S0.500" if dialect is Dialect.SMOOTHIEWARE else "S500"
    assert f"G3 X40.000 Y30.000 I10.000 J0.000 {power} F3000" in text
    assert "G1 X60.000" in text
    strokes = np.array(controller(dialect, 1000).run(text))
    circle = strokes[strokes[:, 4] == 0.5]
    assert np.hypot(circle[:, 0] - 30, circle[:, 1] - 30) == pytest.approx(10, abs=1e-9)
    assert circle[:, 1].min() == pytest.approx(20, abs=0.01)
    assert circle[:, 1].max() == pytest.approx(40, abs=0.01)
    lengths = np.hypot(circle[:, 2] - circle[:, 0], circle[:, 3] - circle[:, 1])
    assert lengths.sum() == pytest.approx(2 * np.pi * 10, rel=1e-3)
    assert work.toolpath.length_mm[1:4] == pytest.approx([np.pi * 10, np.pi * 10, 40])
    assert work.toolpath.burn_bounds == pytest.approx((20, 20, 60, 40))


def test_an_unknown_dialect_is_read_as_the_strictest_and_never_breaks_the_reader() -> None:
    program = read_program(b"; dialect: fanuc\nM3 I S0\n")
    assert program.dialect is Dialect.GRBL_M4
    assert program.malformed.tolist() == [1]
