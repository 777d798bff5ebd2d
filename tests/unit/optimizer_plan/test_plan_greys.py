"""Pictures whose greys mean something: power for each pixel, and reliefs, read by controllers of the tests' own."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import Internal, InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.geometry import Raster
from kerf_optimizer.domain.machine import lightburn, pdf_reader
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.layered_svg import check_layered_svg, write_layered_svg
from kerf_optimizer.domain.machine.pdf import write_pdf
from kerf_optimizer.domain.machine.preview import draw_preview
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.planning import (
    GreyMeaning,
    Operation,
    OutputFormat,
    Placement,
    PlanLimits,
    PlanSpec,
    ScanStyle,
    plan_burn,
)
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import Dialect, get_preset, machine_profile
from kerf_optimizer.domain.raster import PowerRange, RasterMode, RasterSettings
from kerf_optimizer.domain.workbench import OptimizerLimits, Workbench
from kerf_optimizer.messages import read_plan
from plan_controllers import controller
from plan_samples import CUT, FILL, RASTER, never_cancelled, spots, washer

POWER, DEPTH = GreyMeaning.POWER, GreyMeaning.DEPTH
PITCH_MM = 0.25
ROOM = Placement(offset_x_mm=60, offset_y_mm=60)
WORKBENCH = Workbench(OptimizerLimits())
MACHINES = {
    "grbl-diode-10w": Dialect.GRBL_M4,
    "marlin-diode-10w": Dialect.MARLIN_INLINE,
    "smoothie-diode-10w": Dialect.SMOOTHIEWARE,
}
Powers = NDArray[np.uint8]


def power_raster(power: Powers) -> Raster:
    return Raster(power > 0, PITCH_MM, power)


def ramp(rows: int = 6, columns: int = 40) -> Powers:
    """Every fourth column is white, the others rise in power."""
    steps = np.linspace(1, 255, columns).astype(np.uint8)
    steps[::4] = 0
    return np.tile(steps, (rows, 1))


def spec_of(operation: Operation, machine: str = "", placement: Placement = ROOM) -> PlanSpec:
    return PlanSpec("birch-3mm", (operation,), machine, placement, outputs=(OutputFormat.GCODE,))


def work_of(source: Raster, operation: Operation) -> Work:
    return build_work(spec_of(operation), [source], never_cancelled, PlanLimits())


def painted(text: str, machine: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Per pixel, row 0 at the back, the S of each stroke added up; strokes are walked pixel by pixel."""
    profile = machine_profile(machine)
    runs = controller(MACHINES[machine], profile.s_max)
    out = np.zeros(shape)
    for x0, y0, x1, y1, share in runs.run(text):
        ends = np.array([[x0, y0], [x1, y1]])
        count = round(float(np.abs(ends[1] - ends[0]).max()) / PITCH_MM)
        for k in range(count):
            x, y = ends[0] + (ends[1] - ends[0]) * (k + 0.5) / count
            column, row = math.floor((x - 60) / PITCH_MM), math.floor((y - 60) / PITCH_MM)
            assert 0 <= column < shape[1]
            assert 0 <= row < shape[0]
            out[shape[0] - 1 - row, column] += share * profile.s_max
    assert not runs.travel_power
    return out


def meant_s(power: Powers, s_value: int) -> NDArray[np.float64]:
    """S by hand: in proportion, rounded, and at least 1 where anything burns."""
    return np.array([[max(1, math.floor(p * s_value / 255 + 0.5)) if p else 0 for p in row] for row in power.tolist()])


