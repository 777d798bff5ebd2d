"""The safety linter's rules about moves, power, feed and the bed.

They judge a block of a program as they would judge all of it: by single lines, what is in force there, and the move
before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine.arcs import Points, arc_box
from kerf_optimizer.domain.machine.grammar import ARC_WORDS, BEAM_OFF, BEAM_WORDS, UNIT_WORDS
from kerf_optimizer.domain.machine.lint_rules import Finding, LintRules, Rule
from kerf_optimizer.domain.machine.reader import Motions, Program, last_index

TOLERANCE_MM = 0.0005
"""Half of the last digit of a coordinate."""
ARC_TOLERANCE_MM = 0.005
"""GRBL refuses arcs that are worse."""
FAR_MM = 1e7
"""No centre lies so far away; its arithmetic would overflow, and the arc is found by its tolerance."""
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
        *_arcs(program, moves),
        *_bed(moves, rules),
        *_heights(program, moves, rules),
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
    beam = program.modal("M", BEAM_WORDS, start=BEAM_OFF)
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
    feeding = moves.mode != 0
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
    unit_lines = g_lines[np.isin(g, UNIT_WORDS)]
    last_unit = _last_line(unit_lines, program.line_count)[moves.line]
    last_feed = _last_line(f_lines, program.line_count)[moves.line]
    missing = (moves.mode != 0) & ((last_feed < 0) | (last_feed < last_unit))
    yield from _at(moves.line[missing], Rule.FEED_MISSING, "no feed since the units were chosen")


def _last_line(lines: NDArray[np.int64], line_count: int) -> NDArray[np.int64]:
    last = last_index(lines, line_count)
    return np.where(last >= 0, np.append(lines, -1)[last], -1)


def _arcs(program: Program, moves: Motions) -> Iterator[Finding]:
    """Each arc says its own G2 or G3 and I or J, and its end lies as far from the centre as its start."""
    g_lines, g = program.words("G")
    own = g_lines[np.isin(g, ARC_WORDS)]
    arcs = moves.arcs
    lines = moves.line[arcs]
    ij_lines = program.line[np.isin(program.letter, [ord("I"), ord("J")])]
    stray = np.unique(ij_lines[~np.isin(ij_lines, own)])
    yield from _at(stray, Rule.ARC, "I and J belong to G2 and G3")
    yield from _at(own[~np.isin(own, moves.line)], Rule.ARC, "an arc without an end")
    yield from _at(lines[~np.isin(lines, own)], Rule.ARC, "an arc must say its own G2 or G3")
    centred = ~np.isnan(moves.i_mm[arcs])
    yield from _at(lines[~centred], Rule.ARC, "an arc needs I or J")
    start, end, center = _arc_ends(moves, arcs)
    with np.errstate(all="ignore"):
        radius = np.hypot(*(start - center).T)
        off_mm = np.abs(np.hypot(*(end - center).T) - radius)
        bad = centred & ~((radius > 0) & (off_mm <= ARC_TOLERANCE_MM))
    yield from _at(lines[bad], Rule.ARC, f"an arc's end is off its circle by more than {ARC_TOLERANCE_MM} mm")
    full = (start == end).all(axis=1)
    yield from _at(lines[full], Rule.ARC, "a full circle, or none: controllers differ; write two arcs")


def _arc_ends(moves: Motions, arcs: NDArray[np.int64]) -> tuple[Points, Points, Points]:
    """Start, end and centre of arcs, (k, 2) each; NaN where they are not known."""
    targets = np.stack([moves.x_mm, moves.y_mm], axis=1)
    start = np.where((arcs > 0)[:, None], targets[arcs - 1], np.nan)
    with np.errstate(all="ignore"):
        center = start + np.stack([moves.i_mm[arcs], moves.j_mm[arcs]], axis=1)
    return start, targets[arcs], center


def _boxes(moves: Motions) -> tuple[Points, Points]:
    """The box that each move's end, or each arc as a whole, lies in: lower and upper corners (n, 2)."""
    low = np.stack([moves.x_mm, moves.y_mm], axis=1)
    high = low.copy()
    arcs = moves.arcs
    start, end, center = _arc_ends(moves, arcs)
    with np.errstate(all="ignore"):
        known = np.isfinite(start + end + center).all(axis=1) & (np.abs(center) < FAR_MM).all(axis=1)
    turn = np.where(moves.mode[arcs] == ARC_WORDS[0], -1, 1).astype(np.int8)
    low[arcs[known]], high[arcs[known]] = arc_box(start[known], end[known], center[known], turn[known])
    return low, high


def _bed(moves: Motions, rules: LintRules) -> Iterator[Finding]:
    """Moves inside the bed less its margin: straight ones between ends that lie inside do, arcs are looked at whole."""
    low = rules.margin_mm - TOLERANCE_MM
    high = np.array([rules.machine.bed_width_mm, rules.machine.bed_height_mm]) - rules.margin_mm + TOLERANCE_MM
    lower, upper = _boxes(moves)
    out = (lower < low).any(axis=1) | (upper > high).any(axis=1)
    feeding = moves.mode != 0
    burning = feeding & moves.burning
    for chosen, rule in (
        (out & burning, Rule.BURN_OUT_OF_BED),
        (out & feeding & ~burning, Rule.OVERSCAN_OUT_OF_BED),
        (out & ~feeding, Rule.TRAVEL_OUT_OF_BED),
    ):
        message = f"leaves the bed less its margin of {rules.margin_mm:g} mm"
        yield from _at(moves.line[chosen], rule, message)


def _heights(program: Program, moves: Motions, rules: LintRules) -> Iterator[Finding]:
    """Z moves while the beam is off, between the material's surface and its other side."""
    z_lines, z = program.words("Z")
    if not z_lines.size or not rules.machine.has_z:
        return
    moving = moves.line[(moves.mode != 0) | ~(moves.s == 0)]
    yield from _at(z_lines[np.isin(z_lines, moving)], Rule.Z_MOVE, "Z moves in rapid moves with S0 only")
    lowest = -rules.material.thickness_mm - TOLERANCE_MM
    message = f"Z outside 0 (the surface) and {-rules.material.thickness_mm:g} (through the material)"
    yield from _at(z_lines[~((z >= lowest) & (z <= 0))], Rule.Z_RANGE, message)
