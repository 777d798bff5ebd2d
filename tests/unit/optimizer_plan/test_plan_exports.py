"""Every vector format says the same as the plan, to whoever reads it; and each file's own check can fail."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable

import cv2
import defusedxml.ElementTree
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from kerf_core.errors import Internal, InvalidArgument
from kerf_media import decode_picture
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.burn_picture import check_burn_picture, draw_burn, machine_pitch_mm
from kerf_optimizer.domain.machine.dxf import check_dxf, write_dxf
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.machine.frame import check_frame, write_frame
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.layered_svg import check_layered_svg, write_layered_svg
from kerf_optimizer.domain.machine.lightburn import check_lightburn, write_lightburn
from kerf_optimizer.domain.machine.outputs import MadeFile, OutputOptions, Proof, make_outputs
from kerf_optimizer.domain.machine.pdf import write_pdf
from kerf_optimizer.domain.machine.pdf_reader import check_pdf
from kerf_optimizer.domain.machine.timing import estimate_time
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import Operation, Placement, PlanLimits, PlanSpec
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.presets import AirAssist, Dialect, MachineProfile, required_settings
from plan_controllers import controller
from plan_readers import read_dxf, read_gcode, read_lbrn2, read_pdf, read_svg
from plan_samples import CUT, SCORE, never_cancelled, sample_work

WORK = sample_work()
Vectors = NDArray[np.float64]
FORMATS: dict[str, tuple[Callable[[Work], bytes], Callable[[bytes, MachineProfile], list[Vectors]]]] = {
    "gcode": (lambda work: write_gcode(work, 1.0), read_gcode),
    "svg": (lambda work: write_layered_svg(work.layers, work.machine, work.title), read_svg),
    "dxf": (lambda work: write_dxf(work.layers), read_dxf),
    "pdf": (lambda work: write_pdf(work.layers, work.machine, work.title), read_pdf),
    "lbrn2": (lambda work: write_lightburn(work.layers, work.machine), read_lbrn2),
}


def random_drawing(seed: int) -> Drawing:
    """Some polygons, circles and open lines on a sheet of random size."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(20, 180, 2)
    width_mm, height_mm = size.tolist()

    def blob() -> Path:
        corners = int(rng.integers(3, 60))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(0.05, 0.45) * size.min() * rng.uniform(0.3, 1.0, corners)
        middle = 0.5 * size
        points = middle + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return path_of(points, closed=True)

    def line() -> Path:
        return path_of(rng.uniform(0.01, 0.99, (int(rng.integers(2, 9)), 2)) * size, closed=False)

    makers = [blob, line]
    return Drawing(width_mm, height_mm, tuple(makers[int(k)]() for k in rng.integers(0, 2, int(rng.integers(1, 7)))))


def lines_of(polylines: list[Vectors]) -> shapely.MultiLineString:
    return shapely.MultiLineString([polyline.tolist() for polyline in polylines])


@pytest.mark.parametrize("seed", range(100))
def test_every_vector_format_holds_the_drawing(seed: int) -> None:
    """Hausdorff distance at most 0.02 mm and size within 0.01 mm, read by others, in a dialect that changes."""
    placement = Placement(offset_x_mm=10, offset_y_mm=5, rotation_deg=float(seed * 7 % 360), mirror=seed % 2 == 1)
    spec = PlanSpec("birch-3mm", (Operation(0, CUT if seed % 3 else SCORE, passes=1),), placement=placement)
    work = build_work(spec, [random_drawing(seed)], never_cancelled, PlanLimits())
    dialect = list(Dialect)[seed % len(Dialect)]
    machine = dataclasses.replace(work.machine, dialect=dialect, required_settings=required_settings(dialect, 1000))
    work = dataclasses.replace(work, machine=machine)
    rings = [
        np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm
        for path in work.layers[0].paths
    ]
    meant = lines_of(rings)
    for name, (write, read) in FORMATS.items():
        found = lines_of(read(write(work), machine))
        assert shapely.hausdorff_distance(meant, found) <= 0.02, name
        assert np.abs(np.array(found.bounds) - np.array(meant.bounds)).max() <= 0.005, name


def test_a_shifted_file_would_fail_that_test() -> None:
    moved = dataclasses.replace(
        WORK, layers=tuple(dataclasses.replace(layer, paths=_moved(layer.paths)) for layer in WORK.layers)
    )
    for name in ("svg", "dxf", "pdf", "lbrn2"):
        write, read = FORMATS[name]
        here, there = lines_of(read(write(WORK), WORK.machine)), lines_of(read(write(moved), WORK.machine))
        assert shapely.hausdorff_distance(here, there) > 0.02


