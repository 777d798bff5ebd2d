"""Sections of the page that shows a plan: figures with their units, what is not known in words, nothing unescaped."""

from __future__ import annotations

import json

import pytest

from kerf.optimizer.v1 import optimizer_pb2
from kerf.optimizer.v1.plan_pb2 import Check, PlanReport, TimeBound, TimeEstimate, Verdict
from kerf_client.facts import PlanFacts, plan_facts, reported_facts
from kerf_client.grid_page import GridPage, cells_section, render_grid_page
from kerf_client.plan_page import burn_time_text, checks_section, layers_section, path_section, time_section
from unit.client.client_products import HOSTILE

TIME = {
    "low_seconds": 60.0,
    "high_seconds": 90.0,
    "feed_seconds": 50.0,
    "acceleration_seconds": 20.0,
    "serial_seconds": 0.0,
    "bounded_by": "feed",
    "simulated": True,
}
LAYER = {
    "name": HOSTILE,
    "kind": "cut",
    "power_percent": 80.0,
    "feed_mm_per_min": 300,
    "passes": 2,
    "interval_mm": 0.0,
    "energy_j_per_mm2_per_pass": 25.0,
    "preset": {"name": "a/b/cut", "source": "a book", "verified": False},
}


def _facts(**time: object) -> PlanFacts:
    labels = {"estimated_seconds": "70.0", "time": json.dumps(TIME | time)}
    return plan_facts([labels], b"", json.dumps({"layers": [LAYER]}).encode())


def test_time_has_its_interval_and_what_bounds_it() -> None:
    facts = _facts()
    assert burn_time_text(facts) == "1 min 10 s (1 min 00 s to 1 min 30 s)"
    section = time_section(facts)
    assert "Most of it goes into the feeds asked for." in section
    assert "50 s" in section
    assert 'style="width:71%"' in section


def test_a_firmware_that_was_not_simulated_has_an_interval_only() -> None:
    facts = _facts(simulated=False)
    assert burn_time_text(facts) == "1 min 00 s to 1 min 30 s"
    assert "only the interval means anything" in time_section(facts)


@pytest.mark.parametrize("label", ["", "[]", "{", "[" * 10_000, json.dumps({"low_seconds": "much", "simulated": 1})])
def test_a_time_that_is_not_told_is_not_known(label: str) -> None:
    facts = plan_facts([{"time": label}], b"")
    assert facts.time.low_seconds is None
    assert "Not known" in time_section(facts)
    older = plan_facts([{"estimated_seconds": "5", "estimated_low_seconds": "4", "estimated_high_seconds": "7"}], b"")
    assert burn_time_text(older) == "5 s (4 s to 7 s)"
    assert "What it is made of" not in time_section(older)


def test_layers_have_their_figures_and_are_escaped() -> None:
    section = layers_section(_facts())
    for text in ("&lt;script&gt;", "80 %", "300 mm/min", "2 ×", "25 J/mm²", "a/b/cut", "unverified"):
        assert text in section
    assert "<script>" not in section


@pytest.mark.parametrize(
    "report", [b"", b"\xff", b"[]", b'{"layers": 3}', b'{"layers": ["x"]}', b'{"layers": [{"power_percent": "a"}]}']
)
def test_a_report_of_another_shape_is_not_known(report: bytes) -> None:
    facts = plan_facts([], b"", report)
    section = layers_section(facts)
    assert ("not known" in section) if facts.layers else (section == "")


def test_checks_are_escaped_and_never_left_out_in_silence() -> None:
    checks = json.dumps([{"name": HOSTILE, "verdict": "passed", "detail": HOSTILE}])
    section = checks_section([plan_facts([{"checks": checks}], b"")])
    assert '<span class="held">passed</span>' in section
    assert "<script>" not in section
    assert "not in the job's answer" in checks_section([PlanFacts()])


def test_the_path_is_drawn_or_the_page_says_why_not() -> None:
    assert path_section(b"") == ""
    assert "G91 is not known" in path_section(b"G91\n")
    drawn = path_section(b"G0 X0 Y0\nM4 S5\nG1 X10 Y5\nG0 X0 Y0\n", HOSTILE)
    assert "burns, 11 mm" in drawn
    assert "<script>" not in drawn


def test_a_direct_answer_gives_the_same_facts() -> None:
    report = PlanReport(
        estimated_seconds=70,
        checks=[Check(name="safety-linter", verdict=Verdict.VERDICT_NOT_RUN, detail="why")],
        time=TimeEstimate(
            low_seconds=60,
            expected_seconds=70,
            high_seconds=90,
            feed_seconds=50,
            acceleration_seconds=20,
            bounded_by=TimeBound.TIME_BOUND_SERIAL_LINE,
            simulated=True,
        ),
    )
    facts = reported_facts(report, json.dumps({"layers": [LAYER]}).encode())
    assert burn_time_text(facts) == burn_time_text(_facts())
    assert facts.time.bounded_by == "serial line"
    assert "the line that brings the program" in time_section(facts)
    assert facts.checks[0].verdict == "not run"
    assert facts.layers == _facts().layers
    assert reported_facts(PlanReport(estimated_seconds=70), b"").time.low_seconds is None


def test_cells_lie_as_on_the_material() -> None:
    cells = [
        optimizer_pb2.TestCell(
            column=column, row=row, power_percent=10 * (row + 1), speed_mm_per_min=100 * (column + 1)
        )
        for row in range(2)
        for column in range(2)
    ]
    cells[3].left_out = f"over the cap {HOSTILE}"
    section = cells_section(cells)
    assert section.index("<b>20 %</b>") < section.index("<b>10 %</b>"), "the strongest row is the farthest"
    assert section.count("left out") == 1
    assert "Left out: over the cap &lt;script&gt;" in section
    assert cells_section([]) == ""


def test_the_page_of_a_test_piece_escapes_everything() -> None:
    page = GridPage(
        title=HOSTILE,
        settings={"Material": HOSTILE},
        files=[],
        facts=_facts(),
        warnings=[HOSTILE],
        instructions=HOSTILE,
    )
    text = render_grid_page(page).decode()
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") >= 5
