"""The safety linter: says what is dangerous or wrong in a G-code text for one machine, its dialect and a material.

It works on the text alone, through the reader; it knows nothing of the writer and of what the program should draw.
It is a white list: what it does not know is a violation. No G-code leaves kerf with one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine import lint_moves
from kerf_optimizer.domain.machine.grammar import BEAM_CONSTANT, BEAM_DYNAMIC, BEAM_OFF, MOTION_WORDS, grammar_of
from kerf_optimizer.domain.machine.lint_rules import Finding, LintRules, Rule
from kerf_optimizer.domain.machine.reader import Program, read_motions, read_program, stated_dialect
from kerf_optimizer.domain.presets import AirAssist

MAX_LINE_CHARS = 79
"""GRBL 1.1's line buffer holds 80 bytes with the closing zero."""
ALLOWED_G = (*MOTION_WORDS, 4)
ALLOWED_M = (3, 4, 5, 9)
OTHER_MODES = (20, 91, 93, 95)
"""Not allowed, but found by rules of their own."""
ALLOWED_LETTERS = "GMXYZSFPIJ"
AIR_ON, AIR_OFF = (7, 8), 9
MODAL_GROUPS_G = ((0, 1, 2, 3, 80), (17, 18, 19), (20, 21), (90, 91), (93, 94, 95))
MODAL_GROUPS_M = ((2, 30), (3, 4, 5), (7, 8, 9))
HEADER_SENTENCE = "never leave a burning laser unattended"