@pytest.mark.parametrize("machine", MACHINES)
def test_a_power_map_of_optimize_burns_with_the_power_of_each_pixel(machine: str) -> None:
    photo = io.BytesIO()
    grey = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (24, 1))
    grey[:, 20:30] = 255
    Image.fromarray(grey).save(photo, "PNG")
    asked = RasterSettings(RasterMode.POWER_MAP, PhysicalSize(width_mm=15, dpi=101.6), power=PowerRange(20, 100, 9))
    made = WORKBENCH.optimize(photo.getvalue(), asked, never_cancelled)
    request = plan.PlanRequest(
        machine=machine,
        material="birch-3mm",
        operations=[plan.Operation(kind=plan.OPERATION_KIND_ENGRAVE_RASTER, grey=plan.GREY_MEANING_POWER)],
        placement=plan.Placement(offset_x_mm=60, offset_y_mm=60),
    )
    validate(request)
    burn = WORKBENCH.plan([made.png], read_plan(request), never_cancelled)
    shown = np.asarray(Image.open(io.BytesIO(made.png)).convert("L"))
    power = (255 - shown).astype(np.uint8)
    assert len(np.unique(power)) == 9
    s_value = round(
        get_preset(f"{machine}/birch-3mm/engrave-raster").power_percent / 100 * machine_profile(machine).s_max
    )
    found = painted(burn.files[0].data.decode("ascii"), machine, power.shape)
    assert found == pytest.approx(meant_s(power, s_value))
    detail = {check.name: check.detail for check in burn.report.checks}["geometry:engrave-raster"]
    assert "the power of every pixel equal" in detail


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 90, 91, 255])),
    st.sampled_from([0.0, 90.0, 180.0, -90.0]),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([POWER, DEPTH]),
)
def test_any_powers_burn_pixel_by_pixel(
    power: Powers, angle_deg: float, one_way: bool, passes: int, grey: GreyMeaning
) -> None:
    if not power.max() > 200:
        power[0, 0] = 255
    passes += grey is DEPTH
    scan = ScanStyle(angle_deg, both_ways=not one_way)
    operation = Operation(0, RASTER, power_percent=10, passes=passes, scan=scan, grey=grey)
    burn = plan_burn(spec_of(operation), [power_raster(power)], never_cancelled)
    found = painted(burn.files[0].data.decode("ascii"), "grbl-diode-10w", power.shape)
    depth = np.floor(power.astype(np.float64) * passes / 255 + 0.5)
    assert found == pytest.approx(meant_s(power, 100) * passes if grey is POWER else depth * 100)


def test_a_picture_with_powers_turns_and_mirrors_with_the_sheet() -> None:
    power = np.array([[255, 0, 10], [0, 60, 130]], dtype=np.uint8)
    turned = dataclasses.replace(ROOM, rotation_deg=90, mirror=True)
    spec = spec_of(Operation(0, RASTER, power_percent=10, grey=POWER), placement=turned)
    burn = plan_burn(spec, [power_raster(power)], never_cancelled)
    found = painted(burn.files[0].data.decode("ascii"), "grbl-diode-10w", (3, 2))
    assert found == pytest.approx(meant_s(np.rot90(np.fliplr(power)), 100))


def test_neighbours_of_one_power_are_one_move_and_the_beam_stays_on_between_powers() -> None:
    power = np.array([[100, 101, 200, 200, 0, 50]], dtype=np.uint8)  # of 20 steps 100 and 101 are both 8
    work = work_of(power_raster(power), Operation(0, RASTER, power_percent=2, grey=POWER))
    assert [s for s in work.toolpath.s.tolist() if s] == [8, 16, 4]
    assert work.toolpath.s.tolist()[2:6] == [8, 16, 0, 4]


def test_a_wrong_power_is_found_by_the_read_back() -> None:
    power = ramp()
    work = work_of(power_raster(power), Operation(0, RASTER, passes=2, grey=POWER))
    gcode = write_gcode(work, 1.0)
    assert check_gcode(gcode, work)
    other = power.copy()
    other[2, 39] = 200
    layer = work.layers[0]
    wrong = dataclasses.replace(layer.rasters[0], power=other)
    with pytest.raises(Internal, match="the burnt pixels are not the picture's"):
        check_gcode(gcode, dataclasses.replace(work, layers=(dataclasses.replace(layer, rasters=(wrong,)),)))
    # One pass stronger and one weaker by as much: their sum is right, and still it is found.
    s = work.toolpath.s.copy()
    half = (len(s) - 1) // 2
    first = int(np.argmax(s[:half] > 5))
    s[first], s[half + first] = s[first] + 3, s[half + first] - 3
    planted = dataclasses.replace(work, toolpath=dataclasses.replace(work.toolpath, s=s))
    with pytest.raises(Internal, match="the burnt pixels are not the picture's"):
        check_gcode(write_gcode(planted, 1.0), planted)


