"""Read-back in blocks of lines: the same verdicts whatever the blocks, in memory that the moves do not change."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Drawing, Raster, path_of
from kerf_optimizer.domain.machine.blocks import read_blocks
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.lint_rules import LintRules
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.reader import Motions, read_motions, read_program
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import GreyMeaning, Operation, PathStyle, PlanLimits, PlanSpec, ScanStyle
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import AirAssist, Dialect
from plan_samples import CUT, FILL, RASTER, SCORE, never_cancelled, sample_spec, spots, square

STYLE = PathStyle(arc_tolerance_mm=0.02)
WHOLE = 1 << 30
WORDS: tuple[str, ...] = (
    "G0",
    "G1",
    "G2",
    "G20",
    "G21",
    "G4 P1",
    "G90",
    "G91",
    "G93",
    "G94",
    "X10",
    "X20.5",
    "X-1",
    "Y10",
    "Y399",
)
WORDS += ("Z0", "Z-1", "S0", "S100", "S1001", "F0", "F3000", "M3", "M4", "M5", "M5 S0", "M2", "M8", "M9", "I2", "J-3")
WORDS += ("; said", "x", "$H", "é", "M3 I")


def drawing() -> Drawing:
    """A disc of many edges with a square hole, and a line."""
    angle = np.arange(24) * math.tau / 24
    disc = path_of(np.stack([5 + 3 * np.cos(angle), 5 + 3 * np.sin(angle)], axis=1), closed=True)
    return Drawing(10, 10, (disc, square(4, 4, 1.5), path_of([[1.0, 1.0], [2.0, 1.5]], closed=False)))


def works() -> list[Work]:
    """All kinds, arcs, powers of pixels, hatches that cross: one work for each dialect."""
    power = np.random.default_rng(1).integers(0, 256, (3, 5)).astype(np.uint8)
    sources: list[Raster | Drawing] = [spots(3, 4), drawing(), Raster(power > 0, 0.2, power)]
    operations = (
        Operation(1, CUT),
        Operation(1, SCORE, passes=2, layer="lines"),
        Operation(0, RASTER, scan=ScanStyle(cross_hatch=True)),
        Operation(1, FILL, interval_mm=0.5),
        Operation(2, RASTER, passes=2, grey=GreyMeaning.POWER),
        Operation(2, RASTER, passes=3, grey=GreyMeaning.DEPTH),
    )
    made = []
    for dialect in Dialect:
        spec = dataclasses.replace(sample_spec(), path_style=STYLE if dialect is Dialect.GRBL_M4 else PathStyle())
        kept = [each for each in operations if dialect is not Dialect.GRBL_NO_LASER_MODE or each.grey is None]
        work = build_work(dataclasses.replace(spec, operations=tuple(kept)), sources, never_cancelled, PlanLimits())
        machine = dataclasses.replace(work.machine, dialect=dialect, has_z=True, air_assist=AirAssist.M8)
        made.append(dataclasses.replace(work, machine=machine))
    return made


WORKS = works()
FILES = [write_gcode(work, 1.0) for work in WORKS]


def rules_of(work: Work) -> LintRules:
    most = max(layer.s_value for layer in work.layers)
    return LintRules(work.machine, work.material, work.margin_mm, most, max_findings=3)


def verdict(gcode: bytes, work: Work, style: PathStyle, block_bytes: int) -> tuple[str, ...]:
    """What the read-back says, or why it throws the file away."""
    try:
        checks = check_gcode(gcode, work, style, block_bytes)
    except Internal as error:
        return (error.reason, *([str(error)] if error.reason == "SAFETY_LINTER" else []))
    return tuple(f"{check.name}: {check.detail}" for check in checks)


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[int, bytes]:
    """A file that kerf wrote, some of its lines taken out, doubled, swapped or replaced by words of all kinds."""
    number = draw(st.integers(0, len(FILES) - 1))
    lines = FILES[number].split(b"\n")
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.one_of(st.integers(0, len(lines) - 1), st.integers(0, min(40, len(lines) - 1))))
        words = " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=4))).encode("latin-1")
        lines[at : at + draw(st.integers(0, 1))] = draw(st.sampled_from([[], [words], [lines[at], lines[at]]]))
        if not lines:
            lines = [b""]
    return number, b"\n".join(lines)


BLOCKS = st.integers(60, 1500)


@settings(max_examples=60, deadline=None)
@given(spoilt(), BLOCKS)
def test_blocks_change_no_verdict(file: tuple[int, bytes], block_bytes: int) -> None:
    number, gcode = file
    work, style = WORKS[number], STYLE if WORKS[number].machine.dialect is Dialect.GRBL_M4 else PathStyle()
    rules = rules_of(work)
    assert lint(gcode, rules, block_bytes) == lint(gcode, rules, WHOLE)
    assert verdict(gcode, work, style, block_bytes) == verdict(gcode, work, style, WHOLE)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), max_size=25).map(
            lambda lines: "\n".join(lines).encode("latin-1")
        ),
    ),
    st.integers(1, 60),
    st.sampled_from(range(len(WORKS))),
)
def test_blocks_change_nothing_that_is_found_in_any_text(text: bytes, block_bytes: int, number: int) -> None:
    rules = rules_of(WORKS[number])
    assert lint(text, rules, block_bytes) == lint(text, rules, WHOLE)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_moves_of_all_blocks_are_those_of_the_file(number: int) -> None:
    whole = read_motions(read_program(FILES[number]))
    blocks = [(program, read_motions(program)) for program in read_blocks(FILES[number], block_bytes=700)]
    assert len(blocks) > 5
    for field in dataclasses.fields(Motions):
        parts = [getattr(m, field.name)[m.line >= p.prelude] for p, m in blocks]
        if field.name == "line":
            parts = [part - p.prelude + p.first_line for part, (p, _) in zip(parts, blocks, strict=True)]
        assert np.array_equal(np.concatenate(parts), getattr(whole, field.name), equal_nan=True), field.name


def test_a_file_that_kerf_wrote_passes_in_any_blocks() -> None:
    for work, gcode in zip(WORKS, FILES, strict=True):
        style = STYLE if work.machine.dialect is Dialect.GRBL_M4 else PathStyle()
        assert len(verdict(gcode, work, style, 333)) == 2 + len(work.layers)


def test_more_moves_take_no_more_memory() -> None:
    """The same picture with three times as many passes; what is read at a time is small beside both files."""

    def peak_bytes(passes: int) -> tuple[int, int]:
        operation = Operation(0, RASTER, power_percent=1, passes=passes)
        spec = PlanSpec("birch-3mm", (operation,), placement=sample_spec().placement)
        work = build_work(spec, [spots(60, 80)], never_cancelled, PlanLimits())
        gcode = write_gcode(work, 1.0)
        check_gcode(gcode, work, block_bytes=4000)  # whatever is imported late
        tracemalloc.start()
        try:
            check_gcode(gcode, work, block_bytes=4000)
            return tracemalloc.get_traced_memory()[1], len(gcode)
        finally:
            tracemalloc.stop()

    (few, small), (many, large) = peak_bytes(2), peak_bytes(6)
    assert large > 2.9 * small
    assert many < 1.1 * few
