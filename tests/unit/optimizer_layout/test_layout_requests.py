"""Text and QR codes as a request asks for them, at both doors' code: from messages to files that were read back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kerf.jobs.v1.job_pb2 import Stage
from kerf.optimizer.v1 import layout_pb2 as layout
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_media import encode_png_gray
from kerf_optimizer.domain.planning import PlannedBurn
from kerf_optimizer.domain.svg import read_svg
from kerf_optimizer.domain.workbench import OptimizerLimits, Workbench
from kerf_optimizer.handler import OptimizerHandler
from kerf_optimizer.messages import read_plan
from layout_fonts import truetype
from memory_stage import TENANT, MemoryStage, MemoryStore

WORKBENCH = Workbench(OptimizerLimits())
SQUARE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="60mm" height="30mm" viewBox="0 0 60 30">'
    b'<path d="M0,0L60,0L60,30L0,30Z"/></svg>'
)


def text(words: str = "KERF", **more: object) -> layout.MadeDrawing:
    return layout.MadeDrawing(text=layout.TextDrawing(text=words, cap_height_mm=5, **more), x_mm=4, y_mm=6)  # type: ignore[arg-type]  # named by the tests


def code(size_mm: float = 25.0, content: str = "https://example.org") -> layout.MadeDrawing:
    return layout.MadeDrawing(qr_code=layout.QrCode(content=content, size_mm=size_mm), x_mm=32, y_mm=2)


def score(**more: int) -> plan.Operation:
    return plan.Operation(kind=plan.OPERATION_KIND_SCORE, **more)  # type: ignore[arg-type]  # named by the tests


def asked(*operations: plan.Operation, drawings: list[layout.MadeDrawing]) -> plan.PlanRequest:
    outputs = [plan.OUTPUT_FORMAT_SVG, plan.OUTPUT_FORMAT_GCODE]
    return plan.PlanRequest(material="birch-3mm", operations=operations, drawings=drawings, outputs=outputs)


def planned(request: plan.PlanRequest, *sources: bytes) -> PlannedBurn:
    validate(request)
    return WORKBENCH.plan(list(sources), read_plan(request), lambda: None)


def refused(request: plan.PlanRequest, *sources: bytes) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        planned(request, *sources)
    return caught.value


def test_text_and_a_code_burn_beside_a_source_at_their_places() -> None:
    operations = [
        score(drawing=0),
        plan.Operation(kind=plan.OPERATION_KIND_ENGRAVE_FILL, drawing=1),
        plan.Operation(kind=plan.OPERATION_KIND_CUT, input=0),
    ]
    burn = planned(asked(*operations, drawings=[text(), code()]), SQUARE)
    drawing = read_svg(burn.files[0].data)
    layers = {name: [p for p in drawing.paths if p.layer == name] for name in drawing.layers()}
    cut = layers["cut"][0].bounds
    letters = [path.bounds for path in layers["score"]]
    assert min(box.min_x_mm for box in letters) - cut.min_x_mm == pytest.approx(4, abs=0.002)
    assert min(box.min_y_mm for box in letters) - cut.min_y_mm == pytest.approx(6, abs=0.002)
    assert max(box.max_y_mm for box in letters) - cut.min_y_mm == pytest.approx(11, abs=0.002)
    module_mm = 25 / 33
    modules = [path.bounds for path in layers["engrave-fill"]]
    assert min(box.min_x_mm for box in modules) - cut.min_x_mm == pytest.approx(32 + 4 * module_mm, abs=0.002)


def test_a_reader_reads_the_code_in_the_picture_of_the_burn() -> None:
    request = asked(plan.Operation(kind=plan.OPERATION_KIND_ENGRAVE_FILL, drawing=0), drawings=[code(size_mm=40.0)])
    request.outputs[:] = [plan.OUTPUT_FORMAT_BURN_PNG]
    picture = cv2.imdecode(np.frombuffer(planned(request).files[0].data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    # The file ends with what burns; the code's free border is the material around it. A camera does not see the gaps
    # between the lines of a hatch.
    framed = cv2.copyMakeBorder(picture, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(255.0,))
    seen = cv2.GaussianBlur(framed, (0, 0), 2)
    words, *_ = cv2.QRCodeDetector().detectAndDecode(seen)
    assert words == "https://example.org"


def test_a_font_may_come_as_a_source_and_is_none_to_burn() -> None:
    request = asked(score(drawing=0), score(input=1), drawings=[text("HAVO", font_input=0)])
    assert planned(request, truetype(), SQUARE).report.burn_length_mm > 180
    error = refused(asked(score(input=0), drawings=[text("H", font_input=0)]), truetype())
    assert "is a font" in error.message


def test_errors_name_the_field_of_the_drawing() -> None:
    for drawing, field, reason in (
        (text("日本"), "drawings[1].text.text", "TEXT_MISSING_GLYPHS"),
        (text(font="Comic"), "drawings[1].text.font", "FONT_UNKNOWN"),
        (text(font_input=3), "drawings[1].text.font_input", "INVALID_FIELD"),
        (text(font_input=0), "drawings[1].text", "FONT_DAMAGED"),
        (code(size_mm=2.5), "drawings[1].qr_code.size_mm", "QR_TOO_SMALL"),
        (code(content="x" * 3500), "drawings[1].qr_code.content", "QR_TOO_LONG"),
    ):
        error = refused(asked(score(drawing=0), drawings=[text(), drawing]), SQUARE)
        assert (error.violations[0].field, error.reason) == (field, reason)


def test_operations_that_name_what_is_not_there_are_refused() -> None:
    assert refused(asked(score(drawing=1), drawings=[text()])).violations[0].field == "operations[0].drawing"
    assert refused(asked(score(input=1), drawings=[text()]), SQUARE).violations[0].field == "operations[0].input"
    wrong_kind = asked(plan.Operation(kind=plan.OPERATION_KIND_ENGRAVE_RASTER, drawing=0), drawings=[text()])
    assert refused(wrong_kind).violations[0].field == "operations[0].kind"


def test_the_contract_refuses_what_is_out_of_range() -> None:
    for drawing in (
        layout.MadeDrawing(),
        text(""),
        layout.MadeDrawing(text=layout.TextDrawing(text="A", cap_height_mm=0.1)),
        layout.MadeDrawing(qr_code=layout.QrCode(content="a", size_mm=float("inf"))),
        layout.MadeDrawing(qr_code=layout.QrCode(content="a", size_mm=20), x_mm=-1),
    ):
        with pytest.raises(InvalidArgument, match="drawings"):
            validate(asked(score(drawing=0), drawings=[drawing]))


def test_a_codes_warning_reaches_the_report() -> None:
    burn = planned(asked(score(drawing=0), drawings=[code(size_mm=9.0)]))
    assert any("narrower than 4 spots" in warning for warning in burn.report.warnings)


async def test_a_stage_may_have_drawings_only_or_a_font_for_all_its_items() -> None:
    handler = OptimizerHandler(WORKBENCH)
    request = asked(score(drawing=0), drawings=[text()])
    result = await handler.run(MemoryStage(Stage(id="plan", plan=request), [], MemoryStore()))
    assert [output.labels["role"] for output in result.outputs] == ["svg", "gcode"]
    store = MemoryStore()
    font = await store.put(TENANT, truetype(), "font/ttf")
    sheets = [await store.put(TENANT, SQUARE.replace(b"30Z", bigger), "image/svg+xml") for bigger in (b"30Z", b"29Z")]
    request = asked(score(drawing=0), score(input=1), drawings=[text("H", font_input=0)])
    result = await handler.run(MemoryStage(Stage(id="plan", plan=request), [[font], sheets], store))
    assert [output.labels["item"] for output in result.outputs] == ["0", "0", "1", "1"]
    assert result.versions["segno"] == "1.6.6"


def test_a_picture_beside_drawings_is_read_as_before() -> None:
    picture = encode_png_gray(np.full((20, 20), 0, dtype=np.uint8), 10_000)
    error = refused(asked(score(input=0), score(drawing=0), drawings=[text()]), picture)
    assert error.violations[0].field == "operations[0].kind"