def test_a_reliefs_slices_burn_as_operations_and_as_depths_alike() -> None:
    """Three slices, each an operation on its own picture, burn what three passes of one picture of depths burn."""
    power = ramp(4, 12)
    depth = np.floor(power.astype(np.float64) * 3 / 255 + 0.5)
    slices = [Raster(depth > number, PITCH_MM) for number in range(3)]
    operations = tuple(Operation(number, RASTER, power_percent=10, passes=1) for number in range(3))
    by_slices = plan_burn(PlanSpec("birch-3mm", operations, "", ROOM), slices, never_cancelled)
    by_depth = plan_burn(
        spec_of(Operation(0, RASTER, power_percent=10, passes=3, grey=DEPTH)), [power_raster(power)], never_cancelled
    )
    one, other = (painted(b.files[0].data.decode("ascii"), "grbl-diode-10w", (4, 12)) for b in (by_slices, by_depth))
    assert one == pytest.approx(other)
    assert other == pytest.approx(depth * 100)


@pytest.mark.parametrize(
    "operation,field,reason",
    [
        (Operation(0, RASTER), "operations[0].grey", "INVALID_FIELD"),
        (Operation(1, CUT, grey=POWER), "operations[0].grey", "INVALID_FIELD"),
        (Operation(1, FILL, grey=DEPTH), "operations[0].grey", "INVALID_FIELD"),
        (Operation(0, RASTER, passes=1, grey=DEPTH), "operations[0].passes", "INVALID_FIELD"),
    ],
)
def test_greys_that_mean_nothing_are_refused(operation: Operation, field: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(spec_of(operation), [power_raster(ramp()), washer()], never_cancelled)
    assert ([violation.field for violation in caught.value.violations], caught.value.reason) == ([field], reason)


def test_a_controller_that_stops_at_each_power_is_refused_and_may_still_burn_a_relief() -> None:
    machine = dataclasses.replace(
        machine_profile("grbl-diode-10w"),
        dialect=Dialect.GRBL_NO_LASER_MODE,
        required_settings=("$30=1000", "$31=0", "$32=0"),
    )
    preset = get_preset("grbl-diode-10w/birch-3mm/engrave-raster")
    for grey in (POWER, DEPTH):
        asked = spec_of(Operation(0, RASTER, passes=2, power_percent=5, grey=grey))
        asked = dataclasses.replace(asked, profile=machine, presets=(preset,))
        if grey is DEPTH:
            assert plan_burn(asked, [power_raster(ramp())], never_cancelled).files
            continue
        with pytest.raises(InvalidArgument) as caught:
            plan_burn(asked, [power_raster(ramp())], never_cancelled)
        assert caught.value.reason == "POWER_PER_PIXEL_UNSUPPORTED"


def _png(pixels: NDArray[np.uint8], dpi: float | None) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **({} if dpi is None else {"dpi": (dpi, dpi)}))
    return out.getvalue()


GREY_PICTURE = np.full((4, 4), 128, dtype=np.uint8)


