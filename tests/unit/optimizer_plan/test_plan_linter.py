from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.lint_rules import LintRules, Rule
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.timing import estimate_seconds
from kerf_optimizer.domain.presets import Dialect, machine_profile, materials
from plan_samples import sample_work

WORK = sample_work()
GCODE = write_gcode(WORK, estimate_seconds(WORK.toolpath, WORK.machine)).decode("ascii")
RULES = LintRules(WORK.machine, WORK.material, WORK.margin_mm, max(layer.s_value for layer in WORK.layers))
HEADER = GCODE[: GCODE.index("M5 S0\n")]
START = HEADER + "M5 S0\nG21 G90 G17 G94\nM4 S0\n"
END = "M5 S0\nG0 X5 Y5 S0\nM5 S0\nM2\n"
BODY = "G0 X10 Y10 S0\nG1 X20 Y10 S100 F3000\nG0 X30 Y10 S0\n"


def rules_found(text: str, rules: LintRules = RULES) -> set[Rule]:
    return {violation.rule for violation in lint(text.encode("latin-1"), rules)}


def test_files_that_kerf_writes_are_clean() -> None:
    assert lint(GCODE.encode("ascii"), RULES) == []


def test_the_frame_of_the_planted_violations_is_clean() -> None:
    assert rules_found(START + BODY + END) == set()


