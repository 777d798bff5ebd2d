"""The safety linter's rules about moves, power, feed and the bed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine.lint_rules import Finding, LintRules, Rule
from kerf_optimizer.domain.machine.reader import BEAM_CONSTANT, BEAM_DYNAMIC, BEAM_OFF, Motions, Program, last_index

TOLERANCE_MM = 0.0005
"""Half of the last digit of a coordinate."""
TOLERANCE_ENERGY = 1.01
"""S and F are whole numbers: a cap that was just met may be passed by their rounding."""
SECONDS_PER_MINUTE = 60


def findings(program: Program, moves: Motions, rules: LintRules) -> list[Finding]:
    """Everything that these rules find."""
    return [
        *_travel(program, moves),
        *_stationary(program, moves),
        *_power(program, moves, rules),
        *_feed(program, moves, rules),
        *_bed(moves, rules),
    ]


def _at(lines: NDArray[np.int64], rule: Rule, message: str) -> Iterator[Finding]:
    return (Finding(rule, line, message) for line in lines.tolist())


def _travel(program: Program, moves: Motions) -> Iterator[Finding]:
    rapid = moves.mode == 0
    s_said = program.has("S")[moves.line]
    s_is_zero = moves.s == 0
    yield from _at(moves.line[rapid & ~(s_said & s_is_zero)], Rule.TRAVEL_WITHOUT_S0, "a travel move must say S0")
    beam_on = rapid & (moves.beam != BEAM_OFF) & ~s_is_zero
    yield from _at(moves.line[beam_on], Rule.TRAVEL_BEAM_ON, "the beam is on while travelling")
    if len(moves.line) and (not rapid[0] or np.isnan(moves.x_mm[0]) or np.isnan(moves.y_mm[0])):
        yield Finding(Rule.START_UNKNOWN, int(moves.line[0]), "the first move must be G0 to an X and a Y")


def _stationary(program: Program, moves: Motions) -> Iterator[Finding]:
    """The beam on while the head stands: in a dwell, on a line without a move, in a move of no length."""
    count = program.line_count
    commands = np.zeros(count, dtype=np.bool_)
    commands[program.line] = True
    s = program.modal("S", start=np.nan)
    beam = program.modal("M", (BEAM_CONSTANT, BEAM_DYNAMIC, BEAM_OFF), start=BEAM_OFF)
    on = (beam != BEAM_OFF) & ~(s == 0)
    standing = commands.copy()
    standing[moves.line] = False
    dwell = np.zeros(count, dtype=np.bool_)
    g_lines, g = program.words("G")
    dwell[g_lines[g == 4]] = True
    yield from _at(np.flatnonzero(dwell & on), Rule.DWELL_BEAM_ON, "a dwell with the beam on")
    yield from _at(np.flatnonzero(standing & ~dwell & on), Rule.STATIONARY_BEAM, "the beam is on while the head stands")
    still = (np.diff(moves.x_mm, prepend=np.nan) == 0) & (np.diff(moves.y_mm, prepend=np.nan) == 0)
    yield from _at(moves.line[still & moves.burning], Rule.STATIONARY_BEAM, "the beam is on in a move of no length")


def _power(program: Program, moves: Motions, rules: LintRules) -> Iterator[Finding]:
    lines, s = program.words("S")
    yield from _at(lines[s < 0], Rule.POWER_NEGATIVE, "S below 0")
    over = f"S over {rules.machine.s_max:g}, the machine's full power"
    yield from _at(lines[s > rules.machine.s_max], Rule.POWER_OVER_MACHINE, over)
    if rules.s_limit > 0:
        message = f"S over {rules.s_limit:g}, the most that was planned"
        yield from _at(lines[s > rules.s_limit], Rule.POWER_OVER_PLAN, message)
    feeding = moves.mode == 1
    unknown = feeding & np.isnan(moves.s)
    yield from _at(moves.line[unknown], Rule.POWER_UNKNOWN, "a feed move before any S")
    off = feeding & (moves.beam == BEAM_OFF) & (moves.s > 0)
    yield from _at(moves.line[off], Rule.POWER_WITHOUT_BEAM, "S over 0 while the beam is off")
    watts = rules.machine.laser_watts * moves.s / rules.machine.s_max
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = watts / (moves.feed_mm_per_min / SECONDS_PER_MINUTE) / rules.machine.spot_mm
    cap = rules.material.cap_pass_j_per_mm2
    dense = feeding & moves.burning & (energy > cap * TOLERANCE_ENERGY)
    yield from _at(moves.line[dense], Rule.ENERGY_OVER_CAP, f"more than {cap:g} J/mm², the cap of the material")


def _feed(program: Program, moves: Motions, rules: LintRules) -> Iterator[Finding]:
    """Each feed move needs a feed that was said after the last word that changes its unit."""
    f_lines, f = program.words("F")
    yield from _at(f_lines[f <= 0], Rule.FEED_ZERO, "a feed of 0 or less")
    most = rules.machine.max_feed_mm_per_min
    yield from _at(f_lines[f > most], Rule.FEED_OVER_MACHINE, f"a feed over {most:g} mm/min, the machine's most")
    g_lines, g = program.words("G")
    unit_lines = g_lines[np.isin(g, (20, 21, 93, 94, 95))]
    last_unit = _last_line(unit_lines, program.line_count)[moves.line]
    last_feed = _last_line(f_lines, program.line_count)[moves.line]
    missing = (moves.mode != 0) & ((last_feed < 0) | (last_feed < last_unit))
    yield from _at(moves.line[missing], Rule.FEED_MISSING, "no feed since the units were chosen")


def _last_line(lines: NDArray[np.int64], line_count: int) -> NDArray[np.int64]:
    last = last_index(lines, line_count)
    return np.where(last >= 0, np.append(lines, -1)[last], -1)


def _bed(moves: Motions, rules: LintRules) -> Iterator[Finding]:
    """Ends of moves inside the bed less its margin; straight moves between such ends lie inside too."""
    low = rules.margin_mm - TOLERANCE_MM
    right = rules.machine.bed_width_mm - rules.margin_mm + TOLERANCE_MM
    back = rules.machine.bed_height_mm - rules.margin_mm + TOLERANCE_MM
    out = (moves.x_mm < low) | (moves.x_mm > right) | (moves.y_mm < low) | (moves.y_mm > back)
    feeding = moves.mode != 0
    burning = feeding & moves.burning
    for chosen, rule in (
        (out & burning, Rule.BURN_OUT_OF_BED),
        (out & feeding & ~burning, Rule.OVERSCAN_OUT_OF_BED),
        (out & ~feeding, Rule.TRAVEL_OUT_OF_BED),
    ):
        message = f"leaves the bed less its margin of {rules.margin_mm:g} mm"
        yield from _at(moves.line[chosen], rule, message)
