"""Files that a person can ask for, and what the planner is asked for to make them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from kerf.optimizer.v1.plan_pb2 import OutputFormat


class FileFormat(Enum):
    """Files that a person can ask for."""

    SVG = "svg"
    GCODE = "gcode"
    DXF = "dxf"
    PNG = "png"
    PREVIEW = "preview"
    PDF = "pdf"
    LBRN2 = "lbrn2"
    BURN = "burn"
    FRAME = "frame"
    REPORT = "report"


DEFAULT_FORMATS = frozenset({FileFormat.SVG, FileFormat.GCODE, FileFormat.DXF, FileFormat.PNG, FileFormat.PREVIEW})
"""What is written where nobody chose."""

ALL_FORMATS = ",".join(each.value for each in FileFormat)

_OUTPUTS = {
    FileFormat.GCODE: OutputFormat.OUTPUT_FORMAT_GCODE,
    FileFormat.SVG: OutputFormat.OUTPUT_FORMAT_SVG,
    FileFormat.DXF: OutputFormat.OUTPUT_FORMAT_DXF,
    FileFormat.PDF: OutputFormat.OUTPUT_FORMAT_PDF,
    FileFormat.LBRN2: OutputFormat.OUTPUT_FORMAT_LBRN2,
    FileFormat.BURN: OutputFormat.OUTPUT_FORMAT_BURN_PNG,
    FileFormat.FRAME: OutputFormat.OUTPUT_FORMAT_FRAME_GCODE,
}
_ALWAYS = (
    OutputFormat.OUTPUT_FORMAT_GCODE,
    OutputFormat.OUTPUT_FORMAT_PREVIEW_PNG,
    OutputFormat.OUTPUT_FORMAT_JOB_SHEET,
    OutputFormat.OUTPUT_FORMAT_REPORT_JSON,
)
"""The page shows the preview, draws the path from the G-code and takes its tables from the report; the sheet is for
the operator. Whether they are written too is another matter."""


def plan_outputs(formats: Collection[FileFormat]) -> list[OutputFormat.ValueType]:
    """What the planner must make for these formats and for the page that shows them."""
    return list(dict.fromkeys([*(output for each, output in _OUTPUTS.items() if each in formats), *_ALWAYS]))