@pytest.mark.parametrize(
    "data,grey,message",
    [
        (_png(GREY_PICTURE, 254), None, "colours or greys"),
        (_png(np.dstack([GREY_PICTURE, GREY_PICTURE, GREY_PICTURE + 1]), 254), POWER, "has colours"),
        (_png(np.dstack([GREY_PICTURE] * 4), 254), POWER, "transparent|colours"),
        (_png(GREY_PICTURE, None), POWER, "does not say how large"),
    ],
)
def test_pictures_that_are_no_power_maps_are_refused(data: bytes, grey: GreyMeaning | None, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        WORKBENCH.plan([data], spec_of(Operation(0, RASTER, grey=grey)), never_cancelled)
    assert caught.value.reason == "NOT_A_RASTER"


def test_a_raster_whose_power_and_burn_contradict_each_other_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Raster(np.ones((1, 2), dtype=np.bool_), 0.1, np.array([[0, 9]], dtype=np.uint8))
    assert caught.value.reason == "BAD_RASTER"


DRAWN: dict[str, tuple[Callable[[Work], bytes], Callable[[bytes, Work], object]]] = {
    "svg": (
        lambda work: write_layered_svg(work.layers, work.machine, "x"),
        lambda data, work: check_layered_svg(data, work.layers, work.machine),
    ),
    "pdf": (
        lambda work: write_pdf(work.layers, work.machine, "x"),
        lambda data, work: pdf_reader.check_pdf(data, work.layers, work.machine),
    ),
    "lbrn2": (
        lambda work: lightburn.write_lightburn(work.layers, work.machine),
        lambda data, work: lightburn.check_lightburn(data, work.layers),
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_drawings_hold_the_greys_and_their_read_back_tells_one_pixel(name: str) -> None:
    write, check = DRAWN[name]
    work = work_of(power_raster(ramp()), Operation(0, RASTER, grey=POWER))
    data = write(work)
    assert check(data, work)
    power = ramp()
    power[3, 7] += 1
    raster = dataclasses.replace(work.layers[0].rasters[0], power=power)
    other = dataclasses.replace(work, layers=(dataclasses.replace(work.layers[0], rasters=(raster,)),))
    with pytest.raises(Internal, match="other pixels"):
        check(data, other)
    assert write(other) != data


@pytest.mark.parametrize("angle_deg", [0.0, 90.0])
@pytest.mark.parametrize("grey", [POWER, DEPTH])
def test_the_preview_shows_less_power_and_less_depth_lighter(grey: GreyMeaning, angle_deg: float) -> None:
    power = np.repeat(np.array([[255, 128, 64]], dtype=np.uint8), 40, axis=1).repeat(40, axis=0)
    # Slow, so that the head hardly runs past the picture and what is not paper is what burns.
    passes = 4 if grey is DEPTH else 1
    operation = Operation(0, RASTER, "", 10, 600, passes, scan=ScanStyle(angle_deg), grey=grey)
    work = work_of(power_raster(power), operation)
    picture = cv2.imdecode(np.frombuffer(draw_preview(work, 1.0), dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    close = picture[400:700, 30:1070].astype(np.float64)
    paper = close.max()
    columns = np.flatnonzero((close < paper - 5).any(axis=0))
    dark = [paper - close[:, part].mean() for part in np.array_split(columns, 3)]
    assert dark[1] / dark[0] == pytest.approx(0.5, abs=0.1)
    assert dark[2] / dark[0] == pytest.approx(0.25, abs=0.1)


def test_light_greys_under_what_the_source_can_do_are_told() -> None:
    machine = dataclasses.replace(machine_profile("grbl-diode-10w"), min_power_percent=5.0)
    asked = spec_of(Operation(0, RASTER, power_percent=20, grey=POWER))
    own = dataclasses.replace(asked, profile=machine, presets=(get_preset("grbl-diode-10w/birch-3mm/engrave-raster"),))
    report = plan_burn(own, [power_raster(ramp())], never_cancelled).report
    assert any("does not burn reliably" in warning for warning in report.warnings)
    strong = np.maximum(ramp(), 200)
    assert not any("reliably" in w for w in plan_burn(own, [power_raster(strong)], never_cancelled).report.warnings)


def test_a_black_and_white_picture_burns_alike_with_and_without_greys() -> None:
    plain, mapped = (
        plan_burn(spec_of(Operation(0, RASTER, grey=grey)), [spots()], never_cancelled) for grey in (None, POWER)
    )
    strokes = [plan.files[0].data.split(b"\nM4 S0\n")[1] for plan in (plain, mapped)]
    assert strokes[0] == strokes[1]