PLANTED_BODIES = [
    ("beam on while travelling", "G0 X10 Y10 S0\nG1 X20 Y10 S100 F3000\nG0 X30 Y10 S100\n", Rule.TRAVEL_BEAM_ON),
    ("travel without S0 after a burn", "G0 X10 Y10 S0\nG1 X20 S100 F3000\nG0 X30\n", Rule.TRAVEL_BEAM_ON),
    ("travel without S0 after a travel", "G0 X10 Y10 S0\nG0 X30\n", Rule.TRAVEL_WITHOUT_S0),
    ("travel by a modal G0", "G0 X10 Y10 S0\nX30\n", Rule.TRAVEL_WITHOUT_S0),
    ("no feed", "G0 X10 Y10 S0\nG1 X20 S100\n", Rule.FEED_MISSING),
    ("no feed after the units were said again", BODY + "G21\nG1 X20 S100\n", Rule.FEED_MISSING),
    ("feed 0", "G0 X10 Y10 S0\nG1 X20 S100 F0\n", Rule.FEED_ZERO),
    ("negative feed", "G0 X10 Y10 S0\nG1 X20 S100 F-100\n", Rule.FEED_ZERO),
    ("feed over the machine's", "G0 X10 Y10 S0\nG1 X20 S100 F6001\n", Rule.FEED_OVER_MACHINE),
    ("power over the machine's", "G0 X10 Y10 S0\nG1 X20 S1001 F3000\n", Rule.POWER_OVER_MACHINE),
    ("negative power", "G0 X10 Y10 S0\nG1 X20 S-1 F3000\n", Rule.POWER_NEGATIVE),
    ("energy over the cap", "G0 X10 Y10 S0\nG1 X20 S1000 F50\n", Rule.ENERGY_OVER_CAP),
    ("burn off the bed", "G0 X10 Y10 S0\nG1 X401 S100 F3000\n", Rule.BURN_OUT_OF_BED),
    ("burn in the margin", "G0 X10 Y10 S0\nG1 Y1.9 S100 F3000\n", Rule.BURN_OUT_OF_BED),
    ("overscan off the bed", "G0 X10 Y10 S0\nG1 X-1 S0 F3000\n", Rule.OVERSCAN_OUT_OF_BED),
    ("travel off the bed", "G0 X10 Y401 S0\n", Rule.TRAVEL_OUT_OF_BED),
    ("dwell with the beam on", "G0 X10 Y10 S0\nG1 X20 S100 F3000\nG4 P1\nG0 X5 Y5 S0\n", Rule.DWELL_BEAM_ON),
    ("power on a line without a move", "G0 X10 Y10 S0\nS500\nG0 X5 Y5 S0\n", Rule.STATIONARY_BEAM),
    ("beam switched on while standing", "M5\nG0 X10 Y10 S0\nM4 S300\nG1 X20 F3000\n", Rule.STATIONARY_BEAM),
    ("burn of no length", "G0 X10 Y10 S0\nG1 X10 Y10 S100 F3000\n", Rule.STATIONARY_BEAM),
    ("constant power", "M3 S0\n" + BODY, Rule.CONSTANT_POWER),
    ("burn with the beam off", "M5 S0\nG0 X10 Y10 S0\nG1 X20 S100 F3000\n", Rule.POWER_WITHOUT_BEAM),
    ("inches", "G20\n" + BODY, Rule.NOT_MILLIMETRES),
    ("relative", "G91\n" + BODY, Rule.NOT_ABSOLUTE),
    ("inverse time feed", "G93\n" + BODY, Rule.FEED_MODE),
    ("Z on a machine without it", BODY + "G0 Z5 S0\n", Rule.Z_MOVE),
    ("arc without a centre", "G0 X10 Y10 S0\nG2 X20 Y10 S100 F3000\n", Rule.ARC),
    ("tool change", "M6\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("tool word", "T1\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("offsets", "G10 L2 P1 X0 Y0\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("homing", "G28\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("another zero", "G92 X0 Y0\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("machine coordinates", "G53 G0 X1 Y1 S0\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("decimal G word", "G38.2 X10 F100\n" + BODY, Rule.FORBIDDEN_COMMAND),
    ("system command", "$32=0\n" + BODY, Rule.SYSTEM_COMMAND),
    ("not a number", "G0 X10 Y10 S0\nG1 XNaN S100 F3000\n", Rule.NOT_A_NUMBER),
    ("two numbers", "G0 X1.2.3 Y10 S0\n" + BODY, Rule.MALFORMED),
    ("lower case", "g0 x10 y10 s0\n" + BODY, Rule.MALFORMED),
    ("open comment", "(G0 X10\n" + BODY, Rule.MALFORMED),
    ("two moves in a line", "G0 G1 X10 Y10 S0 F100\n" + BODY, Rule.CONTRADICTION),
    ("X twice", "G0 X10 X20 Y10 S0\n" + BODY, Rule.CONTRADICTION),
    ("line too long", "G0 X10 Y10 S0 F" + "0" * 70 + "1\n" + BODY, Rule.LINE_TOO_LONG),
    ("real-time character in a comment", "; really?\n" + BODY, Rule.REALTIME_CHARACTER),
    ("override byte in a comment", "; \x90\n" + BODY, Rule.NOT_ASCII),
    ("control character", "; \x07\n" + BODY, Rule.CONTROL_CHARACTER),
    ("first move unknown", "G1 X20 S0 F3000\n", Rule.START_UNKNOWN),
]


@pytest.mark.parametrize("body,rule", [pytest.param(body, rule, id=name) for name, body, rule in PLANTED_BODIES])
def test_each_planted_violation_is_found_by_its_own_rule(body: str, rule: Rule) -> None:
    assert rule in rules_found(START + body + END)


@pytest.mark.parametrize(
    "text,rule",
    [
        (START.replace("G21 ", "") + BODY + END, Rule.NOT_MILLIMETRES),
        (START.replace("G90 ", "") + BODY + END, Rule.NOT_ABSOLUTE),
        (START.replace("G17 ", "") + BODY + END, Rule.PLANE),
        (START.replace("M5 S0\nG21", "G21") + BODY + END, Rule.NOT_OFF_FIRST),
        (START + BODY + "M2\n", Rule.NOT_OFF_LAST),
        (START + BODY + "M5\nM2\n", Rule.NOT_OFF_LAST),
        (START + BODY + END.replace("M2\n", ""), Rule.NO_END),
        (START + BODY + END + "G0 X1 Y1 S0\n", Rule.TEXT_AFTER_END),
        ((START + BODY + END).replace("unattended", "alone"), Rule.HEADER_MISSING),
        ((START + BODY + END).replace("$32=1", "$32=0"), Rule.HEADER_MISSING),
        ((START + BODY + END).replace("material: birch-3mm", "material: paper"), Rule.HEADER_MISSING),
        ("; nothing\n", Rule.NOTHING_TO_RUN),
        ("", Rule.NOTHING_TO_RUN),
    ],
)
def test_a_broken_frame_is_found(text: str, rule: Rule) -> None:
    assert rule in rules_found(text)


def test_power_over_what_was_planned_is_found() -> None:
    text = START + BODY + END
    assert Rule.POWER_OVER_PLAN in rules_found(text, dataclasses.replace(RULES, s_limit=99))
    assert Rule.POWER_OVER_PLAN not in rules_found(text, dataclasses.replace(RULES, s_limit=100))


def test_blocked_and_unsuited_materials_are_found() -> None:
    by_name = {material.name: material for material in materials()}
    text = START + BODY + END
    assert Rule.MATERIAL_BLOCKED in rules_found(text, dataclasses.replace(RULES, material=by_name["pvc"]))
    clear = dataclasses.replace(RULES, material=by_name["acrylic-clear-3mm"])
    assert Rule.MATERIAL_UNSUITED in rules_found(text, clear)
    co2 = dataclasses.replace(clear, machine=machine_profile("grbl-co2-40w"))
    assert Rule.MATERIAL_UNSUITED not in rules_found(text, co2)


def test_constant_power_is_fine_where_the_profile_asks_for_it_but_never_standing() -> None:
    machine = dataclasses.replace(WORK.machine, dialect=Dialect.GRBL_M3)
    rules = dataclasses.replace(RULES, machine=machine)
    text = (START + BODY + END).replace("M4 S0", "M3 S0").replace("dialect: grbl-m4", "dialect: grbl-m3")
    assert rules_found(text, rules) == set()
    standing = text.replace("G1 X20", "S100\nG1 X20")
    assert Rule.STATIONARY_BEAM in rules_found(standing, rules)


def test_a_violation_names_its_line_and_shows_it() -> None:
    text = START + "G0 X10 Y10 S0\nG1 X20 S100\n" + END
    (violation,) = lint(text.encode("ascii"), RULES)
    assert violation.text == "G1 X20 S100"
    assert text.splitlines()[violation.line - 1] == "G1 X20 S100"


def test_many_findings_of_one_rule_are_cut_short() -> None:
    text = START + BODY + "G0 X500 Y10 S0\n" * 1000 + END
    assert len(lint(text.encode("ascii"), dataclasses.replace(RULES, max_findings=3))) == 3


LINES = GCODE.splitlines()
CODE = [i for i, line in enumerate(LINES) if line and not line.startswith(";")]
BURNS = [i for i in CODE if re.search(r"S[1-9]", LINES[i])]
TRAVELS = [i for i in CODE if LINES[i].startswith("G0")]
FIRST_FEEDS = [i for i in CODE if LINES[i].startswith("G1")]


def _edit(index: int, change: Callable[[str], str]) -> str:
    lines = list(LINES)
    lines[index] = change(lines[index])
    return "\n".join(lines) + "\n"


def _insert(index: int, line: str) -> str:
    return "\n".join([*LINES[:index], line, *LINES[index:]]) + "\n"


DANGERS = st.one_of(
    st.builds(
        lambda i, s: _edit(i, lambda t: t.replace("S0", f"S{s}")), st.sampled_from(TRAVELS), st.integers(1, 10**6)
    ),
    st.builds(lambda i: _edit(i, lambda t: t.replace(" S0", "")), st.sampled_from(TRAVELS)),
    st.builds(
        lambda i, s: _edit(i, lambda t: re.sub(r"S\d+", f"S{s}", t)), st.sampled_from(BURNS), st.integers(1001, 9**9)
    ),
    st.builds(
        lambda i, a, v: _edit(i, lambda t: re.sub(r"G([01]) X\S+ Y\S+", rf"G\1 {a}{v:.3f} Y10", t)),
        st.sampled_from(TRAVELS + FIRST_FEEDS),
        st.just("X"),
        st.one_of(st.floats(400, 1e6), st.floats(-1e6, 1.9)),
    ),
    st.builds(
        _insert,
        st.sampled_from([i for i in CODE if i > CODE[3]]),
        st.sampled_from(
            [
                "G91",
                "G20",
                "G92 X0",
                "$H",
                "M6",
                "G28",
                "M3 S500",
                "S500",
                "G2 X10 Y10 I5",
                "G10 P1",
                "G4 X1",
                "T1",
                "G1 Z-1",
            ]
        ),
    ),
    st.builds(
        lambda i, c: _edit(i, lambda t: t + c),
        st.sampled_from(CODE),
        st.sampled_from("?!~\x18\x85é(%$#;?".replace(";", "")),
    ),
    st.builds(lambda i: _edit(i, lambda t: t.replace("F", ";F")), st.sampled_from(FIRST_FEEDS[:1])),
    st.builds(
        lambda i, f: _edit(i, lambda t: re.sub(r"F\d+", f"F{f}", t)),
        st.sampled_from(FIRST_FEEDS),
        st.sampled_from([0, 6001, 10**7]),
    ),
    st.builds(lambda i: "\n".join(LINES[:i]) + "\n", st.sampled_from(CODE)),
)


@settings(max_examples=150, deadline=None)
@given(DANGERS)
def test_a_dangerous_change_of_a_good_program_is_always_found(text: str) -> None:
    assert lint(text.encode("latin-1"), RULES) != []


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text("GMXYSFZ0123456789.+-();$ \n\r\t", max_size=300).map(str.encode)))
def test_no_input_breaks_the_linter_and_none_of_these_passes(text: bytes) -> None:
    assert lint(text, RULES) != []


def test_a_hostile_line_costs_linear_time() -> None:
    text = (START + "X" + "1" * 2_000_000 + "x\n" + END).encode("ascii")
    assert Rule.LINE_TOO_LONG in {violation.rule for violation in lint(text, RULES)}
