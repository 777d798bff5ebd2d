"""Messages about drawings that kerf makes itself, about nesting and the rotary, to the domain's types."""

from __future__ import annotations

from kerf.optimizer.v1 import layout_pb2 as layout
from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.drawings import MadeDrawing, TextDrawing
from kerf_optimizer.domain.lettering import Alignment, TextStyle
from kerf_optimizer.domain.nesting import NestedPart, Nesting
from kerf_optimizer.domain.qr_code import QUIET_MODULES, Correction, QrCode
from kerf_optimizer.domain.rotary import Rotary

_ALIGNMENTS = {
    layout.TEXT_ALIGNMENT_UNSPECIFIED: Alignment.LEFT,
    layout.TEXT_ALIGNMENT_LEFT: Alignment.LEFT,
    layout.TEXT_ALIGNMENT_CENTER: Alignment.CENTER,
    layout.TEXT_ALIGNMENT_RIGHT: Alignment.RIGHT,
}
_CORRECTIONS = {
    layout.QR_CORRECTION_UNSPECIFIED: Correction.MEDIUM,
    layout.QR_CORRECTION_LOW: Correction.LOW,
    layout.QR_CORRECTION_MEDIUM: Correction.MEDIUM,
    layout.QR_CORRECTION_QUARTILE: Correction.QUARTILE,
    layout.QR_CORRECTION_HIGH: Correction.HIGH,
}


def read_drawing(index: int, message: layout.MadeDrawing) -> MadeDrawing:
    """The domain's form of a drawing. Raises InvalidArgument where it does not say what to draw."""
    match message.WhichOneof("what"):
        case "text":
            return MadeDrawing(_read_text(message.text), message.x_mm, message.y_mm)
        case "qr_code":
            return MadeDrawing(_read_qr_code(message.qr_code), message.x_mm, message.y_mm)
        case _:
            raise InvalidArgument.of_field(f"drawings[{index}].what", "say what to draw: text or a QR code.")


def read_nesting(message: layout.Nesting) -> Nesting:
    """The domain's form of a nesting."""
    return Nesting(
        sheet_width_mm=message.sheet_width_mm,
        sheet_height_mm=message.sheet_height_mm,
        parts=tuple(
            NestedPart(tuple(part.inputs), part.copies or 1, part.name, tuple(part.drawings)) for part in message.parts
        ),
        gap_mm=message.gap_mm,
        margin_mm=message.margin_mm,
        rotation_step_deg=message.rotation_step_deg,
        leave_out=message.leave_out,
    )


def read_rotary(message: layout.Rotary) -> Rotary:
    """The domain's form of a rotary."""
    return Rotary(message.diameter_mm, message.steps_per_turn)


def _read_text(message: layout.TextDrawing) -> TextDrawing:
    return TextDrawing(
        text=message.text,
        style=TextStyle(
            cap_height_mm=message.cap_height_mm,
            alignment=_ALIGNMENTS[message.alignment],
            letter_spacing_mm=message.letter_spacing_mm,
            line_spacing=message.line_spacing or 1.0,
            tolerance_mm=message.tolerance_mm or 0.01,
        ),
        font=message.font,
        font_input=message.font_input if message.HasField("font_input") else None,
    )


def _read_qr_code(message: layout.QrCode) -> QrCode:
    return QrCode(
        content=message.content,
        size_mm=message.size_mm,
        correction=_CORRECTIONS[message.correction],
        quiet_modules=message.quiet_modules if message.HasField("quiet_modules") else QUIET_MODULES,
        light_burns=message.light_burns,
    )
