"""The page of a power/speed grid or of a strip that measures the kerf: what was planned, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from kerf.optimizer.v1.optimizer_pb2 import TestCell
from kerf_client.facts import PlanFacts
from kerf_client.page import figure, heading, html_page, table
from kerf_client.plan_page import burn_time_text, checks_section, layers_section, path_section, time_section
from kerf_client.report import DEFAULT_MAX_EMBEDDED_BYTES, ReportFile, files_section, safety_note, warnings_section


@dataclass(frozen=True)
class GridPage:
    """A grid (`cells`) or a strip (`instructions`); `files` are shown, those that are wanted are listed."""

    title: str
    settings: dict[str, str]
    files: list[ReportFile]
    facts: PlanFacts
    warnings: Sequence[str]
    cells: Sequence[TestCell] = ()
    instructions: str = ""


def render_grid_page(page: GridPage) -> bytes:
    """The page as UTF-8."""
    gcode = next((file.data for file in page.files if file.role == "gcode"), b"")
    facts = {**page.settings, "Burn time (estimate)": burn_time_text(page.facts)}
    body = "\n".join(
        [
            heading(page.title, "Burn it, look at it, keep the figures that are right", facts),
            _preview(page),
            _instructions(page.instructions),
            cells_section(page.cells),
            warnings_section(page.warnings),
            safety_note([page.facts]),
            path_section(gcode),
            layers_section(page.facts),
            time_section(page.facts),
            checks_section([page.facts]),
            files_section(file for file in page.files if file.wanted),
            "<footer>Made with kerf. Times are estimates until a machine has run them.</footer>",
        ]
    )
    return html_page(page.title, body)


def _preview(page: GridPage) -> str:
    shown = [
        figure("Burn preview", "", file.artifact, file.data, role=file.role, max_bytes=DEFAULT_MAX_EMBEDDED_BYTES)
        for file in page.files
        if file.role == "preview"
    ]
    return f'<div class="pictures alone">{"".join(shown)}</div>' if shown else ""


def _instructions(text: str) -> str:
    return f'<h2>How to read it</h2><p class="safety">{escape(text)}</p>' if text else ""


def cells_section(cells: Sequence[TestCell]) -> str:
    """Power down, speed across, as on the material: the row with the most power at the top; empty without cells."""
    if not cells:
        return ""
    columns = sorted({cell.column for cell in cells})
    rows = sorted({cell.row for cell in cells}, reverse=True)
    by_place = {(cell.column, cell.row): cell for cell in cells}
    speeds = [next(cell for cell in cells if cell.column == column).speed_mm_per_min for column in columns]
    header = ("Power", *(f"{speed:.5g} mm/min" for speed in speeds))
    body = []
    for row in rows:
        power = next(cell for cell in cells if cell.row == row).power_percent
        body.append((f"<b>{power:.4g} %</b>", *(_cell(by_place.get((column, row))) for column in columns)))
    left_out = dict.fromkeys(cell.left_out for cell in cells if cell.left_out)
    reasons = "".join(f'<p class="dim">Left out: {escape(reason)}</p>' for reason in left_out)
    return "<h2>Cells, J/mm² of one pass</h2>" + table(header, body) + reasons


def _cell(cell: TestCell | None) -> str:
    if cell is None or cell.left_out:
        return '<span class="doubt">left out</span>'
    return f"{cell.energy_j_per_mm2:.3g}"