def _moved(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(Path(path.points_mm + 0.03, path.closed) for path in paths)


def test_pdf_has_the_bed_as_its_page_one_layer_per_operation_and_the_pixels() -> None:
    data = write_pdf(WORK.layers, WORK.machine, "Füchse (1) \\")
    assert b"/MediaBox [0 0 1133.858268 1133.858268]" in data  # 400 mm
    assert data.count(b"/Type /OCG ") == len(WORK.layers)
    assert "Füchse (1) \\".encode("utf-16-be").hex().upper().encode("ascii") in data
    mask = data.index(b"/ImageMask true")
    packed = data[data.index(b"stream\n", mask) + 7 : data.index(b"\nendstream", mask)]
    bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), dtype=np.uint8)).reshape(20, 32)[:, :30]
    assert np.array_equal(bits == 0, WORK.layers[0].rasters[0].burn)
    assert "largest deviation 0.0000" in check_pdf(data, WORK.layers, WORK.machine)


def test_pdf_check_fails_where_something_differs() -> None:
    data = write_pdf(WORK.layers, WORK.machine, "x")
    raster = dataclasses.replace(WORK.layers[0].rasters[0], burn=~WORK.layers[0].rasters[0].burn)
    inverted = (dataclasses.replace(WORK.layers[0], rasters=(raster,)), *WORK.layers[1:])
    moved = (*WORK.layers[:-1], dataclasses.replace(WORK.layers[-1], paths=_moved(WORK.layers[-1].paths)))
    wider = dataclasses.replace(WORK.machine, bed_width_mm=410)
    for layers, machine in (
        (inverted, WORK.machine),
        (moved, WORK.machine),
        (WORK.layers[:-1], WORK.machine),
        (WORK.layers, wider),
    ):
        with pytest.raises(Internal):
            check_pdf(data, layers, machine)
    with pytest.raises(Internal):
        check_pdf(data[:-200], WORK.layers, WORK.machine)
    with pytest.raises(Internal):
        check_pdf(data.replace(b"1 0 obj", b"7 0 obj", 1), WORK.layers, WORK.machine)


VALUES = ("index", "name", "maxPower", "maxPower2", "speed", "numPasses", "priority", "interval", "dpi")
LBRN2_SCHEMA = {
    "LightBurnProject": {"AppVersion", "DeviceName", "FormatVersion", "MaterialHeight", "MirrorX", "MirrorY"},
    "CutSetting": {"type"},
    "CutSetting_Img": {"type"},
    "Shape": {"Type", "CutIndex", "VertID", "PrimID", "W", "H", "Data"},
    "XForm": set(),
    "VertList": set(),
    "PrimList": set(),
    **{value: {"Value"} for value in VALUES},
}
"""Elements and attributes that public descriptions of such files agree on."""


def test_lbrn2_uses_what_is_publicly_known_and_nothing_else() -> None:
    root = defusedxml.ElementTree.fromstring(write_lightburn(WORK.layers, WORK.machine))
    for element in root.iter():
        assert set(element.attrib) <= LBRN2_SCHEMA[element.tag], element.tag
    settings = [element for element in root if element.tag.startswith("CutSetting")]
    assert [setting.get("type") for setting in settings] == ["Image", "Scan", "Cut", "Cut"]
    indices = [int(setting.find("index").get("Value", "")) for setting in settings]  # type: ignore[union-attr]  # a missing one fails the test
    assert indices == [0, 1, 2, 3]
    assert {int(shape.get("CutIndex", "")) for shape in root.iter("Shape")} <= set(indices)
    speeds = [float(setting.find("speed").get("Value", "")) for setting in settings]  # type: ignore[union-attr]  # as above
    assert speeds == pytest.approx([layer.feed_mm_per_min / 60 for layer in WORK.layers], abs=1e-5)


def test_lbrn2_check_fails_where_something_differs() -> None:
    data = write_lightburn(WORK.layers, WORK.machine)
    assert "experimental" in check_lightburn(data, WORK.layers)
    for old, new in (
        (b"V15.0000", b"V15.1000"),
        (b'maxPower Value="100"', b'maxPower Value="90"'),
        (b"L0 1L1 2", b"L0 1L2 1"),
        (b'CutIndex="3"', b'CutIndex="2"'),
        (b"XForm>1 0 0 1 0 0<", b"XForm>2 0 0 1 0 0<"),
        (b'W="6.0000"', b'W="6.1000"'),
    ):
        assert old in data
        with pytest.raises(Internal):
            check_lightburn(data.replace(old, new, 1), WORK.layers)


def test_svg_and_dxf_say_their_largest_deviation() -> None:
    for text in (
        check_layered_svg(write_layered_svg(WORK.layers, WORK.machine, "x"), WORK.layers, WORK.machine),
        check_dxf(write_dxf(WORK.layers), WORK.layers),
    ):
        assert "compared node by node, largest deviation 0.000000 mm" in text


def test_the_burn_picture_is_one_bit_at_the_machines_resolution() -> None:
    data = draw_burn(WORK, 10_000_000)
    assert "within 1 pixel" in check_burn_picture(data, WORK)
    picture = decode_picture(data)
    box = WORK.toolpath.burn_bounds
    assert picture.pixels_per_metre == pytest.approx((5000, 5000))  # the raster's 0.2 mm
    assert machine_pitch_mm(WORK) == 0.2
    gray = picture.gray()
    assert gray.shape[1] == pytest.approx((box.max_x_mm - box.min_x_mm) / 0.2, abs=1)
    assert set(np.unique(gray).tolist()) == {0, 255}