_NOT_PLAIN = re.compile(rb"[\x80-\xff]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_REALTIME = re.compile(rb"[?!~\x18]")
_PLAIN = bytes(code for code in (9, 10, *range(32, 127)) if code not in b"?!~")


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong. `line` is 1-based, 0 = the file as a whole; `text` is the line, printable."""

    rule: Rule
    line: int
    text: str
    message: str


def lint(text: bytes, rules: LintRules) -> list[Violation]:
    """Everything wrong in the program, in order of lines, at most `rules.max_findings` per rule. Never raises."""
    program = read_program(text, rules.machine.dialect)
    findings = [*_material(rules), *_characters(program), *_header(program, rules), *_commands(program, rules)]
    if program.line.size:
        findings += [*_frame(program), *_end(program), *_modes(program), *_dialect(program, rules)]
        findings += lint_moves.findings(program, read_motions(program), rules)
    else:
        findings.append(Finding(Rule.NOTHING_TO_RUN, -1, "the program has no commands"))
    return _violations(program, findings, rules.max_findings)


def _violations(program: Program, findings: list[Finding], limit: int) -> list[Violation]:
    per_rule: dict[Rule, int] = {}
    out = []
    for found in sorted(findings, key=lambda f: (f.line, f.rule.value)):
        per_rule[found.rule] = per_rule.get(found.rule, 0) + 1
        if per_rule[found.rule] <= limit:
            text = program.line_text(found.line) if found.line >= 0 else ""
            out.append(Violation(found.rule, found.line + 1, text, found.message))
    return out


def _material(rules: LintRules) -> Iterator[Finding]:
    if rules.material.blocked_reason:
        yield Finding(Rule.MATERIAL_BLOCKED, -1, f"{rules.material.name}: {rules.material.blocked_reason}")
    unsuited = rules.material.unsuited_reason(rules.machine.wavelength_nm)
    if unsuited:
        yield Finding(Rule.MATERIAL_UNSUITED, -1, f"{rules.material.name}: {unsuited}")


def _characters(program: Program) -> Iterator[Finding]:
    """Bytes that GRBL acts on wherever they stand, comments included, and lines that its buffer cannot hold."""
    odd = program.text.translate(None, _PLAIN)
    for pattern, rule, message in (
        (_NOT_PLAIN, Rule.NOT_ASCII, "GRBL takes bytes over 127 as real-time overrides"),
        (_CONTROL, Rule.CONTROL_CHARACTER, "a control character"),
        (_REALTIME, Rule.REALTIME_CHARACTER, "? ! ~ and Ctrl-X act at once, even inside a comment"),
    ):
        # Three searches of a large file take a second, and all of kerf's own are plain.
        found = pattern.finditer(program.text if odd else b"")
        positions = np.array([match.start() for match in found], dtype=np.int64)
        lines = np.searchsorted(program.line_starts, positions, side="right") - 1
        yield from _at(_distinct(lines), rule, message)
    lengths = np.diff(np.append(program.line_starts, len(program.text) + 1)) - 1
    yield from _at(
        np.flatnonzero(lengths > MAX_LINE_CHARS), Rule.LINE_TOO_LONG, f"more than {MAX_LINE_CHARS} characters"
    )
    for line in program.malformed.tolist():
        text = program.line_text(line).strip()
        if text.startswith("$"):
            yield Finding(Rule.SYSTEM_COMMAND, line, "a $ command changes the controller")
        elif re.search(r"nan|inf", text, re.IGNORECASE):
            yield Finding(Rule.NOT_A_NUMBER, line, "a value that is no number")
        else:
            yield Finding(Rule.MALFORMED, line, "not words of one letter and one number")


def _distinct(ascending: NDArray[np.int64]) -> NDArray[np.int64]:
    first: NDArray[np.int64] = ascending[np.diff(ascending, prepend=-1) != 0]
    return first


def _at(lines: NDArray[np.int64], rule: Rule, message: str) -> Iterator[Finding]:
    return (Finding(rule, line, message) for line in lines.tolist())


def _header(program: Program, rules: LintRules) -> Iterator[Finding]:
    first_code = int(program.line[0]) if program.line.size else program.line_count
    end = program.line_starts[first_code] if first_code < program.line_count else len(program.text)
    header = program.text[:end].decode("ascii", errors="replace")
    wanted = [HEADER_SENTENCE, f"machine: {rules.machine.name}", f"material: {rules.material.name}"]
    wanted += list(rules.machine.required_settings)
    if stated_dialect(program.text[:end]) is not rules.machine.dialect:
        yield Finding(Rule.HEADER_MISSING, -1, f"a comment must say: dialect: {rules.machine.dialect.value}")
    joined = " ".join(line.lstrip("; ") for line in header.splitlines())
    for sentence in wanted:
        if sentence not in joined:
            yield Finding(Rule.HEADER_MISSING, -1, f"the comments before the first command must say: {sentence}")


def _commands(program: Program, rules: LintRules) -> Iterator[Finding]:
    """Words outside the white list, and words that contradict each other within a line."""
    letters = np.frombuffer(ALLOWED_LETTERS.encode("ascii"), dtype=np.uint8)
    yield from _at(program.line[~np.isin(program.letter, letters)], Rule.FORBIDDEN_COMMAND, "an unknown letter")
    g_lines, g = program.words("G")
    p_lines = program.words("P")[0]
    alone = ~np.isin(p_lines, g_lines[g == 4])
    yield from _at(p_lines[alone], Rule.FORBIDDEN_COMMAND, "P without a dwell")
    m_lines, m = program.words("M")
    grammar = grammar_of(program.dialect)
    known_g = (*ALLOWED_G, *grammar.modes, *OTHER_MODES)
    known_m = [*ALLOWED_M, *grammar.end_words]
    if rules.machine.air_assist is not AirAssist.NONE:
        known_m.append(int(rules.machine.air_assist.value[1:]))
    yield from _at(g_lines[~np.isin(g, known_g)], Rule.FORBIDDEN_COMMAND, "a G word that kerf does not allow")
    yield from _at(m_lines[~np.isin(m, known_m)], Rule.FORBIDDEN_COMMAND, "an M word that kerf does not allow")
    if not rules.machine.has_z:
        yield from _at(program.words("Z")[0], Rule.Z_MOVE, "the machine has no Z")
    for letter, groups in (("G", MODAL_GROUPS_G), ("M", MODAL_GROUPS_M)):
        lines, values = program.words(letter)
        for group in groups:
            yield from _at(_repeated(lines[np.isin(values, group)]), Rule.CONTRADICTION, "two words of one modal group")
    for letter in "XYZSFPIJ":
        yield from _at(_repeated(program.words(letter)[0]), Rule.CONTRADICTION, f"{letter} twice")


def _repeated(lines: NDArray[np.int64]) -> NDArray[np.int64]:
    again: NDArray[np.int64] = lines[1:][np.diff(lines) == 0]
    return again


def _frame(program: Program) -> Iterator[Finding]:
    """Beam off first and last, and nothing after the end."""
    first = int(program.line[0])
    if program.line_text(first).split(";")[0].strip() not in ("M5 S0", "M5S0"):
        yield Finding(Rule.NOT_OFF_FIRST, first, "the first command must be M5 S0")
    m_lines, m = program.words("M")
    beam = np.isin(m, (3, 4, 5))
    last_on = m_lines[beam][-1] if beam.any() else -1
    s_lines, s = program.words("S")
    s_at_last = s[s_lines == last_on]
    if not beam.any() or m[beam][-1] != 5 or not s_at_last.size or s_at_last[-1] != 0:
        yield Finding(Rule.NOT_OFF_LAST, int(program.line[-1]), "the last beam command must be M5 S0")


def _end(program: Program) -> Iterator[Finding]:
    """The program ends with its end word, or with the beam's off where the dialect has none; nothing comes after."""
    m_lines, m = program.words("M")
    last = int(program.line[-1])
    end_words = grammar_of(program.dialect).end_words
    ends = m_lines[np.isin(m, end_words or (BEAM_OFF,))]
    if not ends.size:
        yield Finding(Rule.NO_END, last, "the program must end with M2")
        return
    end = int(ends[0] if end_words else ends[-1])
    if not end_words and last > end:
        yield Finding(Rule.NO_END, last, "the last command must be M5 S0")
    if last > end or (program.malformed > end).any():
        yield Finding(Rule.TEXT_AFTER_END, end + 1, "commands after the end of the program")


def _dialect(program: Program, rules: LintRules) -> Iterator[Finding]:
    """What this dialect wants of beam words, lines and moves, and that the air assist is switched off again."""
    grammar = grammar_of(program.dialect)
    g_lines, m_lines, m = program.words("G")[0], *program.words("M")
    wrong = m_lines[np.isin(m, (BEAM_CONSTANT, BEAM_DYNAMIC)) & (m != grammar.beam_word)]
    if grammar.beam_word == BEAM_DYNAMIC:
        message = "constant power (M3) on a machine whose profile asks for dynamic power (M4)"
        yield from _at(wrong, Rule.CONSTANT_POWER, message)
    else:
        yield from _at(wrong, Rule.WRONG_BEAM_WORD, f"{rules.machine.dialect.value} switches on with M3")
    if grammar.inline:
        bare = m_lines[(m == grammar.beam_word) & ~np.isin(m_lines, program.inline)]
        yield from _at(bare, Rule.INLINE_MISSING, "M3 without I does not follow the S of moves")
    if grammar.one_command:
        commands = np.sort(np.concatenate([g_lines, m_lines]))
        yield from _at(_repeated(commands), Rule.SEVERAL_COMMANDS, "the controller takes one command per line")
    if grammar.own_motion:
        moving = np.unique(program.line[np.isin(program.letter, [ord(axis) for axis in "XYZ"])])
        alone = moving[~np.isin(moving, g_lines)]
        yield from _at(alone, Rule.MOTION_WORD_MISSING, "the move does not say its G word")
    air = np.isin(m, (*AIR_ON, AIR_OFF))
    if air.any() and m[air][-1] != AIR_OFF:
        yield Finding(Rule.AIR_LEFT_ON, int(m_lines[air][-1]), "the air assist is left on: M9 is missing")


def _modes(program: Program) -> Iterator[Finding]:
    """Millimetres, absolute positions and feed per minute, said before the first move and never left."""
    moving = program.has("X") | program.has("Y") | program.has("Z")
    first_move = int(np.argmax(moving)) if moving.any() else program.line_count
    g_lines, g = program.words("G")
    stated = grammar_of(program.dialect).modes
    for good, bad, rule, message in (
        (21, (20,), Rule.NOT_MILLIMETRES, "millimetres (G21) only"),
        (90, (91,), Rule.NOT_ABSOLUTE, "absolute positions (G90) only"),
        (94, (93, 95), Rule.FEED_MODE, "feed per minute (G94) only"),
        (17, (), Rule.PLANE, "the XY plane (G17) must be chosen"),
    ):
        yield from _at(g_lines[np.isin(g, bad)], rule, message)
        said = g_lines[g == good]
        if good in stated and (not said.size or said[0] > first_move):
            yield Finding(rule, min(first_move, program.line_count - 1), f"{message}: not said before the first move")
