"""DXF, SVG, preview, job sheet and presets: read by others, and their own checks can fail."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import pytest
from ezdxf.entities.lwpolyline import LWPolyline
from ezdxf.filemanagement import read
from svgelements import SVG, Path

from kerf_core.errors import Internal, InvalidArgument, NotFound
from kerf_optimizer.domain.machine.dxf import check_dxf, write_dxf
from kerf_optimizer.domain.machine.gcode import safe_text
from kerf_optimizer.domain.machine.job_sheet import check_job_sheet, write_job_sheet
from kerf_optimizer.domain.machine.layered_svg import check_layered_svg, write_layered_svg
from kerf_optimizer.domain.machine.preview import check_preview, draw_preview
from kerf_optimizer.domain.planning import OperationKind, OutputFormat
from kerf_optimizer.domain.presets import get_preset, list_presets, machines, materials, read_catalogue
from plan_samples import sample_plan, sample_work

WORK = sample_work()


def test_dxf_opens_with_layers_in_millimetres() -> None:
    document = read(io.StringIO(write_dxf(WORK.layers).decode("utf-8")))
    assert document.header["$INSUNITS"] == 4
    assert document.dxfversion == "AC1024"
    assert {layer.name for layer in WORK.layers} <= {layer.dxf.name for layer in document.layers}
    found = document.modelspace().query('LWPOLYLINE[layer=="cut"]')
    lines = [line for line in found if isinstance(line, LWPolyline)]
    assert sorted(bool(line.closed) for line in lines) == [False, True, True]
    corners = np.array([point[:2] for point in lines[0].get_points("xy")])
    assert corners.min(axis=0).tolist() == [15.0, 15.0]
    assert corners.max(axis=0).tolist() == [35.0, 35.0]


def test_dxf_check_fails_where_a_path_moved_or_a_layer_lacks() -> None:
    data = write_dxf(WORK.layers)
    assert "9 paths on 4 layers" in check_dxf(data, WORK.layers)
    with pytest.raises(Internal):
        check_dxf(data.replace(b"35.0", b"35.1"), WORK.layers)
    with pytest.raises(Internal):
        check_dxf(write_dxf(WORK.layers[:-1]), WORK.layers)


def test_svg_is_true_size_for_another_reader() -> None:
    data = write_layered_svg(WORK.layers, WORK.machine, "<&>")
    drawing = SVG.parse(io.BytesIO(data), ppi=25.4)
    cuts = [element for element in drawing.elements() if isinstance(element, Path) and str(element.stroke) == "#ff0000"]
    assert cuts[0].bbox() == pytest.approx((15.0, 365.0, 35.0, 385.0))


def test_svg_check_fails_where_something_differs() -> None:
    data = write_layered_svg(WORK.layers, WORK.machine, "x")
    assert "2 picture" not in check_layered_svg(data, WORK.layers, WORK.machine)
    for old, new in ((b"35.000", b"35.100"), (b'width="400mm"', b'width="400"'), (b'id="cut"', b'id="kut"')):
        assert old in data
        with pytest.raises(Internal):
            check_layered_svg(data.replace(old, new), WORK.layers, WORK.machine)
    raster = dataclasses.replace(WORK.layers[0].rasters[0], burn=~WORK.layers[0].rasters[0].burn)
    layers = (dataclasses.replace(WORK.layers[0], rasters=(raster,)), *WORK.layers[1:])
    with pytest.raises(Internal):
        check_layered_svg(data, layers, WORK.machine)


def test_preview_shows_cuts_in_red_at_the_size_of_the_bed_panel() -> None:
    data = draw_preview(WORK, 100.0)
    check_preview(data)
    picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    close = picture[:, :1090].astype(np.int64)
    red = (close[..., 2] > 180) & (close[..., 1] < 90) & (close[..., 0] < 90)
    columns, rows = np.flatnonzero(red.any(axis=0)), np.flatnonzero(red.any(axis=1))
    assert np.ptp(columns) == pytest.approx(np.ptp(rows), abs=3)  # the square of 20 mm stays square
    assert np.ptp(columns) > 300


def test_preview_check_fails_for_a_blank_picture() -> None:
    blank = cv2.imencode(".png", np.full((1080, 1600, 3), 255, dtype=np.uint8))[1]
    with pytest.raises(Internal):
        check_preview(bytes(blank))
    with pytest.raises(Internal):
        check_preview(b"no picture")


def test_job_sheet_says_what_matters_and_its_check_can_fail() -> None:
    preview = draw_preview(WORK, 100.0)
    sheet = write_job_sheet(WORK, 100.0, preview)
    check_job_sheet(sheet, WORK, preview)
    text = sheet.decode("utf-8")
    for needed in ("1 min 40 s", "$32=1", "unverified", "S350", "birch-3mm", "Glue pockets"):
        assert needed in text
    for old, new in (
        (b"$32=1", b"$32=0"),
        (b"<h1>", b'<h1><script src="x"></script>'),
        (b"base64,iVBOR", b"base64,iVBOS"),
    ):
        assert old in sheet
        with pytest.raises(Internal):
            check_job_sheet(sheet.replace(old, new), WORK, preview)


def test_files_carry_no_time_and_the_gcode_is_plain() -> None:
    by_format = {file.format: file.data for file in sample_plan("Früh~?!(%$\n").files}
    gcode = by_format[OutputFormat.GCODE].decode("ascii")
    assert "; title: Fr_h______\n" in gcode
    assert max(len(line) for line in gcode.splitlines()) <= 79
    assert safe_text("a" * 100) == "a" * 60


def test_presets_are_named_and_listed_in_order() -> None:
    names = [preset.name for preset in list_presets()]
    assert names == sorted(names)
    assert get_preset("grbl-diode-10w/birch-3mm/cut").kind is OperationKind.CUT
    assert all(not preset.verified and preset.source for preset in list_presets())
    assert {preset.machine for preset in list_presets(machine="grbl-co2-40w")} == {"grbl-co2-40w"}
    assert list_presets("grbl-diode-10w", "acrylic-clear-3mm") == []
    assert list_presets(material="pvc") == []
    with pytest.raises(NotFound):
        get_preset("a/b/c")
    with pytest.raises(InvalidArgument):
        list_presets(material="cheese")
    with pytest.raises(InvalidArgument):
        list_presets(machine="lathe")


def test_every_allowed_material_works_on_some_machine_and_blocked_ones_say_why() -> None:
    for material in materials():
        if material.blocked_reason:
            assert len(material.blocked_reason) > 20
            continue
        assert material.cap_pass_j_per_mm2 > 0
        assert list_presets(material=material.name)
        for machine in machines():
            if material.unsuited_reason(machine.wavelength_nm):
                assert not list_presets(machine.name, material.name)


@pytest.mark.parametrize(
    "row",
    [
        ["diode-10w", "pvc", "cut", 10, 3000, 1, 0],
        ["diode-10w", "acrylic-clear-3mm", "cut", 10, 3000, 1, 0],
        ["diode-10w", "paper", "cut", 100, 100, 1, 0],
        ["diode-10w", "paper", "cut", 10, 7000, 1, 0],
    ],
)
def test_a_catalogue_with_a_dangerous_preset_is_refused(row: list[Any]) -> None:
    text = files("kerf_optimizer.domain.presets").joinpath("catalogue.json").read_text(encoding="utf-8")
    data = json.loads(text)
    read_catalogue(copy.deepcopy(data))
    data["presets"].append(row)
    with pytest.raises(ValueError, match=r"paper|pvc|acrylic"):
        read_catalogue(data)
