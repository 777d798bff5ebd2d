"""The safety linter: says what is dangerous or wrong in a G-code text for one machine, its dialect and a material.

It works on the text alone, through the reader; it knows nothing of the writer and of what the program should draw.
It is a white list: what it does not know is a violation. No G-code leaves kerf with one.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine import lint_moves
from kerf_optimizer.domain.machine.blocks import BLOCK_BYTES, read_blocks
from kerf_optimizer.domain.machine.grammar import BEAM_CONSTANT, BEAM_DYNAMIC, MOTION_WORDS, grammar_of
from kerf_optimizer.domain.machine.lint_rules import Finding, LintRules, Rule
from kerf_optimizer.domain.machine.lint_whole import MODES, WholeProgram
from kerf_optimizer.domain.machine.reader import Program, read_motions
from kerf_optimizer.domain.presets import AirAssist

MAX_LINE_CHARS = 79
"""GRBL 1.1's line buffer holds 80 bytes with the closing zero."""
ALLOWED_G = (*MOTION_WORDS, 4)
ALLOWED_M = (3, 4, 5, 9)
OTHER_MODES = (20, 91, 93, 95)
"""Not allowed, but found by rules of their own."""
ALLOWED_LETTERS = "GMXYZSFPIJ"
MODAL_GROUPS_G = ((0, 1, 2, 3, 80), (17, 18, 19), (20, 21), (90, 91), (93, 94, 95))
MODAL_GROUPS_M = ((2, 30), (3, 4, 5), (7, 8, 9))

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


def lint(text: bytes, rules: LintRules, block_bytes: int = BLOCK_BYTES) -> list[Violation]:
    """Everything wrong in the program, in order of lines, at most `rules.max_findings` per rule. Never raises.

    Looks at `block_bytes` of the text at a time, which makes no difference to what is found.
    """
    found, whole = _Violations(rules.max_findings), WholeProgram(text, rules)
    for program in read_blocks(text, rules.machine.dialect, block_bytes):
        whole.look_at(program)
        findings = [*_characters(program), *_commands(program, rules), *_modes(program), *_dialect(program, rules)]
        findings += lint_moves.findings(program, read_motions(program), rules)
        own = [each for each in findings if each.line >= program.prelude]
        found.add(own, program.in_file, program.line_text)
    found.add([*_material(rules), *whole.findings()], int, whole.line_text)
    return found.in_order()


class _Violations:
    """Of each rule the first ones by line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of_rule: dict[Rule, list[Violation]] = {}

    def add(self, findings: Iterable[Finding], line_of: Callable[[int], int], text_of: Callable[[int], str]) -> None:
        """Keep what comes early enough; `line_of` says where in the file a finding's line is, `text_of` its text."""
        for found in sorted(findings, key=lambda finding: finding.line):
            line, known = line_of(found.line) + 1, self._of_rule.setdefault(found.rule, [])
            if len(known) < self._limit or (known and line < known[-1].line):
                text = text_of(found.line) if found.line >= 0 else ""
                insort(known, Violation(found.rule, line, text, found.message), key=lambda violation: violation.line)
                del known[self._limit :]

    def in_order(self) -> list[Violation]:
        """All that were kept."""
        kept = [violation for known in self._of_rule.values() for violation in known]
        return sorted(kept, key=lambda violation: (violation.line, violation.rule.value))


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


def _dialect(program: Program, rules: LintRules) -> Iterator[Finding]:
    """What this dialect wants of beam words, lines and moves."""
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


def _modes(program: Program) -> Iterator[Finding]:
    """Millimetres, absolute positions and feed per minute are never left."""
    g_lines, g = program.words("G")
    for mode in MODES:
        yield from _at(g_lines[np.isin(g, mode.others)], mode.rule, mode.message)