def test_the_burn_picture_of_a_raster_alone_is_the_raster() -> None:
    spec = PlanSpec("birch-3mm", (Operation(0, WORK.layers[0].kind),), placement=Placement(offset_x_mm=20))
    burn = np.random.default_rng(3).random((30, 40)) > 0.4
    burn[0, 0] = burn[-1, -1] = True
    work = build_work(spec, [Raster(burn, 0.1)], never_cancelled, PlanLimits())
    gray = decode_picture(draw_burn(work, 10_000)).gray()
    assert np.array_equal(gray == 0, burn)


def test_the_burn_picture_refuses_to_be_too_large_and_its_check_can_fail() -> None:
    with pytest.raises(InvalidArgument) as caught:
        draw_burn(WORK, 100)
    assert caught.value.reason == "PLAN_TOO_LARGE"
    picture = decode_picture(draw_burn(WORK, 10_000_000)).gray()
    for wrong in (np.full_like(picture, 255), np.zeros_like(picture), picture[:-1]):
        with pytest.raises(Internal):
            check_burn_picture(bytes(cv2.imencode(".png", wrong)[1]), WORK)
    with pytest.raises(Internal):
        check_burn_picture(b"no picture", WORK)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_frame_goes_once_around_with_the_beam_off(dialect: Dialect) -> None:
    machine = dataclasses.replace(WORK.machine, dialect=dialect, required_settings=required_settings(dialect, 1000))
    work = dataclasses.replace(WORK, machine=machine)
    data = write_frame(work)
    assert "the beam off" in check_frame(data, work)
    head = controller(dialect, 1000)
    assert head.run(data.decode("ascii")) == []
    assert b"burns: nothing" in data


def test_a_frame_shows_the_beam_at_one_per_cent_at_most_where_it_is_asked_for() -> None:
    data = write_frame(WORK, 1.0)
    check_frame(data, WORK, 1.0)
    strokes = np.array(controller(Dialect.GRBL_M4, 1000).run(data.decode("ascii")))
    box = WORK.toolpath.burn_bounds
    assert strokes[:, 4].tolist() == [0.01] * 4
    assert strokes[:, :4].min(axis=0)[:2] == pytest.approx(box[:2])
    assert strokes[:, :4].max(axis=0)[:2] == pytest.approx(box[2:])
    for percent in (1.01, -1.0, float("nan")):
        with pytest.raises(InvalidArgument):
            write_frame(WORK, percent)
    with pytest.raises(Internal):
        check_frame(data, WORK, 0.0)
    with pytest.raises(Internal):
        check_frame(data.replace(b"X35", b"X36").replace(b"X15", b"X14"), WORK, 1.0)


def made(work: Work, wanted: frozenset[OutputFormat]) -> tuple[dict[OutputFormat, MadeFile], list[Proof]]:
    gcode = write_gcode(work, 100.0)
    proofs = [Proof("safety-linter", True, "clean")]
    return make_outputs(
        work, gcode, proofs, estimate_time(work.toolpath, work.machine), wanted, OutputOptions(), never_cancelled
    )


def test_all_outputs_are_made_read_back_and_listed_in_the_report() -> None:
    files, proofs = made(WORK, frozenset(OutputFormat))
    assert set(files) == set(OutputFormat)
    assert all(proof.ran for proof in proofs)
    assert all("deviation" in proof.detail for proof in proofs if proof.name in ("svg-read-back", "dxf-read-back"))
    report = json.loads(files[OutputFormat.REPORT_JSON].data)
    hashes = {file["name"]: file["sha256"] for file in report["files"]}
    for output, file in files.items():
        if output is not OutputFormat.REPORT_JSON:
            assert hashes[output.filename] == hashlib.sha256(file.data).hexdigest()
    assert [layer["name"] for layer in report["layers"]] == [layer.name for layer in WORK.layers]
    assert not any(layer["preset"]["verified"] for layer in report["layers"])
    assert report["machine"]["dialect"] == "grbl-m4"


def test_outputs_are_the_same_bytes_again_and_what_nobody_asked_for_is_not_made() -> None:
    some = frozenset({OutputFormat.PDF, OutputFormat.LBRN2})
    files, proofs = made(WORK, some)
    assert set(files) == some
    assert {proof.name for proof in proofs if not proof.ran} >= {"svg-read-back", "frame-read-back"}
    everything = frozenset(OutputFormat)
    assert made(WORK, everything)[0] == made(sample_work(), everything)[0]


def test_air_goes_on_for_cuts_and_off_after_them_and_the_sheet_says_so() -> None:
    work = dataclasses.replace(WORK, machine=dataclasses.replace(WORK.machine, air_assist=AirAssist.M8))
    text = write_gcode(work, 1.0).decode("ascii")
    assert text.count("\nM8\n") == 1
    assert text.index("\nM8\n") > text.index(": cut\n")
    assert text.rindex("\nM9\n") > text.rindex("S1000")
    sheet = made(work, frozenset({OutputFormat.JOB_SHEET}))[0][OutputFormat.JOB_SHEET].data.decode("utf-8")
    assert "(M8) for cut, then off (M9)" in sheet
