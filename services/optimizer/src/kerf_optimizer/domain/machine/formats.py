"""The files that kerf makes of a placed work."""

from __future__ import annotations

from enum import Enum


class OutputFormat(Enum):
    """A file to make."""

    GCODE = "gcode"
    SVG = "svg"
    DXF = "dxf"
    PREVIEW_PNG = "preview-png"
    JOB_SHEET = "job-sheet"
    PDF = "pdf"
    LBRN2 = "lbrn2"
    BURN_PNG = "burn-png"
    REPORT_JSON = "report-json"
    FRAME_GCODE = "frame-gcode"

    @property
    def filename(self) -> str:
        """Name of the file."""
        return _FILES[self][0]

    @property
    def media_type(self) -> str:
        """Media type of the file."""
        return _FILES[self][1]


_FILES = {
    OutputFormat.GCODE: ("plan.gcode", "text/x-gcode"),
    OutputFormat.SVG: ("plan.svg", "image/svg+xml"),
    OutputFormat.DXF: ("plan.dxf", "image/vnd.dxf"),
    OutputFormat.PREVIEW_PNG: ("plan-preview.png", "image/png"),
    OutputFormat.JOB_SHEET: ("job-sheet.html", "text/html"),
    OutputFormat.PDF: ("plan.pdf", "application/pdf"),
    OutputFormat.LBRN2: ("plan.lbrn2", "application/xml"),
    OutputFormat.BURN_PNG: ("plan-burn.png", "image/png"),
    OutputFormat.REPORT_JSON: ("plan-report.json", "application/json"),
    OutputFormat.FRAME_GCODE: ("frame.gcode", "text/x-gcode"),
}
USUAL_FORMATS = tuple(OutputFormat)[:5]
"""What is made where nobody says what to make."""
