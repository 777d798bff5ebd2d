"""What a LightBurn project cannot say is said to the operator."""

from __future__ import annotations

import dataclasses

import pytest

from kerf_optimizer.domain.machine.lightburn import lightburn_remarks
from kerf_optimizer.domain.machine.work import GreyMeaning
from kerf_optimizer.domain.planning import Operation, OutputFormat, Placement, PlanSpec, plan_burn
from plan_samples import RASTER, never_cancelled, sample_work, spots

LAYERS = {layer.name: layer for layer in sample_work().layers}
RASTER_LAYER, CUT_LAYER = LAYERS["engrave-raster"], LAYERS["cut"]


@pytest.mark.parametrize(
    ("grey", "says"),
    [
        (None, "set layer engrave-raster to Pass-Through"),
        (GreyMeaning.POWER, "set layer engrave-raster to Grayscale"),
        (GreyMeaning.DEPTH, "does not hold the depths of layer engrave-raster"),
    ],
)
def test_the_image_mode_is_told(grey: GreyMeaning | None, says: str) -> None:
    (remark,) = lightburn_remarks([dataclasses.replace(RASTER_LAYER, grey=grey), CUT_LAYER])
    assert says in remark


def test_steps_of_z_are_told_and_drawings_need_no_remark() -> None:
    (remark,) = lightburn_remarks([dataclasses.replace(CUT_LAYER, z_step_mm=0.5)])
    assert "layer cut needs a step of 0.5 mm per pass" in remark
    assert lightburn_remarks([CUT_LAYER]) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_sheet_and_report_tell_it_where_the_file_was_asked_for(wanted: bool) -> None:
    outputs = (OutputFormat.JOB_SHEET, *((OutputFormat.LBRN2,) if wanted else ()))
    place = Placement(offset_x_mm=50, offset_y_mm=50)
    spec = PlanSpec("birch-3mm", (Operation(0, RASTER),), placement=place, outputs=outputs)
    burn = plan_burn(spec, [spots()], never_cancelled)
    sheet = next(file.data for file in burn.files if file.format is OutputFormat.JOB_SHEET)
    assert (b"says no image mode" in sheet) is wanted
    assert any("says no image mode" in warning for warning in burn.report.warnings) is wanted
